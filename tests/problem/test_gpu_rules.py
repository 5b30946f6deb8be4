"""Lost and uneven GPUs, experts that are tied to them: rules, worth and bounds."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.placement import scoring
from eplb_opt.problem.problem import Problem
from eplb_opt.search.starts import first_plan
from tests.oracle import ruled_optimum
from tests.strategies import ruled_problems

LOADS = [[600, 560, 120, 120, 20, 10, 10, 10]]


@settings(max_examples=300, deadline=None)
@given(ruled_problems())
def test_a_plan_obeys_the_rules_or_there_is_none(arguments):
    try:
        problem = Problem(**arguments)
    except eplb_opt.ProblemError:
        return  # told when the problem is made
    best = ruled_optimum(problem)[0]
    try:
        result = eplb_opt.plan(problem, effort=1)
    except eplb_opt.ProblemError:
        assert best is None
        return
    assert best is not None
    assert result.bounds[0].lower <= best <= result.bounds[0].objective
    assert fast_bounds(problem)[0].value <= best


def test_a_lost_gpus_slots_stay_empty_and_the_others_are_planned_in_full():
    active = np.ones(8, dtype=bool)
    active[[2, 5]] = False
    problem = Problem(LOADS, 16, 8, active_gpus=active)
    result = eplb_opt.plan(problem, effort=2)
    by_gpu = result.plan.physical_to_logical.reshape(8, 2)
    assert (by_gpu[~active] == -1).all()
    assert (by_gpu[active] >= 0).all()
    alone = eplb_opt.plan(Problem(LOADS, 12, 6), effort=2)
    assert result.objective == alone.objective
    assert result.lower_bound == alone.lower_bound


def test_moves_count_only_on_gpus_that_are_left():
    whole = eplb_opt.plan(Problem(LOADS, 16, 8), effort=1)
    active = np.arange(8) != 3
    left = eplb_opt.plan(Problem(LOADS, 16, 8, active_gpus=active), effort=0, current=whole.plan)
    held = whole.plan.physical_to_logical.reshape(8, 2)
    new = left.plan.physical_to_logical.reshape(8, 2)
    moved = sum(e not in held[g] for g in range(8) if active[g] for e in new[g])
    assert left.moves.tolist() == [moved]


def test_nodes_that_lost_equally_many_keep_their_groups():
    loads = np.arange(1, 17)[None, :]
    active = np.array([True, True, False, True, False, True, True, True])
    problem = Problem(loads, 32, 8, 2, 4, active_gpus=active)
    plan = eplb_opt.plan(problem, effort=1).plan
    plan.check(problem)
    uneven = Problem(loads, 32, 8, 2, 4, active_gpus=np.arange(8) != 0)
    eplb_opt.plan(uneven, effort=1).plan.check(uneven)


def test_a_slow_gpus_load_counts_for_more():
    problem = Problem([[6, 2]], 2, 2, gpu_speed=[3, 0.5])
    assert scoring.objectives(problem, np.array([[0, 1]])) == [4]
    assert scoring.objectives(problem, np.array([[1, 0]])) == [12]
    assert fast_bounds(problem)[0].value == Fraction(8, 1) / Fraction(7, 2)


def test_uneven_slots_are_filled_from_the_first():
    problem = Problem([[5, 4, 3, 2]], 9, 3, gpu_slots=[3, 1, 2])
    placed = first_plan(problem)[0].reshape(3, 3)
    assert (placed >= 0).tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    wrong = placed.ravel().copy()
    wrong[4] = 0
    with pytest.raises(eplb_opt.PlanError, match="GPU 1, slot 4"):
        eplb_opt.Plan(wrong[None, :], 3).check(problem)


def test_experts_make_way_for_one_that_has_no_other_place():
    # Expert 2, the lightest, may stand on GPU 0 alone, which the heavier ones fill first.
    forbidden = [(2, 1), (2, 2)]
    problem = Problem([[9, 8, 1]], 3, 3, forbidden=forbidden)
    assert first_plan(problem)[0, 0] == 2


def test_a_pinned_expert_that_is_missing_is_named():
    problem = Problem([[5, 4]], 2, 2, pinned=[(0, 1)])
    assert first_plan(problem).tolist() == [[1, 0]]
    with pytest.raises(eplb_opt.PlanError, match="GPU 1: expert 0 is pinned"):
        eplb_opt.Plan([[0, 1]], 2).check(problem)
    barred = Problem([[5, 4]], 2, 2, forbidden=[(0, 0)])
    with pytest.raises(eplb_opt.PlanError, match="GPU 0: expert 0 is forbidden"):
        eplb_opt.Plan([[0, 1]], 2).check(barred)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"active_gpus": [True]}, r"bool \[2\]"),
        ({"active_gpus": [False, False]}, "None of the 2 GPUs"),
        ({"active_gpus": [1, 0]}, "type int64"),
        ({"gpu_slots": [3, 1]}, r"0\.\.2"),
        ({"gpu_slots": [1, 1]}, "2 slots are left"),
        ({"gpu_speed": [1, 0]}, "above 0"),
        ({"gpu_speed": [1, np.inf]}, "finite"),
        ({"pinned": [(3, 0)]}, r"\[3, 0\]; the range is \[3, 2\]"),
        ({"pinned": [(0, 0), (1, 0), (2, 0)]}, "3 experts are pinned to GPU 0"),
        ({"pinned": [(0, 0)], "forbidden": [(0, 0)]}, "both pinned and forbidden"),
        ({"forbidden": [(0.5, 1)]}, "integers"),
    ],
)
def test_rules_that_cannot_hold_are_refused_with_the_numbers(rules, words):
    with pytest.raises(eplb_opt.ProblemError, match=words):
        Problem([[1, 2, 3]], 4, 2, **rules)


def test_rules_that_leave_no_plan_are_found_out():
    with pytest.raises(eplb_opt.ProblemError, match="expert 2 finds no slot"):
        eplb_opt.plan(Problem([[3, 2, 1]], 4, 2, gpu_slots=[1, 2], forbidden=[(1, 1), (2, 1)]))
