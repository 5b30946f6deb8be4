"""Seconds of GPUs: exact sums of costs, and mean and variance in a step."""

import numpy as np
import pytest

from eplb_opt import CostTable, Problem, StepCost
from eplb_opt.placement import step_time
from eplb_opt.problem.costs import mean_tokens

STEP = StepCost(expert_bytes=4e6, bandwidth=1e12, flops_per_token=1e8, peak=1e14)


def test_costs_of_gpus_add_up_by_count_and_empty_slots_are_free():
    table = CostTable([[10, 6, 1], [4, 3, 2], [7, 7, 7]])
    problem = Problem([[1, 1, 1]], 6, 2, gpu_slots=[3, 2], cost=table)
    placed = np.array([[0, 1, 0, 2, 0, -1]])
    assert step_time.gpu_costs(problem, placed).tolist() == [[1 + 4 + 1, 7 + 1]]
    assert step_time.balancedness(problem, placed) == pytest.approx([7 / 8])


def test_an_expert_twice_on_a_gpu_costs_twice():
    problem = Problem([[1, 1]], 4, 2, cost=CostTable([[10, 6, 5], [4, 3, 2]]))
    placed = np.array([[0, 0, 1, 1]])
    assert step_time.gpu_costs(problem, placed).tolist() == [[12, 6]]
    assert problem.replica_cost[0, 0].tolist() == [0, 10, 6, 5]


def test_mean_and_variance_are_those_of_drawn_steps():
    rng = np.random.default_rng(1)
    problem = Problem([[9, 5, 2, 1]], 6, 2, cost=STEP, batch_tokens=20, experts_per_token=2)
    placed = np.array([[0, 1, 3, 0, 2, 1]])
    tokens = mean_tokens(problem)
    mean, variance = step_time.gpu_moments(STEP, tokens, placed, 2)
    copies = np.array([2, 2, 1, 1])
    drawn = STEP.seconds(rng.poisson((tokens[0] / copies)[placed[0]], (200_000, 6)))
    gpus = drawn.reshape(-1, 2, 3).sum(axis=2)
    assert gpus.mean(axis=0) == pytest.approx(mean[0], rel=1e-3)
    assert gpus.var(axis=0) == pytest.approx(variance[0], rel=2e-2)
    assert step_time.gpu_seconds(problem, placed) == pytest.approx(mean)
