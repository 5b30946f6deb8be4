"""Planning for the worst single loss: by brute force, within the rules, and where slots are few."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Plan, Problem, ProblemError
from eplb_opt.placement.after_loss import loads_after_loss
from eplb_opt.planner.plan_for_loss import plan_for_loss


def least_after_loss(problem, of):
    """The least of (tokens lost, largest load after a loss) over all plans."""
    rows = []
    for row in product(range(problem.num_experts), repeat=problem.num_slots):
        gpus = np.array(row).reshape(problem.num_gpus, -1)
        if len(set(row)) == problem.num_experts and (np.diff(gpus, axis=1) >= 0).all():
            rows.append(row)
    copies = problem.repeated(0, len(rows))
    after = loads_after_loss(copies, np.array(rows), of)
    return min(zip(after.tokens_lost, after.objective, strict=True))


@pytest.mark.parametrize("of", ["gpu", "node"])
def test_small_cases_are_planned_as_well_as_any_plan_can(of):
    rng = np.random.default_rng(1)
    shapes = [(3, 2, 3, 3), (3, 2, 4, 2)] if of == "gpu" else [(3, 2, 4, 2), (2, 1, 6, 3)]
    found = tried = 0
    for case in range(12):
        num_experts, slots, num_gpus, num_nodes = shapes[case % 2]
        speed = [None, [1, 2, 1, 1, 3, 1][:num_gpus]][case // 6]
        load = rng.integers(1, 40, (1, num_experts))
        problem = Problem(load, slots * num_gpus, num_gpus, num_nodes, gpu_speed=speed)
        best = least_after_loss(problem, of)
        result = plan_for_loss(problem, of, effort=20)
        mine = (result.after.tokens_lost[0], result.after.objective[0])
        assert mine >= best
        tried += 1
        found += mine == best
        if not best[0]:
            assert result.lower_bound[0] <= best[1]
    assert found >= tried - 1


@pytest.mark.parametrize("of", ["gpu", "node"])
def test_the_worst_load_falls_far_below_that_of_a_plan_that_is_only_spread(of):
    load = np.random.default_rng(2).lognormal(8, 1, (2, 16)).astype(np.int64)
    problem = Problem(load, 40, 8, 4, gpu_speed=[1, 1, 2, 1, 1, 1, 1, 1], forbidden=[(3, 0)])
    result = plan_for_loss(problem, of, effort=40)
    result.plan.check(problem.with_spread(of))
    assert result.after.survives
    assert result.after.objective == loads_after_loss(problem, result.plan, of).objective
    spread = eplb_opt.plan(problem.with_spread(of), effort=40).plan
    only = loads_after_loss(problem, spread, of)
    bound = [Fraction(value) for value in result.lower_bound.tolist()]
    lacking = [a - b for a, b in zip(only.objective, bound, strict=True)]
    left = [a - b for a, b in zip(result.after.objective, bound, strict=True)]
    assert all(0 <= mine < 0.8 * theirs for mine, theirs in zip(left, lacking, strict=True))


def test_where_slots_are_few_what_has_two_replicas_stands_on_two():
    load = np.random.default_rng(3).lognormal(8, 1, (2, 24)).astype(np.int64)
    problem = Problem(load, 32, 4)
    result = plan_for_loss(problem, effort=20)
    result.plan.check(problem)
    assert "spread" in result.messages[0]
    for row in range(2):
        gpus = result.plan.physical_to_logical[row].reshape(4, -1)
        for expert in np.flatnonzero(result.plan.logical_count[row] > 1):
            assert (gpus == expert).any(axis=1).sum() > 1
    assert all(
        mine <= theirs
        for mine, theirs in zip(
            result.after.tokens_lost, result.unprepared.tokens_lost, strict=True
        )
    )


def test_the_same_effort_gives_the_same_plan_with_any_workers():
    load = np.random.default_rng(4).integers(0, 99, (3, 10))
    problem = Problem(load, 24, 4, gpu_slots=[6, 5, 6, 6])
    plans = [plan_for_loss(problem, effort=3, workers=w).plan for w in (1, 2)]
    assert (plans[0].physical_to_logical == plans[1].physical_to_logical).all()
    assert isinstance(plans[0], Plan)


def test_a_node_cannot_be_lost_where_groups_stay_on_one():
    problem = Problem([[1, 2, 3, 4]], 8, 4, num_nodes=2, num_groups=2)
    with pytest.raises(ProblemError, match="num_groups=1"):
        plan_for_loss(problem, "node", effort=1)
    plan_for_loss(problem, "gpu", effort=1).plan.check(problem)
