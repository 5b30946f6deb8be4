"""Nearest copy: the rule itself, and what plans are worth under it."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt.placement.dispatch_rules import dispatch_score, nearest_copy, nearest_copy_objectives
from eplb_opt.problem.problem import Problem
from eplb_opt.report.dispatch import dispatch_table, signed
from tests.report.test_tables import text_of
from tests.strategies import scenario_problems, tiny_problems


def test_the_only_copy_serves_every_gpu():
    target = nearest_copy(np.array([[0, 1, 2, 3]]), num_gpus=2)
    assert target.tolist() == [[[0, 1, 2, 3], [0, 1, 2, 3]]]


def test_a_copy_on_the_gpu_itself_comes_first_and_the_first_of_two_there():
    target = nearest_copy(np.array([[0, 0, 1, 1, 0, 2]]), num_gpus=2)
    assert target[0, :, 0].tolist() == [0, 4]
    assert target[0, :, 1].tolist()[1] == 3


def test_a_copy_on_the_node_comes_before_the_rest_and_its_first_takes_all():
    # Nodes: GPUs 0, 1 and 2, 3. Expert 0 stands on GPUs 0 and 2, expert 1 on both of node 1.
    placed = np.array([[0, 2, 3, 4, 0, 1, 5, 1]])
    target = nearest_copy(placed, num_gpus=4, num_nodes=2)[0]
    assert target[:, 0].tolist() == [0, 0, 4, 4]
    # Node 1 holds all copies of expert 1, so node 0 is dealt: one of its GPUs to each.
    assert target[2:, 1].tolist() == [5, 7]
    assert sorted(target[:2, 1].tolist()) == [5, 7]


def test_gpus_without_a_copy_are_dealt_evenly():
    # Expert 0 has copies on GPUs 0, 1, 2 of eight: five GPUs are left for three copies.
    placed = np.array([[0, 0, 0, 1, 2, 3, 4, 5]])
    target = nearest_copy(placed, num_gpus=8)[0, :, 0]
    assert target[:3].tolist() == [0, 1, 2]
    assert sorted(np.bincount(target[3:]).tolist()) == [1, 2, 2]


def test_the_dealing_is_the_same_at_every_call_and_follows_the_seed():
    placed = np.tile([0, 0, 0, 1, 2, 3, 4, 5], (20, 1))
    first, again = (nearest_copy(placed, 8) for _ in range(2))
    assert (first == again).all()
    assert (first != nearest_copy(placed, 8, seed=1)).any()


def test_loads_by_hand():
    # Expert 0 on GPUs 0 and 1 of node 0 and on GPU 2 of node 1: both GPUs there send to the last.
    problem = Problem([[12, 3, 2, 2, 1, 1]], num_slots=8, num_gpus=4, num_nodes=2)
    placed = [[0, 1, 0, 2, 0, 3, 4, 5]]
    score = dispatch_score(problem, placed)
    assert score.uniform.tolist() == [12 / 3 + 3]
    assert score.nearest.tolist() == [12 / 2 + 2]
    assert score.nearest_balancedness[0] == pytest.approx(21 / 4 / 8)
    assert score.nearest_excess == pytest.approx(8 / 7 - 1)


def test_nearest_copy_may_also_be_the_better_way():
    # Two of three copies on GPU 0: the uniform split sends it 2/3, nearest copy half.
    problem = Problem([[12, 2, 3, 1]], num_slots=6, num_gpus=2)
    score = dispatch_score(problem, [[0, 0, 1, 0, 2, 3]])
    assert (score.uniform[0], score.nearest[0]) == (8 + 2, 6 + 4)
    flat = Problem([[12, 2, 1, 1]], num_slots=6, num_gpus=2)
    assert dispatch_score(flat, [[0, 0, 1, 0, 2, 3]]).nearest_excess == pytest.approx(8 / 10 - 1)


def test_lost_gpus_send_nothing_and_slow_ones_count_for_more():
    # GPU 2 is lost, so two GPUs send halves; GPU 1 runs at half the speed.
    problem = Problem(
        [[12, 4]], num_slots=6, num_gpus=3, active_gpus=[True, True, False], gpu_speed=[1, 0.5, 1]
    )
    placed = [[0, 1, 0, 0, -1, -1]]
    assert nearest_copy_objectives(problem, placed) == [max(6 + 4, 6 * 2)]
    target = nearest_copy(np.array(placed), 3, active_gpus=np.array([True, True, False]))[0]
    assert target.tolist() == [[0, 1], [2, 1], [-1, -1]]


def brute_force(problem, load, placed, layer_idx):
    """Every GPU's share sent on its own, in rationals."""
    target = nearest_copy(
        placed, problem.num_gpus, problem.num_nodes, num_experts=problem.num_experts
    )[layer_idx]
    gpus = [Fraction(0)] * problem.num_gpus
    for source, expert in product(range(problem.num_gpus), range(problem.num_experts)):
        slot = target[source, expert]
        assert placed[layer_idx, slot] == expert
        gpus[slot // problem.slots_per_gpu] += Fraction(int(load[expert]), problem.num_gpus)
    return max(gpus)


@settings(max_examples=60, deadline=None)
@given(tiny_problems())
def test_scores_are_the_sum_of_what_each_gpu_sends(problem):
    placed = eplb_opt.plan(problem, effort=0).plan.physical_to_logical
    wanted = brute_force(problem, problem.load[0], placed, 0)
    assert nearest_copy_objectives(problem, placed) == [wanted]


@settings(max_examples=30, deadline=None)
@given(scenario_problems())
def test_scenarios_count_relative_to_their_means_here_too(problem):
    placed = eplb_opt.plan(problem, effort=0).plan.physical_to_logical
    ratios = []
    for load in problem.load[:, 0]:
        total = int(load.sum())
        peak = brute_force(problem, load, placed, 0)
        ratios.append(peak * problem.num_gpus / total if total else Fraction(1))
    shares = problem.shares
    mean = sum(r * s for r, s in zip(ratios, shares, strict=True))
    worst = max(r for r, s in zip(ratios, shares, strict=True) if s)
    wanted = {"mean": mean, "max": worst}[problem.objective]
    assert nearest_copy_objectives(problem, placed) == [wanted]


def test_loads_beyond_53_bits_stay_exact():
    problem = Problem([[2**60 + 1, 1]], num_slots=6, num_gpus=3)
    (peak,) = nearest_copy_objectives(problem, [[0, 1, 0, 0, 0, 0]])
    assert peak == Fraction(2**60 + 1, 3) + 1


def test_a_plan_that_breaks_a_rule_has_no_score():
    with pytest.raises(eplb_opt.PlanError, match="expert 1 is on no GPU"):
        dispatch_score(Problem([[1, 2]], 2, 2), [[0, 0]])


def test_the_table_shows_both_ways_and_the_distance():
    problem = Problem([[9, 3, 1, 2], [0, 0, 0, 0]], num_slots=6, num_gpus=3)
    score = dispatch_score(problem, [[0, 1, 0, 2, 3, 1]] * 2)
    text = text_of(dispatch_table(score))
    assert "nearest copy" in text
    assert signed(score.nearest_excess) in text
    assert signed(0.0) == "0"
    assert signed(-0.01) == "-1 %"
