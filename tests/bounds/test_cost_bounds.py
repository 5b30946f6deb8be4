"""Bounds of the largest GPU cost, against every plan of tiny problems."""

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import CostTable, Problem
from eplb_opt.bounds import costs
from eplb_opt.bounds.bounds import fast_bounds, flat_bounds
from tests.oracle import cost_optimum
from tests.strategies import cost_problems


@settings(max_examples=150, deadline=None)
@given(cost_problems(with_rules=True))
def test_no_bound_exceeds_the_optimum(problem):
    best = cost_optimum(problem)[0]
    total, level = costs.total_bound(problem)[0], costs.level_bound(problem)[0]
    both = costs.counts_bound(problem, [max(total, level)])[0]
    assert max(total, level) <= both <= best
    assert fast_bounds(problem)[0].value == flat_bounds(problem)[0].value == both


def test_one_slot_a_gpu_is_bounded_exactly():
    # Two copies of the dear expert cost 6 each, three 5; the slots allow three at most.
    table = [[9, 6, 5], [1, 1, 1], [3, 3, 3]]
    problem = Problem([[5, 2, 1]], 5, 5, cost=CostTable(table))
    bound = fast_bounds(problem)[0]
    assert (bound.value, bound.source) == (5, "cost_level")


def test_copies_that_raise_the_total_raise_the_bound():
    # Every further copy costs a whole reading of the weights: 6 slots cost 6, however filled.
    problem = Problem([[4, 3, 2, 1]], 6, 2, cost=CostTable(np.full((4, 3), 2)))
    bound = fast_bounds(problem)[0]
    assert (bound.value, bound.source) == (6, "cost_total")


def test_the_two_arguments_together_are_stronger_than_either():
    # Cheap counts have one dear replica of expert 0; without it the total is far too large.
    problem = Problem([[3, 1]], 4, 2, cost=CostTable([[10, 8, 7], [6, 6, 0]]))
    assert costs.total_bound(problem) == [5]
    assert costs.level_bound(problem) == [7]
    bound = fast_bounds(problem)[0]
    assert (bound.value, bound.source) == (10, "cost_counts")
    assert cost_optimum(problem) == [10]


@settings(max_examples=60, deadline=None)
@given(cost_problems())
def test_pricing_slots_never_exceeds_the_exact_total(problem):
    spare = problem.num_slots - problem.num_experts
    exact = costs.least_totals(problem.replica_cost, spare)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "MAX_SUMS", 0)
        priced = costs.least_totals(problem.replica_cost, spare)
    assert (priced <= exact).all()


def test_pricing_slots_is_exact_where_totals_are_convex_in_the_counts():
    load = np.array([50, 20, 9, 3])
    table = 1000 * load[:, None] // np.arange(1, 10) ** 2
    spare = 8
    replica = np.pad(table, ((0, 0), (1, 0)))[None]
    exact = costs.least_totals(replica, spare)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "MAX_SUMS", 0)
        priced = costs.least_totals(replica, spare)
    assert priced[0] == pytest.approx(exact[0], rel=1e-2)


def test_two_layers_are_bounded_as_each_alone():
    table = np.random.default_rng(1).integers(1, 50, (2, 5, 4))
    problem = Problem(np.ones((2, 5)), 8, 4, cost=CostTable(table))
    together = [bound.value for bound in fast_bounds(problem)]
    assert together == [fast_bounds(problem.layer(i))[0].value for i in range(2)]
