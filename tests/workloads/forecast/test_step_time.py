"""Seconds of a step follow from tokens and a cost."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt.errors import ProblemError
from eplb_opt.problem.step_cost import StepCost
from eplb_opt.workloads.forecast import DISPATCHES, forecast
from tests.workloads.forecast.cases import machine

LOAD, PLAN = machine(40, 8, 32, 4)
BY_TOKENS = StepCost(flops_per_token=1.0, peak=1e6)


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_where_time_is_tokens_the_slowest_gpu_is_the_busiest(dispatch):
    found = forecast(LOAD, PLAN, 8, (256, 2048), 4, dispatch, cost=BY_TOKENS)
    mean = 4 * np.array([[256], [2048]]) / 1e6
    np.testing.assert_allclose(found.mean_seconds, np.broadcast_to(mean, (2, 3)))
    np.testing.assert_allclose(mean / found.step_seconds, found.balancedness, atol=0.012)


def test_where_time_is_weights_every_expert_with_a_token_costs_the_same():
    cost = StepCost(expert_bytes=1.0, bandwidth=1.0)
    many = forecast(LOAD, PLAN, 8, 10**6, 4, "uniform", cost=cost)
    np.testing.assert_allclose(many.step_seconds, 5)  # all five experts of a GPU have tokens
    few = forecast(LOAD, PLAN, 8, 1, 4, "uniform", cost=cost)
    assert (few.step_seconds < 5).all()
    assert (few.mean_seconds < few.step_seconds).all()


def test_what_a_layer_takes_besides_is_added_and_resident_replicas_count_idle():
    cost = StepCost(expert_bytes=1.0, bandwidth=1.0, resident=2.0, other_seconds=7.0)
    found = forecast(LOAD, PLAN, 8, 10**6, 4, "drawn", cost=cost)
    np.testing.assert_allclose(found.step_seconds, 5 + 5 * 2 + 7)


def test_another_number_of_experts_is_refused():
    cost = BY_TOKENS.with_fields(experts_per_token=8)
    with pytest.raises(ProblemError, match="the cost is for 8"):
        forecast(LOAD, PLAN, 8, 64, 4, cost=cost)
    assert forecast(LOAD, PLAN, 8, 64, 4).step_seconds is None


def test_a_preset_gives_microseconds():
    cost = eplb_opt.StepCost.preset("H100", "deepseek-v3")
    load, plan = machine(288, 32, 256, 8)
    found = forecast(load, plan, 32, (16, 4096), 8, "drawn", cost=cost)
    assert (found.step_seconds[0] < found.step_seconds[1]).all()
    assert (found.step_seconds > 1e-5).all()
    assert (found.step_seconds < 1e-1).all()
