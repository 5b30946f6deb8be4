"""Plans that move little: limits hold, nothing moves for nothing, and frontiers are honest."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt import Plan, Problem, ProblemError, plots
from eplb_opt.clock import Budget, Deadline
from eplb_opt.migration import near_plans
from eplb_opt.migration.naming import in_kept_slots
from eplb_opt.placement.moves import moved_slots
from tests.strategies import SMALL_LOADS, tiny_problems


def drifted(num_layers=3, num_experts=32, num_slots=40, num_gpus=8, seed=0, **topology):
    """A problem and a plan that was good for other loads."""
    rng = np.random.default_rng(seed)
    before = rng.lognormal(8, 1, (num_layers, num_experts))
    after = before * np.exp(0.3 * rng.standard_normal(before.shape))
    old = Problem(before.astype(np.int64), num_slots, num_gpus, **topology)
    current = eplb_opt.plan(old, effort=20).plan
    return Problem(after.astype(np.int64), num_slots, num_gpus, **topology), current


TOPOLOGIES = [{}, {"num_nodes": 2, "num_groups": 4}, {"colocation": "forbid"}]


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=["flat", "nodes", "apart"])
def test_no_more_slots_move_than_allowed_and_they_pay(topology):
    problem, current = drifted(**topology)
    before = eplb_opt.evaluate(problem, current).objective
    worth = [before.sum()]
    for most in (0, 5, 20):
        result = eplb_opt.plan(problem, effort=20, current=current, max_moves=most)
        result.plan.check(problem)
        assert result.moves.sum() <= most
        assert result.moves.tolist() == moved_slots(current, result.plan).tolist()
        assert [b.objective for b in result.bounds] == result.plan.objectives(problem)
        worth.append(result.objective.sum())
    # Copies of one expert that change within a GPU are no moves.
    assert worth[0] >= worth[1] > worth[2] > worth[3]


def test_a_limit_a_layer_holds_for_each():
    problem, current = drifted()
    result = eplb_opt.plan(problem, effort=20, current=current, max_moves=[4, 0, 9])
    assert (result.moves <= [4, 0, 9]).all()
    assert result.moves[1] == 0
    kept = current.physical_to_logical[1]
    assert (result.plan.physical_to_logical[1] == kept).all()


def test_a_tolerance_trades_objective_for_moves():
    problem, current = drifted()
    best = eplb_opt.plan(problem, effort=20, current=current)
    moves = []
    for tolerance in (0.0, 0.02, 0.1):
        near = eplb_opt.plan(problem, effort=20, current=current, move_tolerance=tolerance)
        assert (near.objective <= best.objective * (1 + tolerance) * (1 + 1e-12)).all()
        moves.append(int(near.moves.sum()))
    assert moves[0] > moves[1] > moves[2]


@settings(max_examples=40, deadline=None)
@given(problem=tiny_problems(loads=SMALL_LOADS))
def test_with_nothing_to_gain_the_current_plan_comes_back_byte_for_byte(problem):
    best = eplb_opt.plan(problem, effort=50, model="cpsat")
    rows = best.plan.physical_to_logical
    current = rows.reshape(1, problem.num_gpus, -1)[:, :, ::-1].reshape(1, -1)
    again = eplb_opt.plan(problem, effort=2, current=current)
    if again.objective[0] == best.objective[0]:
        assert (again.plan.physical_to_logical == current).all()
        assert again.moves.tolist() == [0]
    held = eplb_opt.plan(problem, effort=2, current=current, max_moves=0)
    assert (held.plan.physical_to_logical == current).all()


def test_effort_gives_the_same_near_plan_at_any_number_of_workers():
    problem, current = drifted()
    answers = [
        eplb_opt.plan(problem, effort=3, current=current, max_moves=12, workers=n) for n in (1, 3)
    ]
    first, other = (answer.plan.physical_to_logical for answer in answers)
    assert (first == other).all()


def test_a_better_plan_keeps_the_names_that_move_least():
    problem, current = drifted()
    free = eplb_opt.plan(problem, effort=20)
    named = eplb_opt.plan(problem, effort=20, current=current)
    assert (named.objective <= free.objective).all()
    assert (named.moves <= moved_slots(current, free.plan)).all()


def test_a_frontier_rises_in_moves_and_falls_in_objective():
    problem, current = drifted()
    curve = eplb_opt.frontier(problem, current, effort=10)
    assert curve.moves[0] == 0
    assert (np.diff(curve.moves) > 0).all()
    assert (np.diff(curve.objective) < 0).all()
    for at in (0, len(curve.moves) // 2, len(curve.moves) - 1):
        near = curve.plan(int(curve.moves[at]))
        near.check(problem)
        assert moved_slots(current, near).sum() <= curve.moves[at]
        score = eplb_opt.evaluate(problem, near).objective.sum()
        assert score == pytest.approx(curve.objective[at], rel=1e-12)


def test_a_pareto_figure_shows_the_frontier():
    pytest.importorskip("matplotlib")
    problem, current = drifted()
    curve = eplb_opt.frontier(problem, current, effort=2)
    line = plots.pareto(curve).get_lines()[0]
    assert line.get_xdata().tolist() == curve.moves.tolist()
    assert line.get_ydata()[-1] == 0


RULES = {
    "flat": {},
    "nodes": {"num_nodes": 2, "num_groups": 4},
    "speed": {"gpu_speed": [1, 1, 2, 2, 1, 1, 2, 2]},
    "lost": {"active_gpus": [True] * 7 + [False]},
    "pinned": {"pinned": [(0, 0)]},
}


def within_gpus(current, new, num_gpus):
    """Slots whose expert stood on their GPU before, in another slot, and need not have moved."""
    gpus = zip(current.reshape(num_gpus, -1), new.reshape(num_gpus, -1), strict=True)
    return sum(
        (Counter(before.tolist()) & Counter(after.tolist())).total() - (before == after).sum()
        for before, after in gpus
    )


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("options", [{"time_limit": 0}, {"effort": 3}], ids=str)
def test_what_stays_on_a_gpu_keeps_its_slot(rules, options):
    problem, current = drifted(num_nodes=2, num_groups=4)
    problem = Problem(problem.load, 40, 8, **rules)
    rng = np.random.default_rng(1)
    shuffled = rng.permuted(current.physical_to_logical.reshape(3, 8, 5), axis=2).reshape(3, 40)
    result = eplb_opt.plan(problem, current=shuffled, **options)
    for before, after in zip(shuffled, result.plan.physical_to_logical, strict=True):
        assert within_gpus(before, after, 8) == 0


def test_near_plans_and_frontiers_keep_slots_too():
    problem, current = drifted()
    frontier = eplb_opt.frontier(problem, current, effort=2)
    for most in (5, int(frontier.moves[-1])):
        rows = frontier.plan(most).physical_to_logical
        for before, after in zip(current.physical_to_logical, rows, strict=True):
            assert within_gpus(before, after, 8) == 0


def test_slots_that_cannot_be_filled_stay_empty_and_others_keep_what_stays():
    problem = Problem([[5, 4, 3, 2, 1, 1]], 8, 2, gpu_slots=[4, 3])
    # Slot 1 is empty in force, and slot 7, which cannot be filled, is not.
    current = Plan([[3, -1, 0, 1, 5, 2, 4, 4]], 2)
    best = np.array([[0, 1, 2, 3, 4, 2, 5, -1]])
    kept = in_kept_slots(problem, current, best)
    assert kept.tolist() == [[3, 2, 0, 1, 5, 2, 4, -1]]


def test_moves_are_told_in_bytes():
    problem, current = drifted()
    result = eplb_opt.plan(problem, effort=1, current=current)
    assert result.move_bytes(10).tolist() == (10 * result.moves).tolist()
    assert eplb_opt.plan(problem, effort=0).move_bytes(10) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_moves": 3}, "need current="),
        ({"max_moves": 3, "current": [[0, 1, -1]]}, "empty slot"),
        ({"max_moves": -1, "current": [[0, 1, 1]]}, "max_moves=-1"),
        ({"max_moves": [1, 2], "current": [[0, 1, 1]]}, "1 integers"),
        ({"max_moves": 1, "move_tolerance": 0.1, "current": [[0, 1, 1]]}, "exclude"),
        ({"move_tolerance": -0.1, "current": [[0, 1, 1]]}, "move_tolerance=-0.1"),
    ],
)
def test_limits_that_cannot_be_used_are_refused(options, words):
    with pytest.raises(ProblemError, match=words):
        eplb_opt.plan(Problem([[3, 2]], 3, 3), effort=1, **options)


def test_gpus_that_are_not_alike_keep_their_names_and_the_limits_hold():
    load = np.arange(1, 13)[None] ** 2
    problem = Problem(load, 16, 4, gpu_speed=[1, 1, 2, 2])
    current = eplb_opt.plan(Problem(load[:, ::-1], 16, 4), effort=2).plan
    free = eplb_opt.plan(problem, effort=2, current=current)
    free.plan.check(problem)
    held = eplb_opt.plan(problem, effort=2, current=current, max_moves=0)
    assert (held.plan.physical_to_logical == current.physical_to_logical).all()


def test_layers_without_time_cost_neither_a_search_nor_names(monkeypatch):
    problem, current = drifted()
    best = eplb_opt.plan(problem, effort=5).plan.physical_to_logical
    forbidden = "nothing may be searched or named when the time is up"

    def refuse(*_args):
        raise AssertionError(forbidden)

    monkeypatch.setattr(near_plans, "named", refuse)
    monkeypatch.setattr(near_plans, "_searched", refuse)
    found = near_plans.find_frontiers(problem, current, best, Budget(Deadline.after(0)), naming=1.0)
    for layer_idx, frontier in enumerate(found):
        assert len(frontier) == 2
        assert (frontier[0].placed == current.physical_to_logical[layer_idx]).all()
        kept = in_kept_slots(problem, current, best)
        assert (frontier[1].placed == kept[layer_idx]).all()
        assert frontier[1].objective == Plan(best, 8).objectives(problem)[layer_idx]
