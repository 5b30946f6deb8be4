"""Designed placements: rules, small optima, the flows inside, repetition, and noise."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt import Problem
from eplb_opt.placement import checker, scoring
from eplb_opt.search.annealing.design import DesignParams, DesignSearch
from eplb_opt.search.annealing.noise import GRID, QUANTILES, factors, noisy_copies
from eplb_opt.search.starts import first_plan
from tests.oracle import free_optimum
from tests.strategies import ruled_problems, scenario_problems


def several(num_scenarios=4, num_experts=32, num_slots=40, num_gpus=8, seed=0, **topology):
    rng = np.random.default_rng(seed)
    load = rng.lognormal(8, 1, num_experts) * np.exp(
        0.5 * rng.standard_normal((num_scenarios, 1, num_experts))
    )
    return Problem(load.astype(np.int64), num_slots, num_gpus, dispatch="optimal", **topology)


def searched(problem, slices=6, seed=0, noise=0.0, **arguments):
    search = DesignSearch(problem, first_plan(problem)[0], seed, noise, **arguments)
    search.settle()
    search.run_slices(slices)
    return search


def value_of(problem, placed):
    return scoring.objectives(problem, placed[None])[0]


@settings(max_examples=60, deadline=None)
@given(scenario_problems(colocations=("allow", "forbid")))
def test_plans_obey_the_rules_and_never_beat_the_optimum(problem):
    problem = problem.with_dispatch("optimal")
    result = eplb_opt.plan(problem, effort=1)
    checker.check(problem, result.plan.physical_to_logical)
    assert result.bounds[0].lower <= free_optimum(problem) <= result.bounds[0].objective


@settings(max_examples=60, deadline=None)
@given(ruled_problems(spreads=(None, "gpu")))
def test_rules_of_gpus_are_obeyed(arguments):
    try:
        problem = Problem(**arguments, dispatch="optimal")
        result = eplb_opt.plan(problem, effort=1)
    except eplb_opt.ProblemError:
        return
    checker.check(problem, result.plan.physical_to_logical)
    assert result.bounds[0].objective >= free_optimum(problem)


def test_small_optima_are_found():
    rng = np.random.default_rng(5)
    found = 0
    for case in range(30):
        load = rng.integers(0, 30, (3, 1, 4))
        objective = ("mean", "max")[case % 2]
        problem = Problem(load, 6, 3, objective=objective, dispatch="optimal")
        search = searched(problem, 4)
        found += value_of(problem, search.placed()) == free_optimum(problem)
    assert found >= 27


@pytest.mark.parametrize("objective", ["mean", "max"])
@pytest.mark.parametrize(
    "topology",
    [{}, {"gpu_speed": [1, 0.5] * 4}],
    ids=["flat", "speeds"],
)
def test_the_search_closes_most_of_what_the_greedy_lacks(topology, objective):
    problem = several(objective=objective, **topology)
    start = first_plan(problem)
    before, after = (value_of(problem, p) for p in (start[0], searched(problem, 20).placed()))
    ideal = eplb_opt.lower_bound(problem)[0]
    assert after - ideal < (before - ideal) / 2


def test_groups_go_to_the_nodes_that_level_them():
    problem = several(num_slots=64, num_nodes=2, num_groups=4)
    groups = problem.load[:, 0].reshape(4, 4, -1).sum(axis=2)  # [num_scenarios, num_groups]
    pairs = [groups[:, [0, other]].sum(axis=1) for other in (1, 2, 3)]
    total = groups.sum(axis=1)
    best = min(np.mean(np.maximum(pair, total - pair) / (total / 2)) for pair in pairs)
    worst = max((np.mean(np.maximum(p, total - p) / (total / 2)), i) for i, p in enumerate(pairs))
    first = [0, worst[1] + 1]
    node = [
        np.concatenate([np.arange(8 * g, 8 * g + 8) for g in first])
        for first in (first, [g for g in range(4) if g not in first])
    ]
    start = np.concatenate([np.tile(experts, 2) for experts in node])
    search = DesignSearch(problem, start, 0)
    search.settle()
    search.run_slices(20)
    assert float(value_of(problem, search.placed())) == pytest.approx(best, abs=1e-3)


def test_its_own_value_is_never_below_the_exact_one_and_close_to_it():
    problem = several()
    search = searched(problem, 20)
    exact = float(value_of(problem, search.placed()))
    assert exact * (1 - 1e-9) <= search.best <= exact * 1.001


def test_flows_stay_whole_through_moves_and_their_undoing():
    problem = several()
    search = searched(problem, 5, noise=0.3)
    slot, flow, load = (getattr(search._search, part)() for part in ("slots", "flow", "load"))
    for expert in range(problem.num_experts):
        assert flow[slot == expert].sum(axis=0) == pytest.approx(search.weight[expert])
    sums = np.zeros_like(load)
    np.add.at(sums, np.arange(len(slot)) // problem.slots_per_gpu, flow)
    assert load == pytest.approx(sums)
    assert (flow >= -1e-12).all()


def test_sums_that_cancel_are_added_up_anew():
    # One expert makes a GPU's 16th power 1e20 times the sum of the others; when its load leaves,
    # what was added and taken away has left nothing of these.
    load = [[619, 62, 89, 55, 96, 90, 97, 88, 66, 58, 82, 51, 54, 99, 95]]
    problem = Problem(load, 16, 16, dispatch="optimal")
    result = eplb_opt.plan(problem, current=[[*range(15), 2]], max_moves=16, effort=1)
    assert not result.messages
    assert result.objective[0] == free_least(problem)


def free_least(problem):
    """The least largest GPU load where one expert has the only spare slot."""
    load = np.sort(problem.load.ravel())[::-1]
    return Fraction(int(max(load[0], 2 * load[1])), 2)


@pytest.mark.parametrize("objective", ["mean", "max"])
def test_skewed_scenarios_are_designed_as_well_as_their_sums_of_powers_allow(objective):
    rng = np.random.default_rng(11)
    load = np.rint(np.exp(rng.normal(0, 3, (6, 1, 12))) * 10).astype(np.int64)
    problem = Problem(load, 24, 12, objective=objective, dispatch="optimal")
    result = eplb_opt.plan(problem, effort=20)
    assert not any("failed" in message for message in result.messages)
    assert result.objective[0] <= value_of(problem, first_plan(problem)[0])


def test_the_same_work_gives_the_same_plan_and_another_seed_another():
    problem = several()
    first, again, other = (searched(problem, 3, seed, 0.3).placed() for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_effort_gives_the_same_bytes_at_any_number_of_workers():
    problem = several(num_scenarios=3)
    load = np.concatenate([problem.load, problem.load[:, :, ::-1]], axis=1)
    problem = Problem(load, 40, 8, dispatch="optimal")
    plans = [eplb_opt.plan(problem, effort=2, workers=w) for w in (1, 3)]
    assert plans[0].noise == plans[1].noise
    maps = [result.plan.physical_to_logical.tobytes() for result in plans]
    assert maps[0] == maps[1]


def test_moves_cost_a_price_and_are_kept_by_their_number():
    problem = several()
    current = first_plan(problem)[0]
    result = eplb_opt.plan(problem, effort=2, current=current[None], max_moves=6)
    assert result.moves[0] <= 6
    free = eplb_opt.evaluate(problem, current[None]).objective[0]
    assert result.objective[0] < free


def test_noise_holds_better_on_loads_that_were_not_known():
    rng = np.random.default_rng(3)
    problem = several(num_scenarios=2, num_slots=64)
    unseen = problem.load[:, 0].repeat(20, 0) * np.exp(0.5 * rng.standard_normal((40, 32)))
    later = Problem(unseen.astype(np.int64)[:, None], 64, 8, dispatch="optimal")
    plain, robust = (searched(problem, 60, noise=noise).placed() for noise in (0.0, 0.5))
    assert value_of(later, robust) < value_of(later, plain)


def test_heavy_experts_keep_their_copies_where_there_is_noise():
    problem = several(num_slots=64)
    heaviest = searched(problem, 1).known.max(axis=1)
    start = np.bincount(first_plan(problem)[0], minlength=32)
    plain, robust = (
        np.bincount(searched(problem, 60, noise=n).placed(), minlength=32) for n in (0.0, 0.3)
    )
    largest = [float((heaviest / count).max()) for count in (start, robust, plain)]
    assert largest[1] <= 1.1 * largest[0] < largest[2]


def test_layers_with_copies_to_spare_are_made_for_more_noise():
    rich, lean = several(num_slots=96), several(num_slots=40)
    assert searched(rich, 40, noise=0.2).noise > 0.3
    assert searched(lean, 40, noise=0.2).noise < 0.3


def test_more_loads_than_fit_side_by_side_are_sampled():
    problem = several(num_scenarios=40)
    params = DesignParams(max_loads=16)
    start = value_of(problem, first_plan(problem)[0])
    assert value_of(problem, searched(problem, 20, params=params).placed()) < start


def test_one_gpu_or_no_load_leaves_nothing_to_do():
    for problem in (Problem([[3, 4]], 2, 1), Problem([[0, 0]], 2, 2)):
        assert DesignSearch(problem.with_dispatch("optimal"), np.array([0, 1]), 0).is_trivial


def test_noisy_copies_keep_the_total_and_spread_as_asked():
    rng = np.random.default_rng(0)
    weight = rng.random((400, 2))
    copies = noisy_copies(weight, np.array([0.0, 1.0]), 0.4, 50, rng)
    assert copies.sum(axis=0) == pytest.approx(np.full(50, weight[:, 1].sum()))
    assert np.log(copies / weight[:, 1:]).std() == pytest.approx(0.4, rel=0.05)
    assert (factors(0.4) * GRID % 1 == 0).all()
    assert len(factors(0.0)) == QUANTILES
    assert (factors(0.0) == 1).all()


def test_an_expert_hot_for_one_gpu_is_split():
    # One expert is half of everything: alone on a GPU it would be four times the mean.
    problem = Problem([[[80, *[10] * 8]], [[10] * 9]], 16, 8, dispatch="optimal")
    placed = searched(problem, 10).placed()
    assert np.unique(np.flatnonzero(placed == 0) // 2).size >= 4
    assert value_of(problem, placed) < Fraction(5, 4)
