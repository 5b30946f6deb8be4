"""Annealing under several loads: it obeys the rules, finds small optima, and repeats itself."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt import Problem
from eplb_opt.placement import checker, scoring
from eplb_opt.search.annealing.layer import AnnealSearch
from eplb_opt.search.annealing.starts import (
    counts_for_all,
    level_nodes,
    nodes_of,
    settle_from_starts,
    start_on_nodes,
)
from eplb_opt.search.starts import first_plan
from tests.oracle import scenario_optimum
from tests.strategies import scenario_problems


def several(num_scenarios=4, num_experts=32, num_slots=40, num_gpus=8, seed=0, **topology):
    rng = np.random.default_rng(seed)
    load = rng.lognormal(8, 1, num_experts) * np.exp(
        0.5 * rng.standard_normal((num_scenarios, 1, num_experts))
    )
    return Problem(load.astype(np.int64), num_slots, num_gpus, **topology)


@settings(max_examples=80, deadline=None)
@given(scenario_problems(colocations=("allow", "forbid")))
def test_plans_obey_the_rules_and_never_beat_the_optimum(problem):
    best = scenario_optimum(problem)[0]
    placed = eplb_opt.plan(problem, effort=3).plan.physical_to_logical
    checker.check(problem, placed)
    assert scoring.objectives(problem, placed)[0] >= best


def test_small_optima_are_found():
    rng = np.random.default_rng(5)
    found = 0
    for case in range(30):
        load = rng.integers(0, 30, (3, 1, 4))
        problem = Problem(load, 6, 3, objective=("mean", "max")[case % 2])
        result = eplb_opt.plan(problem, effort=100)
        found += result.bounds[0].objective == scenario_optimum(problem)[0]
    assert found >= 27


@pytest.mark.parametrize("objective", ["mean", "max"])
@pytest.mark.parametrize(
    "topology",
    [{}, {"num_nodes": 2, "num_groups": 4}, {"colocation": "forbid"}],
    ids=["flat", "nodes", "no colocation"],
)
def test_the_search_is_far_ahead_of_the_greedy_on_the_blend(topology, objective):
    problem = several(objective=objective, **topology)
    start = scoring.objectives(problem, first_plan(problem))[0]
    result = eplb_opt.plan(problem, effort=40)
    result.plan.check(problem)
    lost, left = start - 1, result.bounds[0].objective - 1
    assert left < lost * Fraction(3, 4)


def test_the_best_value_of_the_core_is_the_value_of_its_plan():
    for objective in ("mean", "max"):
        problem = several(num_scenarios=20, objective=objective)
        search = AnnealSearch(problem, first_plan(problem)[0], seed=1)
        search.run_slices(40)
        exact = scoring.objectives(problem, search.placed()[None])[0]
        assert search.best == pytest.approx(float(exact), rel=1e-9)


def test_the_same_seed_and_work_give_the_same_plan():
    problem = several()
    answers = [eplb_opt.plan(problem, effort=5, seed=3, workers=n) for n in (1, 2)]
    first, other = (answer.plan.physical_to_logical for answer in answers)
    assert (first == other).all()


def test_more_work_is_not_worse():
    problem = several(seed=2)
    values = [eplb_opt.plan(problem, effort=n).objective[0] for n in (0, 1, 100)]
    assert values[0] >= values[1] >= values[2]


def test_a_scenario_without_weight_or_load_is_left_out():
    load = np.array([[[9, 1, 1, 1]], [[0, 0, 0, 0]], [[1, 1, 9, 1]]])
    problem = Problem(load, 6, 3, scenario_weights=[1, 1, 0])
    search = AnnealSearch(problem, first_plan(problem)[0], seed=0)
    search.run_slices(20)
    assert search.weight.shape == (4, 1)
    assert not search.is_trivial
    empty = Problem(load, 6, 3, scenario_weights=[0, 1, 0])
    assert AnnealSearch(empty, first_plan(empty)[0], seed=0).is_trivial


def test_counts_look_at_every_load():
    # The second expert is light on average and the hottest in one scenario.
    weight = np.array([[2.0, 2.0], [0.1, 3.0], [0.9, 0.9], [0.9, 0.9]])
    assert counts_for_all(weight, np.array([0.5, 0.5]), 6, 6).tolist() == [2, 2, 1, 1]
    assert counts_for_all(weight, np.array([0.5, 0.5]), 7, 2).max() == 2


def test_groups_are_exchanged_until_the_nodes_are_level():
    load = [[[8, 8, 1, 1, 1, 1, 8, 8]], [[1, 1, 8, 8, 8, 8, 1, 1]]]
    problem = Problem(load, 8, 4, num_nodes=2, num_groups=4)
    assert sorted(level_nodes(problem, [[0, 3], [1, 2]])) in ([[0, 1], [2, 3]], [[0, 2], [1, 3]])
    placed = start_on_nodes(problem, [[0, 1], [2, 3]])
    assert nodes_of(problem, placed) == [[0, 1], [2, 3]]
    checker.check(problem, placed[None])


def test_another_partition_of_the_groups_is_tried():
    load = [[[8, 8, 1, 1, 1, 1, 8, 8]], [[1, 1, 8, 8, 8, 8, 1, 1]]]
    problem = Problem(load, 8, 4, num_nodes=2, num_groups=4)
    bad = np.array([0, 1, 6, 7, 2, 3, 4, 5])
    search = AnnealSearch(problem, bad, seed=0)
    settle_from_starts(search)
    assert scoring.objectives(problem, search.placed()[None])[0] == 1


def test_very_uneven_loads_do_not_overflow():
    load = np.ones((2, 1, 64), dtype=np.int64)
    load[:, 0, 0] = 10**12
    problem = Problem(load, 64, 64)
    search = AnnealSearch(problem, np.arange(64), seed=0)
    with np.errstate(all="raise"):
        search.run_slices(8)
    assert np.isfinite(search.largest_load)
    assert search.best == pytest.approx(64)
