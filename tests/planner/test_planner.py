import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt import MissingDependency, Plan, PlanError, Problem, ProblemError
from eplb_opt.exact import MODELS
from eplb_opt.exact.shared.answer import ModelAnswer
from eplb_opt.exact.shared.model_calls import as_answer, call_model
from tests.oracle import optimum
from tests.planner.stages import MadeStage, use_stages
from tests.strategies import SMALL_LOADS, tiny_problems

README_LOADS = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
]
FLAT = Problem(README_LOADS, 16, 8)
NODES = Problem(README_LOADS, 16, 8, num_nodes=2, num_groups=4)
EIGHT_ON_FOUR = Problem([[600, 560, 120, 120, 20, 10, 10, 10]], 16, 4)
EIGHT = Problem([[600, 560, 120, 120, 20, 10, 10, 10]], 16, 8)


def recorded_like(num_layers=58, num_experts=256, seed=0):
    rng = np.random.default_rng(seed)
    return rng.lognormal(8, 1, (num_layers, num_experts)).astype(np.int64)


def assert_consistent(result, problem):
    """What a result says of itself follows from its plan."""
    result.plan.check(problem)
    exact = result.plan.objectives(problem)
    assert [pair.objective for pair in result.bounds] == exact
    assert (result.lower_bound <= result.objective).all()
    for pair, status in zip(result.bounds, result.status, strict=True):
        assert (status == "optimal") == pair.is_closed


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("problem", "optima"),
    [
        (NODES, [Fraction(151), Fraction(359, 2)]),
        (FLAT, [Fraction(136), Fraction(172)]),
        (EIGHT, [Fraction(590, 3)]),
    ],
)
def test_worked_examples_are_solved_to_their_proven_optima(model, problem, optima):
    result = eplb_opt.plan(problem, time_limit=120, model=model)
    assert [pair.objective for pair in result.bounds] == optima
    assert result.status == ["optimal"] * problem.num_layers
    assert result.stop_reason == "optimal"
    assert result.gap.tolist() == [0.0] * problem.num_layers
    assert result.model_gap == 0
    assert_consistent(result, problem)


def test_every_bound_names_the_argument_that_proved_it():
    hot = recorded_like(1, 64, seed=1)
    named = {
        "enumeration": Problem([[13, 8, 7, 6, 5, 4]], 10, 5),
        "k2": Problem(hot, 96, 48),
        "cp_sat": EIGHT_ON_FOUR,
        "mean": Problem([[1, 1, 1, 1]], 4, 2),
        "waterfill": Problem([[9, 1, 1, 1]], 4, 4),
        "hierarchy": Problem([[9, 9, 1, 1]], 8, 4, 2, 2),
    }
    for source, problem in named.items():
        assert eplb_opt.plan(problem, time_limit=60).bound_source == [source]


@settings(max_examples=25, deadline=None)
@given(problem=tiny_problems(loads=SMALL_LOADS))
def test_tiny_problems_are_solved_to_the_optimum(problem):
    result = eplb_opt.plan(problem, time_limit=20)
    assert_consistent(result, problem)
    assert [pair.objective for pair in result.bounds] == optimum(problem)
    assert result.status == ["optimal"]


@pytest.mark.parametrize(
    "problem",
    [
        Problem(np.zeros((2, 8)), 16, 4),
        Problem([[5]], 4, 4),
        Problem([[5, 3, 1]], 6, 1),
        Problem([[5, 3, 1, 9]], 4, 2),
        Problem([[10**15, 0, 0, 0, 0, 0]], 12, 4),
        Problem([[1]], 1, 1),
    ],
    ids=["no load", "one expert", "one GPU", "no spare slot", "all on one", "one of all"],
)
def test_degenerate_problems_are_solved(problem):
    result = eplb_opt.plan(problem, time_limit=20)
    assert_consistent(result, problem)
    assert set(result.status) == {"optimal"}
    assert not np.isnan(result.gap).any()


@pytest.mark.parametrize("limit", [0, 0.02, 0.1, 0.5])
def test_the_deadline_holds_on_a_whole_model(limit):
    problem = Problem(recorded_like(), 288, 32)
    eplb_opt.plan(problem, time_limit=limit)  # imports belong to the process, not to the call
    began = time.monotonic()
    result = eplb_opt.plan(problem, time_limit=limit)
    # A hung or unbounded stage takes seconds; the noise of a shared machine does not.
    assert time.monotonic() - began < limit + 1.0
    assert_consistent(result, problem)


def test_no_time_returns_the_best_heuristic():
    pytest.importorskip("torch")
    from heuristics import HEURISTICS

    problem = Problem(recorded_like(6, 64), 80, 8)
    result = eplb_opt.plan(problem, time_limit=0)
    assert set(result.status) <= {"heuristic", "optimal"}
    assert result.stop_reason == "time_limit"
    for name, heuristic in HEURISTICS.items():
        placed = heuristic(problem.load.astype(float), 80, 1, 1, 8)[0]
        assert (result.objective <= eplb_opt.evaluate(problem, placed).objective).all(), name


class Failing:
    def __call__(self, *arguments, **options):
        raise RuntimeError("solver broke")


class Absent:
    def __call__(self, *arguments, **options):
        raise MissingDependency("ortools", "cpsat")


class BadPlan:
    def __call__(self, problem, start, lower_bound, deadline, **options):
        return ModelAnswer(np.zeros(problem.num_slots, dtype=np.int64), Fraction(0))


class FalseBound:
    def __call__(self, problem, start, lower_bound, deadline, **options):
        return ModelAnswer(None, Fraction(10**9))


class Hanging:
    def __call__(self, *arguments, **options):
        time.sleep(3)
        raise RuntimeError("too late to matter")


def use_model(monkeypatch, model):
    """Let the portfolio have this model and nothing else."""

    def solve(task):
        return as_answer("cpsat", call_model(model, task, task.deadline))

    use_stages(monkeypatch, MadeStage("cpsat", solve))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Failing, "solver broke"),
        (Absent, "eplb-opt[cpsat]"),
        (BadPlan, "expert 1 is on no GPU"),
        (FalseBound, "exceeds"),
    ],
)
def test_a_fault_in_a_model_costs_nothing_but_the_model(monkeypatch, model, words):
    use_model(monkeypatch, model())
    before = eplb_opt.plan(NODES, time_limit=0)
    result = eplb_opt.plan(NODES, time_limit=5)
    assert_consistent(result, NODES)
    assert (result.objective <= before.objective).all()
    assert any(words in message for message in result.messages)
    assert result.stop_reason == "exhausted"
    assert "feasible" not in result.status


def test_a_hanging_model_does_not_hold_up_the_answer(monkeypatch):
    use_model(monkeypatch, Hanging())
    began = time.monotonic()
    result = eplb_opt.plan(NODES, time_limit=0.3)
    assert time.monotonic() - began < 1.5
    assert result.stop_reason == "time_limit"
    assert_consistent(result, NODES)


def test_effort_gives_the_same_answer_at_any_number_of_workers():
    problem = Problem(recorded_like(3, 12, seed=3), 16, 4)
    answers = [eplb_opt.plan(problem, effort=2, workers=n, seed=7) for n in (1, 2, 3)]
    first = answers[0]
    for other in answers[1:]:
        assert (other.plan.physical_to_logical == first.plan.physical_to_logical).all()
        assert other.lower_bound.tolist() == first.lower_bound.tolist()
        assert other.status == first.status


def test_a_layer_is_planned_the_same_without_its_neighbours():
    load = recorded_like(3, 12, seed=4)
    together = eplb_opt.plan(Problem(load, 16, 4), effort=2)
    for layer_idx in range(3):
        alone = eplb_opt.plan(Problem(load[layer_idx : layer_idx + 1], 16, 4), effort=2)
        expected = together.plan.physical_to_logical[layer_idx]
        assert (alone.plan.physical_to_logical[0] == expected).all()


def test_target_gap_stops_early():
    result = eplb_opt.plan(NODES, time_limit=20, target_gap=10.0)
    assert result.stop_reason == "target_gap"
    assert result.elapsed < 10


def test_the_current_plan_is_kept_where_it_is_best_and_moves_are_counted():
    best = eplb_opt.plan(FLAT, time_limit=60).plan
    result = eplb_opt.plan(FLAT, time_limit=0, current=best)
    assert result.moves.tolist() == [0, 0]
    assert (result.plan.physical_to_logical == best.physical_to_logical).all()


def test_moves_count_slots_whose_expert_is_new_on_its_gpu():
    problem = Problem([[4, 3, 2, 1]], 6, 2)
    current = Plan([[0, 1, -1, 2, 3, 0]], num_gpus=2)
    result = eplb_opt.plan(problem, time_limit=0, current=current)
    old = [{0, 1}, {2, 3, 0}]
    placed = result.plan.physical_to_logical[0].tolist()
    expected = sum(e not in old[p // 3] for p, e in enumerate(placed))
    assert result.moves.tolist() == [expected]
    assert any("current is no start" in message for message in result.messages)


def test_history_closes_from_both_sides():
    seen = []
    result = eplb_opt.plan(NODES, time_limit=60, progress=seen.append)
    assert tuple(seen) == result.history
    assert [p.seconds for p in seen] == sorted(p.seconds for p in seen)
    assert (np.diff([p.objective for p in seen]) <= 0).all()
    assert (np.diff([p.lower_bound for p in seen]) >= 0).all()
    assert seen[-1].gap == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"time_limit": -1}, "time_limit=-1"),
        ({"time_limit": float("nan")}, "nan"),
        ({"time_limit": "soon"}, "soon"),
        ({"time_limit": 1, "effort": 1}, "exclude"),
        ({"effort": -1}, "effort=-1"),
        ({"effort": 0.5}, "effort=0.5"),
        ({"target_gap": -0.1}, "target_gap"),
        ({"workers": 0}, "workers=0"),
        ({"seed": 0.5}, "seed"),
        ({"model": "cplex"}, "cpsat, milp"),
        ({"current": [[0, 1, 2, 3]]}, "current"),
    ],
)
def test_bad_arguments_are_refused(options, words):
    with pytest.raises((ProblemError, PlanError)) as caught:
        eplb_opt.plan(Problem([[4, 3, 2, 1]], 6, 2), **options)
    assert words in str(caught.value)


def test_only_a_problem_can_be_planned():
    with pytest.raises(ProblemError, match="list"):
        eplb_opt.plan([[1, 2]])


def test_without_any_limit_the_call_still_ends():
    result = eplb_opt.plan(Problem([[7, 5, 3, 3, 2]], 6, 3), time_limit=None)
    assert result.status == ["optimal"]


def test_without_any_limit_a_search_that_brings_nothing_ends(monkeypatch):
    monkeypatch.setattr("eplb_opt.search.local.IDLE_TURNS", 2)
    problem = Problem(recorded_like(1, 64, seed=0), 96, 32)
    result = eplb_opt.plan(problem, time_limit=None)
    assert result.stop_reason == "exhausted"
    assert result.status == ["feasible"]
    assert_consistent(result, problem)


def test_evaluate_scores_anybodys_plan():
    placed = [
        [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
        [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ]
    score = eplb_opt.evaluate(NODES, placed)
    assert score.objective.tolist() == [156.0, 179.5]
    assert (score.lower_bound <= [151, 179.5]).all()
    assert score.gap == pytest.approx(score.objective / score.lower_bound - 1)
    assert score.balancedness == pytest.approx(np.array([1033, 1156]) / 8 / [156, 179.5])
    with pytest.raises(PlanError, match="group"):
        eplb_opt.evaluate(NODES, np.sort(placed, axis=1)[:, ::-1] % 12)


def test_lower_bound_with_time_is_stronger():
    quick = eplb_opt.lower_bound(EIGHT)
    proven = eplb_opt.lower_bound(EIGHT, time_limit=60)
    assert quick.dtype == np.float64
    assert quick[0] <= proven[0] <= 590 / 3
    assert proven[0] == pytest.approx(590 / 3, rel=1e-15)


def test_no_layer_comes_out_worse_than_the_start():
    problem = Problem(recorded_like(3, 32), 40, 20)
    start = eplb_opt.plan(problem, effort=30).plan
    result = eplb_opt.plan(problem, time_limit=0, starts=start)
    assert (result.objective <= eplb_opt.evaluate(problem, start).objective).all()
    assert result.moves is None
    with pytest.raises(PlanError):
        eplb_opt.plan(problem, time_limit=0, starts=np.zeros((3, 40), dtype=np.int64))
