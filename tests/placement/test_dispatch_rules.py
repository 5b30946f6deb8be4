"""What plans are worth under nearest copy, beside the other ways."""

from fractions import Fraction

import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt.placement.dispatch_rules import dispatch_score, nearest_copy_objectives
from eplb_opt.problem.problem import Problem
from eplb_opt.report.dispatch import dispatch_table, signed
from tests import sender_oracle
from tests.report.test_tables import text_of
from tests.strategies import scenario_problems, tiny_problems


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


def brute_force(problem, load, placed, layer_idx):
    """Every GPU's share sent on its own, in rationals."""
    near = problem.with_dispatch("nearest")
    layer = sender_oracle.targets(near, placed.tolist())[layer_idx]
    return max(sender_oracle.gpu_loads(near, load.tolist(), layer))


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


def test_groups_on_nodes_that_differ_leave_every_dispatch_its_score():
    terms = {"num_nodes": 2, "num_groups": 2, "gpu_speed": [1, 1, 0.5, 0.5]}
    strict = Problem([[8, 4, 2, 2]], 8, 4, **terms)
    placed = [[0, 0, 1, 1, 2, 2, 3, 3]]
    score = dispatch_score(strict, placed)
    assert score.uniform[0] == 8 == score.optimal[0] == score.nearest[0] == score.rank_modulo[0]
