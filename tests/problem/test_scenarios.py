"""One plan for several loads: what it is worth, and what bounds it."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt.bounds.bounds import fast_bounds, flat_bounds
from eplb_opt.placement import scoring
from eplb_opt.problem.problem import Problem
from eplb_opt.problem.scenarios import blended
from tests.oracle import scenario_optimum
from tests.strategies import scenario_problems

TWO = [[[4, 2, 1, 1]], [[10, 10, 20, 40]]]


@settings(max_examples=150, deadline=None)
@given(scenario_problems(colocations=("allow", "forbid")))
def test_bounds_never_exceed_the_optimum_and_plans_never_fall_below_it(problem):
    best = scenario_optimum(problem)[0]
    assert flat_bounds(problem)[0].value <= best
    assert fast_bounds(problem)[0].value <= best
    result = eplb_opt.plan(problem, effort=1)
    assert result.bounds[0].lower <= best <= result.bounds[0].objective


def test_each_scenario_counts_relative_to_its_own_mean():
    problem = Problem(TWO, num_slots=4, num_gpus=2)
    placed = np.array([[0, 3, 1, 2]])
    # 5 of 4 and 3: 5/4 of the mean; 50 of 50 and 30: 5/4.
    assert scoring.scenario_ratios(problem, placed) == [[Fraction(5, 4)], [Fraction(5, 4)]]
    placed = np.array([[0, 1, 2, 3]])
    assert scoring.objectives(problem, placed) == [Fraction(3, 2)]
    assert scoring.objectives(problem.with_objective("max"), placed) == [Fraction(3, 2)]


def test_weights_and_the_worst_scenario_decide():
    placed = np.array([[0, 1, 2, 3]])
    loads = [[[6, 2, 0, 0]], [[1, 1, 1, 1]]]
    weighted = Problem(loads, 4, 2, scenario_weights=[1, 3])
    assert scoring.objectives(weighted, placed) == [Fraction(2 + 3, 4)]
    assert scoring.objectives(weighted.with_objective("max"), placed) == [2]
    ignored = Problem(loads, 4, 2, scenario_weights=[0, 3], objective="max")
    assert scoring.objectives(ignored, placed) == [1]


def test_a_scenario_without_load_counts_as_level():
    problem = Problem([[[0, 0]], [[3, 1]]], 2, 2)
    assert scoring.objectives(problem, np.array([[0, 1]])) == [Fraction(1 + Fraction(3, 2), 2)]


def test_loads_rounded_at_the_door_widen_both_sides():
    fine = np.array([[[2.0**40, 1 + 2.0**-40]], [[1.0, 1.0]]])
    problem = Problem(fine, 2, 2)
    assert problem.rounded.tolist() == [[True], [False]]
    truth = (2 * Fraction(2**40) / (2**40 + 1 + Fraction(1, 2**40)) + 1) / 2
    assert flat_bounds(problem)[0].value <= truth
    assert scoring.objectives(problem, np.array([[0, 1]]))[0] >= truth


def test_one_scenario_is_planned_like_its_load_but_counted_relatively():
    load = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]]
    alone = Problem(load, 16, 8)
    as_scenario = Problem([load], 16, 8)
    placed = eplb_opt.plan(alone, effort=1).plan.physical_to_logical
    ratio = scoring.objectives(as_scenario, placed)[0]
    assert ratio == scoring.objectives(alone, placed)[0] * 8 / sum(load[0])


def test_the_result_tells_every_scenario():
    problem = Problem(np.array(TWO), 6, 2)
    result = eplb_opt.plan(problem, effort=1)
    assert result.scenario_balancedness.shape == (2, 1)
    mean_of_ratios = (1 / result.scenario_balancedness[:, 0]).mean()
    assert result.objective[0] == pytest.approx(mean_of_ratios)
    assert result.balancedness[0] == pytest.approx(1 / mean_of_ratios)


def test_a_blend_weighs_scenarios_not_tokens():
    problem = Problem([[[1, 3]], [[3000, 1000]]], 2, 2)
    assert blended(problem).load.tolist() == [[2**43, 2**43]]
    weighted = Problem([[[1, 3]], [[3000, 1000]]], 2, 2, scenario_weights=[1, 0])
    assert blended(weighted).load.tolist() == [[2**42, 3 * 2**42]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scenario_weights": [1, 2, 3]}, "shape"),
        ({"scenario_weights": [1, -1]}, "at least 0"),
        ({"scenario_weights": [0, 0]}, "not all 0"),
        ({"scenario_weights": [1, np.nan]}, "finite"),
        ({"objective": "median"}, "known: mean, max"),
        ({"load": [[1, 2], [3, 4]], "scenario_weights": [1, 1]}, "num_scenarios"),
        ({"load": [[[1, 2]], [[3, -4]]]}, r"load\[1, 0, 1\] = -4 is negative"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_numbers(changes, words):
    arguments = {"load": [[[1, 2]], [[3, 4]]], "num_slots": 2, "num_gpus": 2} | changes
    with pytest.raises(eplb_opt.ProblemError, match=words):
        Problem(**arguments)


def test_the_objective_of_a_call_replaces_the_problems_own():
    problem = Problem([[[6, 2, 0, 0]], [[1, 1, 1, 1]]], 4, 2)
    worst = eplb_opt.plan(problem, effort=1, objective="max")
    assert worst.problem.objective == "max"
    with pytest.raises(eplb_opt.ProblemError, match="known: mean, max"):
        eplb_opt.plan(problem, effort=1, objective="median")
