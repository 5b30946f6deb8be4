"""A forecast says what simulated steps show, and keeps to the limits that are known."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.workloads.forecast import DISPATCHES, forecast
from tests.workloads.forecast.cases import BATCHES, MACHINES, machine, skewed

#: Balancedness that a forecast may be off by.
TARGET = 0.003
#: Standard errors of a simulation that one of a hundred figures is hardly ever off by.
CHANCE = 4.5


def assert_agree(found, seen):
    room = CHANCE * seen.error + found.error * CHANCE + TARGET / 3
    assert (np.abs(found.balancedness - seen.balancedness) <= room).all()


@pytest.mark.parametrize("shape", MACHINES, ids=lambda m: f"{m[0]}/{m[1]}")
@pytest.mark.parametrize("dispatch", ["uniform", "drawn", "optimal", "optimal_drawn"])
def test_steps_are_as_forecast(shape, dispatch):
    load, plan = machine(*shape)
    found = forecast(load, plan, None, BATCHES, shape[3], dispatch)
    seen = forecast(load, plan, None, BATCHES, shape[3], dispatch, simulate=120)
    assert found.balancedness.shape == (4, 3)
    assert_agree(found, seen)
    # The figure that is shown is the mean over the layers.
    off = (found.balancedness - seen.balancedness).mean(axis=1)
    assert (np.abs(off) < TARGET).all()
    np.testing.assert_allclose(found.std, seen.std, rtol=0.35, atol=0.002)


@pytest.mark.parametrize("dispatch", ["nearest", "rank_modulo"])
def test_steps_that_are_sent_whole_are_as_forecast(dispatch):
    load, plan = machine(40, 8, 32, 4)
    found = forecast(load, plan, None, (64, 512), 4, dispatch, num_nodes=2)
    seen = forecast(load, plan, None, (64, 512), 4, dispatch, num_nodes=2, simulate=120)
    assert_agree(found, seen)


def test_the_parts_sum_to_what_is_lost():
    load, plan = machine(*MACHINES[0])
    found = forecast(load, plan, 32, (64, 1024))
    np.testing.assert_allclose(1 - found.balancedness, found.plan_part + found.noise_part)
    score = eplb_opt.evaluate(eplb_opt.Problem(load, 288, 32), plan)
    np.testing.assert_allclose(1 - found.plan_part, score.balancedness)


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_endless_batches_lose_what_the_plan_loses(dispatch):
    load, plan = machine(40, 8, 32, 4)
    found = forecast(load, plan, 8, 10**9, 4, dispatch)
    np.testing.assert_allclose(found.noise_part, 0, atol=2e-5)
    np.testing.assert_allclose(found.balancedness, 1 - found.plan_part, atol=2e-5)


def test_the_plan_part_of_optimal_dispatch_is_its_level():
    load, plan = machine(40, 8, 32, 4)
    problem = eplb_opt.Problem(load, 40, 8, dispatch="optimal")
    found = forecast(load, plan, 8, 64, 4, "optimal")
    score = eplb_opt.evaluate(problem, plan)
    np.testing.assert_allclose(1 - found.plan_part, score.balancedness, rtol=1e-9)


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_larger_batches_are_more_level(dispatch):
    load, plan = machine(*MACHINES[0])
    found = forecast(load, plan, 32, (16, 64, 256, 1024, 4096), 8, dispatch)
    assert (np.diff(found.balancedness, axis=0) > -found.error[1:]).all()
    assert (np.diff(found.std, axis=0) < 0).all()


def test_a_level_plan_loses_to_chance_alone():
    load = np.full((1, 64), 1000)
    placed = np.arange(64)[None]
    found = forecast(load, placed, 16, 256, 4)
    assert found.plan_part == pytest.approx(0, abs=1e-12)
    # 16 loads of 1024 tokens: 1.766 standard deviations, of 1/32 with four different experts of 64
    # and with the sum fixed; the skewness adds little.
    expected = 1 / (1 + 1.766 * np.sqrt((1 - 1 / 16) * (1 - 3 / 63) * 16 / 15) / 32)
    assert found.balancedness == pytest.approx(expected, abs=0.002)


def test_one_gpu_is_always_level():
    found = forecast([[5, 3, 2]], [[0, 1, 2]], 1, 64, 2)
    assert found.balancedness == pytest.approx(1, abs=1e-6)


def test_one_size_gives_a_figure_a_layer_and_several_give_rows():
    load, plan = machine(40, 8, 32, 4)
    one, both = (forecast(load, plan, 8, size, 4) for size in (64, (64, 128)))
    assert one.balancedness.shape == one.std.shape == (3,)
    np.testing.assert_array_equal(both.balancedness[0], one.balancedness)
    assert both.batch_tokens == (64, 128)


def test_optimal_dispatch_is_more_level_than_any_other():
    load, plan = machine(*MACHINES[1])
    best = forecast(load, plan, 64, 64, 8, "optimal")
    for dispatch in DISPATCHES:
        if dispatch == "optimal":
            continue
        other = forecast(load, plan, 64, 64, 8, dispatch)
        assert (other.balancedness <= best.balancedness + 4 * best.error + 1e-3).all()


def test_the_same_call_gives_the_same_figures():
    load, plan = machine(40, 8, 32, 4)
    calls = [forecast(load, plan, 8, 64, 4, "optimal").balancedness for _ in range(2)]
    np.testing.assert_array_equal(*calls)


def test_a_layer_without_load_is_level():
    load, plan = machine(40, 8, 32, 4)
    load = load.copy()
    load[1] = 0
    for dispatch in DISPATCHES:
        found = forecast(load, plan, 8, 64, 4, dispatch)
        assert found.balancedness[1] == 1
        assert found.plan_part[1] == found.noise_part[1] == found.std[1] == 0


def test_a_lost_gpu_neither_sends_nor_serves():
    load = np.full((1, 12), 100)
    whole = np.arange(12)[None]
    lost = np.concatenate([whole, np.full((1, 4), -1)], axis=1)
    for dispatch in DISPATCHES:
        without, found = (
            forecast(load, placed, num_gpus, 64, 2, dispatch)
            for placed, num_gpus in ((whole, 3), (lost, 4))
        )
        np.testing.assert_allclose(found.balancedness, without.balancedness, rtol=1e-4)


def test_a_slow_gpu_with_little_to_do_is_level():
    load = np.array([[100, 100, 50]])
    placed = np.array([[0, 1, 2]])
    for dispatch in DISPATCHES:
        found = forecast(load, placed, 3, 10**9, 1, dispatch, gpu_speed=[2, 2, 1])
        assert found.balancedness == pytest.approx(1, abs=1e-4)


def test_an_expert_that_no_token_can_choose_so_often_is_said():
    load = skewed(2, 8, 2)
    load[1, 3] = 10 * load[1].sum()
    found = forecast(load, np.tile(np.arange(8), (2, 1)), 4, 64, 2)
    assert "in 1 of 2 layers" in found.messages[0]
    assert "layer 1" in found.messages[0]
    seen = forecast(load, np.tile(np.arange(8), (2, 1)), 4, 64, 2, simulate=100)
    assert_agree(found, seen)


LOAD, PLACED = np.ones((2, 4)), np.tile(np.arange(4), (2, 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dispatch": "best"}, "known: uniform, drawn, nearest"),
        ({"batch_tokens": 0}, "batch_tokens=0 is below 1"),
        ({"batch_tokens": []}, "is empty"),
        ({"batch_tokens": 2.5}, "no integer"),
        ({"experts_per_token": 5}, "take 4 or less"),
        ({"load": np.ones((3, 4))}, "load has 3 layers, the plan 2"),
        ({"load": np.ones((2, 3))}, "plan's ids need 4"),
        ({"load": np.ones((2, 2, 4))}, "steps="),
        ({"load": -LOAD}, "at least 0"),
        ({"steps": LOAD[None]}, "two or more"),
        ({"num_nodes": 3}, "give a divisor"),
    ],
)
def test_what_cannot_be_forecast_is_refused(change, words):
    given = {"load": LOAD, "plan": PLACED, "num_gpus": 4, "experts_per_token": 2} | change
    with pytest.raises(ProblemError, match=words):
        forecast(**given)


def test_an_expert_with_load_needs_a_slot():
    with pytest.raises(PlanError, match="Layer 0: expert 3 has load 1 and no slot"):
        forecast(LOAD, np.tile([0, 1, 2, 2], (2, 1)), 4, 64, 2)
    with pytest.raises(PlanError, match="num_gpus="):
        forecast(LOAD, PLACED)


def test_it_is_called_from_the_package():
    assert eplb_opt.forecast is forecast
