from fractions import Fraction

import numpy as np
import pytest

from eplb_opt import Problem, evaluate
from eplb_opt.errors import ProblemError
from eplb_opt.placement.caller_units import balancedness
from eplb_opt.workloads.sizing import Size, TargetStatus, make_sizes, sweep
from eplb_opt.workloads.sizing.report import exact_balance

LOAD = np.array([[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86], [5, 4, 3, 2, 1] + [1] * 7])
QUICK = {"effort": 3, "workers": 1}


@pytest.fixture(scope="module")
def report():
    return sweep(LOAD, make_sizes(12, [4, 6]), target_balancedness=0.98, **QUICK)


def test_every_size_has_a_plan_above_its_bound(report):
    assert [row.size.num_slots for row in report.rows] == [12, 16, 20, 24, 28, 12, 18, 24, 30, 36]
    for row in report.rows:
        problem = Problem(LOAD, row.size.num_slots, row.size.num_gpus)
        assert evaluate(problem, row.result.plan).objective.sum() == pytest.approx(row.objective)
        assert row.lower_bound <= row.objective


def test_balancedness_is_summed_means_over_summed_largest_loads(report):
    for row in report.rows:
        mean = LOAD.sum() / row.size.num_gpus
        assert row.balancedness == pytest.approx(mean / row.objective)
        assert row.best_possible == pytest.approx(min(1, mean / row.lower_bound))
        assert row.balancedness <= row.best_possible


def test_the_verdict_is_a_plan_a_proof_or_neither(report):
    row = report.rows[0]
    between = (row.balancedness + row.best_possible) / 2
    assert row.target_status(row.balancedness) == TargetStatus.MEETS
    assert row.target_status(min(row.best_possible + 1e-9, 1)) == TargetStatus.CANNOT
    assert row.target_status(None) == TargetStatus.NONE
    if row.balancedness < row.best_possible:
        assert row.target_status(between) == TargetStatus.OPEN


def test_the_smallest_has_the_fewest_slots_of_those_that_meet(report):
    smallest = report.smallest("uniform")
    meeting = [row.size for row in report.rows if row.balancedness >= 0.98]
    assert smallest.size == min(meeting)
    smaller = [row for row in report.rows if row.size < smallest.size]
    proven = all(row.best_possible < 0.98 for row in smaller)
    assert report.is_proven_smallest(smallest) == proven


def test_no_size_on_the_frontier_is_beaten_with_less(report):
    front = [row for row in report.rows if report.is_pareto_optimal(row)]
    assert front
    for row in front:
        for other in report.rows:
            within = (
                other.size.num_slots <= row.size.num_slots
                and other.size.num_gpus <= row.size.num_gpus
            )
            assert not (within and other.objective < row.objective)


def test_a_held_out_workload_is_scored_under_the_static_plan_and_under_its_own():
    other = LOAD[:, ::-1]
    report = sweep(LOAD, [Size(16, 4)], held_out={"other": other}, **QUICK)
    (score,) = report.rows[0].held_out
    problem = Problem(other, 16, 4)
    static = evaluate(problem, report.rows[0].result.plan)
    assert score.static == pytest.approx(other.sum() / 4 / static.objective.sum())
    assert score.static < score.replanned <= score.best_possible
    assert report.held_out_names == ["other"]


def test_unseen_workloads_may_need_more_slots_than_seen_ones():
    held_out = {"other": LOAD[:, ::-1], "same": LOAD}
    report = sweep(LOAD, make_sizes(12, [4]), held_out=held_out, target_balancedness=0.9, **QUICK)
    row = report.smallest_held_out("uniform")
    worst = {each.size: min(score.static for score in each.held_out) for each in report.rows}
    assert row is None or worst[row.size] >= 0.9
    larger = [size for size, figure in worst.items() if figure >= 0.9]
    assert (row.size if row else None) == min(larger, default=None)
    assert row is None or row.size >= report.smallest("uniform").size


def test_scenarios_make_one_plan_and_average_its_layers():
    report = sweep(np.stack([LOAD, LOAD[:, ::-1]]), [Size(16, 4)], **QUICK)
    (row,) = report.rows
    assert report.has_scenarios
    assert row.objective == pytest.approx(row.result.objective.mean())
    assert row.balancedness == pytest.approx(1 / row.objective)


def test_a_size_that_breaks_a_rule_says_so_and_the_others_go_on():
    rules = {"num_nodes": 2, "num_groups": 4}
    sizes = make_sizes(12, [3, 4], slots_per_gpu=[4])
    seen = []
    report = sweep(LOAD, sizes, rules=rules, progress=lambda *turn: seen.append(turn), **QUICK)
    assert "num_nodes" in report.rows[0].problem
    assert np.isnan(report.rows[0].objective)
    assert report.rows[1].balancedness > 0
    assert [turn[:2] for turn in seen] == [(0, 2), (1, 2)]
    with pytest.raises(ProblemError, match="No size can be planned"):
        sweep(LOAD, sizes[:1], rules=rules, **QUICK)


def test_memory_is_counted_in_experts_or_bytes():
    plain = sweep(LOAD, [Size(16, 4)], **QUICK)
    weighed = sweep(LOAD, [Size(16, 4)], expert_bytes=100, **QUICK)
    assert plain.memory(Size(16, 4)) == 4 * 2
    assert weighed.memory(Size(16, 4)) == 4 * 2 * 100


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"held_out": {"short": LOAD[:1]}}, r"short has shape \[1, 12\]"),
        ({"target_balancedness": 95}, "at most 1"),
        ({"expert_bytes": 0}, "below 1"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_planned(keywords, words):
    with pytest.raises(ProblemError, match=words):
        sweep(LOAD, [Size(16, 4)], progress=pytest.fail, **keywords)


def test_rounded_loads_widen_the_balancedness_to_both_sides():
    exact = Problem(np.array([[3, 2, 1]]), 3, 3)
    rounded = Problem(np.array([[3 / 7 * 1e-300, 2.0**60 / 3, 1.0]]), 3, 3)
    assert rounded.rounded.all()
    for problem in (exact, rounded):
        peak = [Fraction(int(problem.load.max()))]
        plain = balancedness(problem, peak)[0]
        low, high = exact_balance(problem, peak), exact_balance(problem, peak, lacking=True)
        assert float(low) <= plain <= float(high)
        assert (low < high) == bool(problem.rounded.any())
