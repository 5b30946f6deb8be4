"""Whatever fails on the way, a checked plan comes back: the best so far, with a message."""

from fractions import Fraction

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Plan, Problem
from eplb_opt.errors import MissingDependency
from eplb_opt.migration import answer, near_plans
from eplb_opt.placement.moves import moved_slots
from eplb_opt.solver import Answer, Verdict
from tests.planner.stages import MadeStage, use_stages

LOADS = np.random.default_rng(7).integers(1, 10**6, (6, 24))
PROBLEM = Problem(LOADS, 32, 8)


@pytest.fixture(scope="module")
def current():
    """A valid plan that is far from the best."""
    row = [*range(24), *range(8)]
    return Plan([row] * 6, 8)


def improving_stage(bad_layers, error, name="fragile"):
    """A stage that breaks on some layers and takes the plan of a good search on the others."""
    best = eplb_opt.plan(PROBLEM, effort=20).plan.physical_to_logical

    def run(task):
        if task.layer_idx in bad_layers:
            raise error
        return Answer(best[task.layer_idx], verdict=Verdict.FINISHED)

    return MadeStage(name, run)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_stage_that_fails_on_one_layer_is_not_dropped_for_the_others(monkeypatch, workers):
    first = eplb_opt.plan(PROBLEM, time_limit=0)
    use_stages(monkeypatch, improving_stage({0, 3}, ZeroDivisionError("sums cancel")))
    result = eplb_opt.plan(PROBLEM, effort=1, workers=workers)
    better = result.objective < first.objective
    assert better.tolist() == [False, True, True, False, True, True]
    assert result.messages[0] == "fragile failed: ZeroDivisionError: sums cancel (layers 0, 3)"


def test_messages_do_not_depend_on_who_finished_first(monkeypatch):
    def said(workers):
        stages = [
            improving_stage({5}, ValueError("last"), "one"),
            improving_stage({0, 1, 2, 3, 4, 5}, ValueError("all"), "two"),
        ]
        use_stages(monkeypatch, *stages)
        return eplb_opt.plan(PROBLEM, effort=1, workers=workers).messages

    assert said(1) == said(4)
    assert said(1)[0].startswith("one failed")
    assert said(1)[1].endswith("(layers 0-5)")


def test_a_missing_package_is_named_once(monkeypatch):
    use_stages(monkeypatch, improving_stage(set(range(6)), MissingDependency("ortools", "cpsat")))
    result = eplb_opt.plan(PROBLEM, effort=1)
    named = [message for message in result.messages if "ortools" in message]
    assert len(named) == 1
    assert "layer" not in named[0]


def test_no_thread_to_be_had_costs_the_search_alone(monkeypatch):
    def refuse(*args):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("eplb_opt.planner.executor.ThreadPoolExecutor.submit", refuse)
    result = eplb_opt.plan(PROBLEM, effort=1)
    result.plan.check(PROBLEM)
    assert any("can't start new thread" in message for message in result.messages)


def broken_on(layer_idx, search):
    """A search for near plans that breaks on one layer, known by its loads."""

    def plans_with_few_moves(layer, *args):
        if (layer.load[0] == LOADS[layer_idx]).all():
            raise ZeroDivisionError("sums cancel")
        return search(layer, *args)

    return plans_with_few_moves


def test_a_layer_without_near_plans_costs_the_others_nothing(monkeypatch, current):
    from eplb_opt.search.annealing import priced_moves as searched

    whole = eplb_opt.plan(PROBLEM, effort=2, current=current, max_moves=[5] * 6)
    monkeypatch.setattr(
        searched, "plans_with_few_moves", broken_on(2, searched.plans_with_few_moves)
    )
    for workers in (1, 3):
        result = eplb_opt.plan(
            PROBLEM, effort=2, current=current, max_moves=[5] * 6, workers=workers
        )
        same = (result.plan.physical_to_logical == whole.plan.physical_to_logical).all(axis=1)
        assert same[[0, 1, 3, 4, 5]].all()
        assert (result.moves <= 5).all()
        assert result.messages == ("near plans failed on layer 2: ZeroDivisionError: sums cancel",)


@pytest.mark.parametrize("where", ["find_frontiers", "find_frontiers frontier_ends"])
@pytest.mark.parametrize("limits", [{"max_moves": 12}, {"move_tolerance": 0.05}])
def test_the_limits_hold_when_the_whole_search_for_near_plans_fails(
    monkeypatch, current, where, limits
):
    def fail(*args):
        raise FloatingPointError("nothing works")

    for name in where.split():
        monkeypatch.setattr(answer, name, fail)
    best = eplb_opt.plan(PROBLEM, effort=2)
    result = eplb_opt.plan(PROBLEM, effort=2, current=current, **limits)
    result.plan.check(PROBLEM)
    assert any("nothing works" in message for message in result.messages)
    if "max_moves" in limits:
        assert moved_slots(current, result.plan).sum() <= 12
    else:
        assert (result.objective <= best.objective * 1.05).all()


def test_names_that_cannot_be_given_cost_nothing_else(monkeypatch, current):
    def fail(*args):
        raise FloatingPointError("no names")

    monkeypatch.setattr(answer, "renamed", fail)
    best = eplb_opt.plan(PROBLEM, effort=2)
    result = eplb_opt.plan(PROBLEM, effort=2, current=current)
    assert (result.objective <= best.objective).all()
    assert any("no names" in message for message in result.messages)


def test_a_frontier_where_a_better_plan_moves_nothing():
    curve = eplb_opt.frontier(Problem([[1, 1]], 4, 2), [[0, 1, 0, 0]], effort=1)
    assert curve.moves.tolist() == [0]
    assert curve.objective.tolist() == [1.0]


def test_a_frontier_says_what_failed(monkeypatch, current):
    from eplb_opt.search.annealing import priced_moves as searched

    monkeypatch.setattr(
        searched, "plans_with_few_moves", broken_on(1, searched.plans_with_few_moves)
    )
    curve = eplb_opt.frontier(PROBLEM, current, effort=1)
    assert any("layer 1" in message for message in curve.messages)
    assert (np.diff(curve.moves) > 0).all()


def test_fronts_rise_in_moves_and_fall_in_objective_whatever_comes_in():
    points = [
        near_plans.FrontPoint(m, Fraction(w), np.zeros(1)) for m, w in ((0, 5), (0, 4), (2, 4))
    ]
    kept = near_plans._frontier(points)
    assert [(p.moves, p.objective) for p in kept] == [(0, 4)]


def test_apart_looks_at_the_slots_that_are_open():
    problem = Problem([[5, 4]], 6, 2, colocation="forbid", gpu_slots=[2, 1])
    result = eplb_opt.plan(problem, effort=1)
    result.plan.check(problem)
    with pytest.raises(eplb_opt.ProblemError, match="only 2 different"):
        Problem([[5, 4]], 6, 2, colocation="forbid", gpu_slots=[3, 1])


def test_an_expert_without_load_survives_a_loss_too():
    problem = Problem([[49, 0, 38]], 6, 3)
    result = eplb_opt.plan_for_loss(problem, of="gpu", effort=1)
    gpus = result.plan.physical_to_logical.reshape(3, 2)
    assert [len({g for g in range(3) if e in gpus[g]}) for e in range(3)] == [2, 2, 2]


def test_one_scenario_alone_is_planned_for_as_it_is():
    load = np.random.default_rng(0).lognormal(5, 1, (1, 2, 16))
    result = eplb_opt.plan(Problem(load, 24, 8, dispatch="optimal"), effort=2)
    first = eplb_opt.plan(Problem(load, 24, 8, dispatch="optimal"), effort=0)
    assert result.noise == 0.0
    assert (result.objective <= first.objective).all()


def test_what_noise_costs_on_the_known_loads_is_said():
    rng = np.random.default_rng(3)
    load = rng.lognormal(5, 1.5, (2, 3, 16))
    problem = Problem(load, 24, 8, dispatch="optimal")
    for seed in range(8):
        first = eplb_opt.plan(problem, time_limit=0, noise=0.0)
        result = eplb_opt.plan(problem, effort=1, noise=0.6, seed=seed)
        worse = (result.objective > first.objective * (1 + 1e-12)).sum()
        said = [m for m in result.messages if m.startswith("noise=0.6")]
        assert len(said) == (1 if worse else 0)
        assert all(f"{worse} of 3 layers" in m for m in said)


def test_a_reproducible_answer_names_the_solver_that_it_relies_on():
    pytest.importorskip("ortools")
    from importlib.metadata import version

    asked = eplb_opt.plan(Problem(LOADS[:1, :8], 12, 4), effort=1)
    assert asked.relied_on == (f"ortools {version('ortools')}",)
    assert eplb_opt.plan(PROBLEM, effort=0).relied_on in ((), asked.relied_on)
    pairs = eplb_opt.plan(Problem([[5, 4, 3, 2]], 4, 4), effort=1)
    assert pairs.status == ["optimal"]
    assert pairs.relied_on == ()
