"""What recorded steps vary beyond chance is told from chance."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt.workloads.forecast import forecast
from eplb_opt.workloads.forecast.bursts import Bursts
from eplb_opt.workloads.forecast.draws import Draws
from eplb_opt.workloads.forecast.simulate import Counts
from tests.workloads.forecast.cases import skewed


def recorded(sway, num_steps=32, num_tokens=2048, seed=3):
    """Steps around skewed loads whose rates sway by so much, and the loads."""
    source = np.random.default_rng(seed)
    load = skewed(2, 32, 4).astype(float)
    steps = np.zeros((num_steps, *load.shape))
    for step in steps:
        swayed = load * np.exp(sway * source.standard_normal(load.shape))
        step[:] = Counts(Draws.of(swayed, 4)).draw(num_tokens, 1, source)[0]
    return steps


def plan_for(load):
    return eplb_opt.plan(eplb_opt.Problem(load, 40, 8), effort=2).plan


def test_steps_that_vary_by_chance_alone_have_no_bursts():
    steps = recorded(0.0)
    load = steps.sum(axis=0)
    found = Bursts.of(steps, load, 4)
    np.testing.assert_allclose(found.dispersion, 1, atol=0.15)
    seen = forecast(load, plan_for(load), 8, 256, 4, steps=steps)
    assert np.abs(seen.burst_part).max() < 0.006


@pytest.mark.parametrize("sway", [0.1, 0.3])
def test_recorded_steps_have_the_balancedness_that_is_forecast(sway):
    steps = recorded(sway)
    load = steps.sum(axis=0)
    plan = plan_for(load)
    found = forecast(load, plan, 8, 256, 4, steps=steps)
    problem = eplb_opt.Problem(steps, 40, 8)
    seen = np.mean(
        [
            eplb_opt.evaluate(problem.scenario(step_idx), plan).balancedness
            for step_idx in range(len(steps))
        ],
        axis=0,
    )
    calm = forecast(load, plan, 8, 256, 4)
    assert (calm.balancedness - seen > 0.004).all()  # chance alone does not explain it
    np.testing.assert_allclose(found.balancedness, seen, atol=0.008)
    assert (found.dispersion > 2).all()
    assert found.step_tokens == 2048
    parts = found.plan_part + found.noise_part + found.burst_part
    np.testing.assert_allclose(1 - found.balancedness, parts)
    np.testing.assert_allclose(found.noise_part, calm.noise_part)


def test_bursts_stay_where_batches_grow():
    steps = recorded(0.3)
    load = steps.sum(axis=0)
    found = forecast(load, plan_for(load), 8, (256, 10**8), 4, steps=steps)
    assert (found.burst_part[1] > 0.01).all()
    np.testing.assert_allclose(found.noise_part[1], 0, atol=1e-4)


def test_steps_without_tokens_say_nothing():
    steps = recorded(0.0)
    steps[::2, 1] = 0
    found = Bursts.of(steps, steps.sum(axis=0), 4)
    np.testing.assert_allclose(found.dispersion, 1, atol=0.2)
    assert np.isfinite(found.load).all()
