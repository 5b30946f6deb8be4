"""Weights of replicas that no GPU holds much of: bounds, and their proofs from any hand."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import CostTable, Problem, StepCost, plan
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.exact.cost_packing import CostPackingSolver
from eplb_opt.placement import scoring
from eplb_opt.search.starts import first_plan
from eplb_opt.solver import Options
from tests.oracle import cost_optimum
from tests.planner.test_schedule import task_of
from tests.strategies import cost_problems


def three_of_four():
    """Four equal replicas on three GPUs: two meet, which no total and no level says."""
    return Problem([[1, 1, 1, 1, 1, 1]], 6, 3, cost=CostTable([[9], [9], [9], [9], [1], [1]]))


def test_two_large_replicas_must_meet():
    problem = three_of_four()
    assert fast_bounds(problem)[0].value == 13
    answer = CostPackingSolver(problem, Options()).solve(task_of(problem))
    assert cost_optimum(problem) == [18]
    assert answer.bound.value == 18
    assert verify(problem, answer.certificate) == 18


@settings(max_examples=80, deadline=None)
@given(cost_problems(with_rules=True))
def test_no_bound_exceeds_the_optimum_and_each_is_proven_again(problem):
    best = cost_optimum(problem)[0]
    start = first_plan(problem)
    assert scoring.objectives(problem, start)[0] >= best
    answer = CostPackingSolver(problem, Options()).solve(task_of(problem))
    if answer.bound is not None:
        assert fast_bounds(problem)[0].value < answer.bound.value <= best
        assert verify(problem, answer.certificate) == answer.bound.value


@pytest.mark.parametrize(
    ("bound", "data", "words"),
    [
        (19, {"parts": 1, "shift": 1}, "allow less"),
        (18, {"parts": 1}, "two integers"),
        (18, {"parts": [1], "shift": 1}, "two integers"),
        (18, {"parts": 1, "shift": [0]}, "two integers"),
        (18, {"parts": 0, "shift": 0}, "out of range"),
        (18, {"parts": 1, "shift": 2}, "out of range"),
        (18, {"parts": 1, "shift": -1}, "out of range"),
        (Fraction(35, 2), {"parts": 1, "shift": 1}, "whole numbers"),
        (2, {"parts": 1, "shift": 1}, "no room"),
    ],
)
def test_what_proves_nothing_is_refused(bound, data, words):
    with pytest.raises(CertificateError, match=words):
        verify(three_of_four(), Certificate("cost_packing", Fraction(bound), data))


def test_it_is_of_no_problem_without_costs_and_no_other_kind_is_of_one_with():
    plain = Problem([[1, 1]], 4, 2)
    for problem, kind in ((plain, "cost_packing"), (three_of_four(), "config_lp")):
        with pytest.raises(CertificateError, match="not of such a problem"):
            verify(problem, Certificate(kind, Fraction(1), {"parts": 1, "shift": 0}))


def test_a_call_keeps_the_proof_and_counted_work_repeats_it():
    # All experts but one are read in every step, four on some GPU; a mean knows of 31 / 8.
    load = [[1000] * 31 + [2]]
    cost = StepCost.preset("H100", "deepseek-v3")
    problem = Problem(load, 40, 8, cost=cost, batch_tokens=32)
    first, second = (plan(problem, effort=60) for _ in range(2))
    assert first.bounds == second.bounds
    assert first.bound_source == ["cost_packing"]
    assert verify(problem, first.certificates[0]) == first.bounds[0].lower


def test_a_pair_that_would_take_long_is_left_out():
    problem = Problem(np.ones((1, 256)), 2048, 8, cost=CostTable(np.ones((256, 1793))))
    answer = CostPackingSolver(problem, Options()).solve(task_of(problem))
    assert "too large" in answer.reason
