"""Nodes of hierarchical layers: bounds raised one by one, plans put together."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt.bench.families import family_loads
from eplb_opt.bounds import partitions
from eplb_opt.bounds.bounds import hierarchical_bound
from eplb_opt.clock import Deadline
from eplb_opt.exact.nodes.group_set import NodesParams
from eplb_opt.exact.nodes.model import NodeDecomposition, NodesModel
from eplb_opt.placement.checker import check
from eplb_opt.placement.scoring import largest_gpu_loads
from eplb_opt.problem.problem import Problem
from eplb_opt.search.starts import first_plan
from tests.exact.instances import TINY, WORKED
from tests.exact.starts import round_robin
from tests.oracle import optimum
from tests.strategies import SMALL_LOADS, hierarchical_problems

HIERARCHICAL = [name for name, problem in TINY.items() if problem.is_hierarchical]


def solve(problem, start=None, params=NodesParams(), seconds=20.0, **limits):  # noqa: B008
    start = round_robin(problem) if start is None else start
    return NodesModel(params)(problem, start, Fraction(0), Deadline.after(seconds), **limits)


def value(problem, placed):
    check(problem, placed[None, :])
    return largest_gpu_loads(problem.load, placed[None, :], problem.num_gpus)[0]


def heavy(layer_idx=3):
    """A layer of one group a node; the node of the heaviest expert is far above its mean."""
    load = family_loads("zipf-1.2", layer_idx + 1, 256, 0)
    return Problem(load, 320, 64, num_nodes=8, num_groups=8).layer(layer_idx)


def assert_solved(problem):
    answer = solve(problem)
    best = optimum(problem)[0]
    assert answer.finished
    assert answer.lower_bound == best == value(problem, answer.physical_to_logical)


@pytest.mark.parametrize("kind", HIERARCHICAL)
def test_tiny_layer_is_solved(kind):
    assert_solved(TINY[kind])


@settings(max_examples=60, deadline=None)
@given(hierarchical_problems(colocations=("allow", "forbid"), loads=SMALL_LOADS))
def test_any_tiny_layer_is_solved(problem):
    assert_solved(problem)


@settings(max_examples=20, deadline=None)
@given(hierarchical_problems(colocations=("allow", "forbid")))
def test_loads_beyond_the_solver_s_integers_end_close_to_the_optimum(problem):
    answer = solve(problem)
    best = optimum(problem)[0]
    assert answer.finished
    assert answer.lower_bound <= best <= answer.lower_bound * (1 + Fraction(1, 10**7))


@settings(max_examples=60, deadline=None)
@given(hierarchical_problems(colocations=("allow", "forbid")))
def test_bound_is_true_and_no_weaker_than_the_hierarchical_one_however_little_time(problem):
    for effort in (0, 1, 3):
        answer = solve(problem, effort=effort)
        assert hierarchical_bound(problem)[0] <= answer.lower_bound <= optimum(problem)[0]
        start = value(problem, round_robin(problem))
        assert value(problem, answer.physical_to_logical) <= start


@pytest.mark.parametrize("example", [name for name in WORKED if "hierarchical" in name])
def test_worked_example_is_solved(example):
    problem, (top, bottom) = WORKED[example]
    answer = solve(problem)
    assert answer.lower_bound == Fraction(top, bottom)
    assert value(problem, answer.physical_to_logical) == Fraction(top, bottom)


def test_node_of_a_heavy_expert_is_solved_where_its_mean_is_loose():
    problem = heavy()
    loose = hierarchical_bound(problem)[0]
    answer = solve(problem, first_plan(problem)[0], seconds=8.0)
    assert answer.lower_bound > loose * Fraction(1009, 1000)
    assert value(problem, answer.physical_to_logical) <= answer.lower_bound * Fraction(1001, 1000)


def test_two_slots_a_gpu_are_solved_far_above_the_water_level():
    load = family_loads("zipf-0.8", 1, 256, 0)
    problem = Problem(load, 288, 144, num_nodes=4, num_groups=8)
    answer = solve(problem, first_plan(problem)[0])
    assert answer.lower_bound == value(problem, answer.physical_to_logical)
    assert answer.lower_bound > hierarchical_bound(problem)[0] * Fraction(105, 100)


def test_sets_that_make_no_partition_are_seen():
    problem = TINY["hierarchical, two groups a node"]
    bounds = partitions.set_bounds(problem)
    assert partitions.least_partition(problem, {0b0011: bounds[0b0011]}) is None
    pair = {mask: bounds[mask] for mask in (0b0101, 0b1010, 0b1100)}
    assert partitions.least_partition(problem, pair) == (0b0101, 0b1010)
    assert partitions.members(0b1010) == [1, 3]


def test_partition_changes_when_the_first_one_is_found_out():
    found = 0
    for seed in range(30):
        load = np.random.default_rng(seed).integers(0, 60, size=(1, 8)) ** 2
        problem = Problem(load, 12, 4, num_nodes=2, num_groups=4)
        before = partitions.best_partition(problem)
        nodes = NodeDecomposition(problem, round_robin(problem), NodesParams(), 0)
        answer = nodes.run(Fraction(0), Deadline.after(5))
        assert answer.lower_bound == value(problem, answer.physical_to_logical)
        after = partitions.least_partition(problem, nodes.bound)
        found += sorted(before) != sorted(partitions.members(mask) for mask in after)
    assert found


def test_better_plans_are_taken_over():
    problem = heavy()
    nodes = NodeDecomposition(problem, round_robin(problem), NodesParams(), 0)
    plan = first_plan(problem)[0]
    nodes.offer(plan)
    answer = nodes.run(Fraction(0), Deadline.after(0))
    assert value(problem, answer.physical_to_logical) <= value(problem, plan)
    assert not answer.finished


def test_a_later_run_goes_on():
    problem = TINY["hierarchical, two groups a node"]
    nodes = NodeDecomposition(problem, round_robin(problem), NodesParams(), 0)
    bounds = [nodes.run(Fraction(0), Deadline(), effort=1).lower_bound for _ in range(4)]
    assert bounds == sorted(bounds)
    assert nodes.run(Fraction(0), Deadline.after(10)).lower_bound == optimum(problem)[0]


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0])
def test_deadline_holds(seconds):
    problem = heavy(6)
    began = time.monotonic()
    answer = solve(problem, first_plan(problem)[0], seconds=seconds)
    assert time.monotonic() - began < seconds + 0.3
    assert answer.physical_to_logical is not None
    assert not answer.finished


def test_effort_gives_the_same_answer_twice():
    problem = heavy(6)
    start = first_plan(problem)[0]
    answers = [solve(problem, start, seconds=0.0, effort=300, seed=5) for _ in range(2)]
    assert answers[0].lower_bound == answers[1].lower_bound > hierarchical_bound(problem)[0]
    assert np.array_equal(answers[0].physical_to_logical, answers[1].physical_to_logical)


def test_flat_layer_is_refused():
    assert "no nodes" in solve(Problem([[7, 5, 3, 2]], 6, 3)).message


def test_too_many_partitions_are_refused(monkeypatch):
    monkeypatch.setattr(partitions, "MAX_PARTITION_STEPS", 0)
    answer = solve(TINY["hierarchical"])
    assert answer.refused
    assert "partitions" in answer.message


def test_large_nodes_are_refused_where_nothing_else_helps():
    problem = Problem([[9, 8, 7, 6, 5, 4, 3, 2, 9, 8]], 18, 6, num_nodes=2, num_groups=2)
    answer = solve(problem, params=NodesParams(max_columns=5, heavy_regime=9.0))
    assert answer.refused
    assert "more than 5" in answer.message


def test_start_that_meets_the_bound_is_the_answer():
    problem = Problem([[4, 4, 4, 4]], 4, 2, num_nodes=2, num_groups=2)
    answer = solve(problem, seconds=5.0)
    assert answer.finished
    assert answer.lower_bound == 8
