"""The size of the noise: from what holds on scenarios left out."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem
from eplb_opt.clock import Budget, Deadline
from eplb_opt.planner.noise import DEFAULT_SIZE, SIZES, TOLERANCE, choose_noise
from eplb_opt.search.starts import first_plan


def shifting(num_scenarios, size, num_slots=48, seed=0):
    rng = np.random.default_rng(seed)
    load = rng.lognormal(8, 1, 32) * np.exp(size * rng.standard_normal((num_scenarios, 2, 32)))
    return Problem(load.astype(np.int64), num_slots, 8, dispatch="optimal")


def test_without_scenarios_there_is_no_noise_and_with_two_the_default():
    budget = Budget(Deadline(), effort=1)
    one = Problem(shifting(1, 0.5).load[0], 48, 8, dispatch="optimal")
    assert choose_noise(one, first_plan(one), budget).size == 0
    two = shifting(2, 0.5)
    assert choose_noise(two, first_plan(two), budget).size == DEFAULT_SIZE


def test_the_largest_size_that_holds_as_well_as_the_best_is_taken():
    problem = shifting(4, 0.5)
    choice = choose_noise(problem, first_plan(problem), Budget(Deadline(), effort=4))
    assert set(choice.held_out) == set(SIZES)
    best = max(choice.held_out.values())
    assert choice.size == max(s for s, v in choice.held_out.items() if v >= best - TOLERANCE)
    assert 0.3 < best <= 1


def test_no_time_and_no_effort_choose_nothing():
    problem = shifting(4, 0.5)
    for budget in (Budget(Deadline.after(0.01)), Budget(Deadline(), effort=0)):
        assert choose_noise(problem, first_plan(problem), budget).held_out == {}


def test_results_tell_the_noise_and_uniform_ones_have_none():
    problem = shifting(2, 0.3)
    assert eplb_opt.plan(problem, effort=0).noise == DEFAULT_SIZE
    assert eplb_opt.plan(problem, effort=0, noise=0.1).noise == 0.1
    assert eplb_opt.plan(problem.with_dispatch("uniform"), effort=0).noise is None
    with pytest.raises(eplb_opt.ProblemError, match="noise=-1"):
        eplb_opt.plan(problem, noise=-1)


def test_a_scenario_left_out_is_not_planned_for():
    problem = shifting(3, 0.3)
    left = problem.without_scenario(1)
    assert (left.load == problem.load[[0, 2]]).all()
    assert left.scenario_weights.tolist() == [1, 1]
