import heapq
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt import Problem
from eplb_opt.bounds import bounds, partitions
from eplb_opt.bounds.water_level import water_levels
from tests.oracle import optimum
from tests.strategies import LOADS, hierarchical_problems, tiny_problems


def greedy_level(load, num_slots):
    """The water level by handing out one slot after the other, in exact fractions."""
    heap = [(-Fraction(w), w, 1) for w in load]
    heapq.heapify(heap)
    for _ in range(num_slots - len(load)):
        _, w, c = heap[0]
        heapq.heapreplace(heap, (-Fraction(w, c + 1), w, c + 1))
    return -heap[0][0]


@settings(max_examples=300)
@given(
    rows=st.integers(1, 8).flatmap(
        lambda n: st.lists(st.lists(LOADS, min_size=n, max_size=n), min_size=1, max_size=3)
    ),
    extra=st.integers(0, 20),
)
def test_water_level_is_what_handing_out_slots_one_by_one_reaches(rows, extra):
    num_slots = len(rows[0]) + extra
    levels = water_levels(np.array(rows), num_slots)
    assert levels == [greedy_level(row, num_slots) for row in rows]


def test_water_level_at_the_edge_of_exact_arithmetic():
    load = np.array([[2**61, 2**61 - 1], [2**62 - 2, 0], [1, 0]])
    for extra in (0, 1, 5, 1000):
        expected = [greedy_level(row, 2 + extra) for row in load.tolist()]
        assert water_levels(load, 2 + extra) == expected


@settings(max_examples=150, deadline=None)
@given(problem=tiny_problems())
def test_bound_never_exceeds_the_optimum(problem):
    best = optimum(problem)[0]
    for methods in (bounds.FLAT_BOUNDS, bounds.HIERARCHICAL_BOUNDS):
        for name, method in methods.items():
            if name == "hierarchy" and not problem.is_hierarchical:
                continue
            assert method(problem)[0] <= best, name
    assert bounds.fast_bounds(problem)[0].value <= best


def every_partition(problem):
    """The hierarchical bound by looking at every assignment of groups to nodes."""
    groups = problem.load[0].reshape(problem.num_groups, -1)
    size = problem.groups_per_node
    best = None
    for order in permutations(range(problem.num_groups)):
        worst = Fraction(0)
        for first in range(0, problem.num_groups, size):
            node = groups[list(order[first : first + size])].ravel()
            worst = max(
                worst,
                greedy_level(node.tolist(), problem.slots_per_node),
                Fraction(int(node.sum()), problem.gpus_per_node),
            )
        best = worst if best is None else min(best, worst)
    return best


@settings(max_examples=60, deadline=None)
@given(problem=hierarchical_problems())
def test_hierarchical_bound_is_the_best_partition(problem):
    assert bounds.hierarchical_bound(problem) == [every_partition(problem)]


def test_many_layers_and_three_nodes_agree_with_every_partition():
    rng = np.random.default_rng(5)
    load = rng.integers(0, 1000, (4, 12))
    problem = Problem(load, 24, 6, num_nodes=3, num_groups=6)
    expected = [every_partition(problem.layer(i)) for i in range(4)]
    assert bounds.hierarchical_bound(problem) == expected


def test_bound_for_too_many_partitions_is_still_true(monkeypatch):
    rng = np.random.default_rng(6)
    for _ in range(50):
        problem = Problem(rng.integers(0, 100, (1, 6)), 12, 6, num_nodes=3, num_groups=6)
        exact = bounds.hierarchical_bound(problem)[0]
        with monkeypatch.context() as patch:
            patch.setattr(partitions, "MAX_PARTITION_STEPS", 0)
            relaxed = bounds.hierarchical_bound(problem)[0]
        assert 0 < relaxed <= exact


def test_hundreds_of_groups_do_not_take_forever():
    problem = Problem(np.arange(1, 513)[None, :], 1024, 64, num_nodes=8, num_groups=256)
    assert bounds.hierarchical_bound(problem)[0] > 0


@settings(max_examples=200, deadline=None)
@given(problem=tiny_problems(), share=st.fractions(0, 1))
def test_a_bound_rounded_up_to_an_attainable_load_stays_a_bound(problem, share):
    best = optimum(problem)[0]
    raised = bounds.attainable(problem, 0, bounds.Bound(best * share, "mean"))
    assert best * share <= raised.value <= best
    assert raised.source == "mean"


def test_without_spare_slots_a_fractional_mean_is_rounded_up_to_a_token():
    assert bounds.fast_bounds(Problem([[3, 2, 1, 1]], 4, 2))[0].value == 4
    assert bounds.fast_bounds(Problem([[30, 20, 10, 10]], 4, 2))[0].value == 40


@pytest.mark.parametrize(("scale", "source"), [([1, 1, 1, 1], "mean"), ([9, 0, 0, 0], "waterfill")])
def test_the_bound_names_its_argument(scale, source):
    assert bounds.fast_bounds(Problem([scale], 4, 2))[0].source == source
