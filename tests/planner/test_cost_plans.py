"""Planning calls with costs, from the door to the result."""

import numpy as np
import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt import CostTable, Problem, ProblemError, StepCost
from eplb_opt.placement import step_time
from tests.oracle import cost_optimum
from tests.strategies import cost_problems


@settings(max_examples=15, deadline=None)
@given(cost_problems(with_rules=True))
def test_a_tiny_layer_is_planned_to_its_optimum(problem):
    result = eplb_opt.plan(problem, time_limit=20, target_gap=0)
    assert result.bounds[0].objective == cost_optimum(problem)[0]
    assert result.status == ["optimal"]


def test_groups_stay_on_their_nodes():
    rng = np.random.default_rng(0)
    table = CostTable(rng.integers(1, 30, (4, 3)))
    problem = Problem([[9, 5, 3, 1]], 6, 2, 2, 2, cost=table)
    result = eplb_opt.plan(problem, time_limit=20)
    assert result.bounds[0].objective == cost_optimum(problem)[0]


def step_problem(batch_tokens, num_layers=2):
    rng = np.random.default_rng(7)
    load = rng.pareto(1.2, (num_layers, 32)) * 1000 + 5
    cost = StepCost.preset("H100", "deepseek-v3")
    return Problem(load, 40, 8, cost=cost, batch_tokens=batch_tokens)


def test_counted_work_gives_the_same_plan_again_and_betters_the_greedy():
    problem = step_problem(16)
    first, second = (eplb_opt.plan(problem, effort=20, workers=n) for n in (1, 2))
    placed = first.plan.physical_to_logical
    assert (placed == second.plan.physical_to_logical).all()
    greedy = first.starts[0].objective
    assert (first.objective < greedy * 0.99).all()


def test_few_tokens_want_other_plans_than_many():
    few, many = step_problem(4), step_problem(4096)
    for asked, other in ((few, many), (many, few)):
        own = eplb_opt.plan(asked, effort=30)
        foreign = eplb_opt.plan(other, effort=30).plan
        worth = eplb_opt.evaluate(asked, foreign).objective.sum()
        assert own.objective.sum() < worth * 0.99


def test_seconds_are_what_the_replicas_take_added_up():
    problem = step_problem(64)
    result = eplb_opt.plan(problem, effort=1)
    plan, cost = result.plan, problem.cost
    tokens = problem.load / problem.load.sum(axis=1, keepdims=True) * (64 * 8 * 8)
    each = cost.expected(tokens / plan.logical_count)
    gpus = np.take_along_axis(each, plan.physical_to_logical, axis=1).reshape(2, 8, -1).sum(axis=2)
    assert result.objective == pytest.approx(gpus.max(axis=1), rel=1e-7)
    assert (result.objective >= gpus.max(axis=1) * (1 - 1e-15)).all()
    assert step_time.gpu_seconds(problem, plan.physical_to_logical) == pytest.approx(gpus)
    assert result.balancedness == pytest.approx(gpus.mean(axis=1) / gpus.max(axis=1))
    found = eplb_opt.evaluate(problem, plan)
    assert found.objective == pytest.approx(result.objective)
    assert found.balancedness == pytest.approx(result.balancedness)
    assert (eplb_opt.lower_bound(problem) <= result.objective).all()


def test_a_plan_in_force_is_kept_where_it_is_as_good():
    problem = step_problem(16)
    first = eplb_opt.plan(problem, effort=10)
    again = eplb_opt.plan(problem, time_limit=0, current=first.plan)
    assert (again.moves == 0).all()
    few = eplb_opt.plan(problem, effort=5, current=again.plan, max_moves=3)
    assert few.moves.sum() <= 3


def test_lost_gpus_bring_no_tokens():
    problem = step_problem(16)
    left = [True] * 7 + [False]
    rest = Problem(problem.load, 40, 8, cost=problem.cost, batch_tokens=16, active_gpus=left)
    result = eplb_opt.plan(rest, effort=3)
    assert (result.plan.physical_to_logical[:, 35:] == -1).all()
    alone = Problem(problem.load, 35, 7, cost=problem.cost, batch_tokens=16)
    assert result.objective == pytest.approx(
        eplb_opt.evaluate(alone, result.plan.physical_to_logical[:, :35]).objective
    )


def test_a_loss_is_not_planned_for_in_time():
    with pytest.raises(ProblemError, match="tokens alone"):
        eplb_opt.plan_for_loss(step_problem(16))


def test_a_layer_without_cost_is_optimal_at_once():
    problem = Problem([[1, 2]], 4, 2, cost=CostTable(np.zeros((2, 3))))
    result = eplb_opt.plan(problem, effort=1)
    assert result.objective == [0]
    assert result.status == ["optimal"]
    assert result.balancedness == [1]
