"""What is won is what the loads say, in exact arithmetic and rounded down."""

from fractions import Fraction

import numpy as np
import pytest

import eplb_opt
from eplb_opt.placement.plan import Plan
from eplb_opt.report.page_before import plan_before
from eplb_opt.report.page_gain import make_gain
from eplb_opt.report.steps import Batch
from eplb_opt.report.words import percent_at_least, unbroken

# The README's example: the greedy has 156 on its busiest GPU, the optimum 151.
LOADS = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]]
PROBLEM = eplb_opt.Problem(LOADS, 16, 8, 2, 4)
GREEDY = [[5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1]]
BEST = Plan([[1, 5, 1, 5, 0, 3, 2, 4, 6, 10, 10, 11, 9, 10, 7, 8]], 8)


def gain_of(current=None, problem=PROBLEM, plan=BEST, batches=()):
    return make_gain(problem, plan, plan_before(problem, current, "old.json"), batches)


def test_the_slowest_gpu_is_lighter_by_what_the_loads_say():
    found = gain_of(GREEDY)
    assert found.headline == "3.2 %"  # 1 - 151 / 156 is 3.205...
    assert found.words == "lighter: the slowest GPU, against old.json"
    assert "3.2 % lighter than with old.json" in found.sentence
    mean = sum(LOADS[0]) / 8
    assert [row[2] for row in found.table.rows] == [
        f"{156 / mean:.4f}",
        f"{156 / mean:.4f}",
        f"{151 / mean:.4f}",
    ]


def test_a_given_plan_and_the_engines_heuristic_have_a_row_each():
    names = [row[:2] for row in gain_of(GREEDY).table.rows]
    assert [name for name, _ in names] == ["old.json", "deepseek", "eplb-opt"]
    assert names[0][1] == "the plan in force"
    assert "vLLM" in names[1][1] and "SGLang" in names[1][1]
    assert [row[0] for row in gain_of().table.rows] == ["deepseek", "eplb-opt"]


def test_a_plan_that_is_heavier_is_called_so():
    found = gain_of(BEST, plan=Plan(GREEDY, 8))
    assert found.headline == "3.31 %"  # 156 / 151 - 1
    assert found.words.startswith("heavier")


def test_a_plan_that_breaks_a_rule_is_not_compared_with():
    found = gain_of([[0] * 16])
    assert found.headline == "-"
    assert "breaks a rule" in found.sentence
    assert found.table.rows[0][2] == "breaks a rule"


def test_under_rules_the_engines_heuristic_is_not_named_for_our_greedy():
    problem = eplb_opt.Problem(LOADS, 16, 8, colocation="forbid")
    plan = eplb_opt.plan(problem, effort=1).plan
    (name, who, *_), _ = gain_of(problem=problem, plan=plan).table.rows
    assert name == "greedy"
    assert "vLLM" not in who


def test_with_scenarios_each_load_counts_over_its_own_mean():
    loads = np.array([LOADS, [[100 * w for w in reversed(LOADS[0])]]])
    problem = eplb_opt.Problem(loads, 16, 8)
    plan = eplb_opt.plan(problem, effort=2, workers=1).plan
    found = gain_of(problem=problem, plan=plan)
    ratios = [eplb_opt.evaluate(problem.scenario(i), plan).balancedness[0] ** -1 for i in range(2)]
    assert found.table.rows[-1][2] == f"{np.mean(ratios):.4f}"
    assert "each load over its own mean" in found.sentence


def test_a_batch_is_told_in_assignments_of_the_slowest_gpu():
    found, other = gain_of(GREEDY, batches=[Batch(64, 2), Batch(4096, 2)]).batches
    mean = sum(LOADS[0]) / 8
    assert "gets 128 assignments" in found
    assert "At 4,096 tokens" in other
    assert f"to get {128 * 151 / mean:,.1f}, {128 * 156 / mean:,.1f} with old.json" in found
    assert "Chance adds" in found
    assert gain_of(GREEDY).batches == ()


def test_a_model_without_load_wins_nothing():
    problem = eplb_opt.Problem([[0, 0]], 4, 2)
    found = gain_of(problem=problem, plan=Plan([[0, 1, 0, 1]], 2))
    assert found.headline == "0 %"
    assert found.table.rows[-1][2] == "1.0000"


@pytest.mark.parametrize("share", [Fraction(1, 3), Fraction(1, 10**7), Fraction(9999, 10000)])
def test_a_claim_is_never_rounded_up(share):
    claimed = Fraction(percent_at_least(share).removesuffix(" %")) / 100
    assert claimed <= share
    assert claimed >= share * Fraction(99, 100)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.00009 % of 3.5 s", "0.00009~% of 3.5~s"),
        ("5 ms, 4 GPUs", "5~ms, 4~GPUs"),
        ("7 stations, 8 modes", "7 stations, 8 modes"),
    ],
)
def test_no_line_can_begin_with_a_unit(text, shown):
    assert unbroken(text) == shown.replace("~", "\u00a0")
