"""How late plans come."""

from dataclasses import replace

import pytest

from eplb_opt.bench import plan_overshoot
from eplb_opt.bench.plan_overshoot import PlanOvershootRow, Shape

SMALL = Shape(num_layers=2, num_experts=16, num_gpus=32, slots_per_gpu=2)
ROW = PlanOvershootRow("plain", 2, 0.5, 0.58, 0.08, 0.0, 0.5, 2**26)


@pytest.mark.parametrize("case", plan_overshoot.CASES)
@pytest.mark.parametrize("slots_per_gpu", [1, 2])
def test_every_case_is_a_problem_that_has_a_first_plan(case, slots_per_gpu):
    problem = plan_overshoot.problem_of(case, replace(SMALL, slots_per_gpu=slots_per_gpu))
    placed = plan_overshoot.first_plan(problem)
    assert placed.shape == (2, 32 * slots_per_gpu)
    assert problem.has_scenarios == ("scenarios" in case)
    assert problem.is_split_freely == ("optimal" in case)


def test_a_call_is_measured_in_a_process_of_its_own_with_and_without_a_plan_in_force():
    rows = list(plan_overshoot.plan_overshoot_rows(0.01, SMALL, ["spread-node"]))
    names = ["spread-node", *(f"spread-node, {limit}" for limit in list(plan_overshoot.LIMITS)[1:])]
    assert [row.case for row in rows] == names
    for row in rows:
        assert row.seconds > 0
        assert row.late == row.seconds - 0.01
        assert row.cpu_seconds > 0


def test_what_is_late_by_more_than_a_tenth_of_a_second_or_a_twentieth_of_its_limit_is_late():
    row = replace(ROW, cpu_seconds=20.0)
    assert row.keeps_its_limit
    assert not replace(row, late=0.11).keeps_its_limit
    assert replace(row, late=0.11, time_limit=10).keeps_its_limit
    assert not replace(row, late=0.51, time_limit=10).keeps_its_limit


def test_a_call_that_had_no_core_is_not_late_by_itself():
    row = replace(ROW, late=0.11, cpu_seconds=0.9)
    assert row.late_by_itself == 0.11
    assert replace(row, waited=0.05).keeps_its_limit
    assert replace(row, cpu_seconds=0.55).keeps_its_limit  # its threads had none
