"""The expected largest of independent loads is what sampling says."""

import numpy as np
import pytest

from eplb_opt.workloads.forecast.largest import inverse_of_largest, standard_values


def sampled(mean, deviation, skewness, num=200_000, seed=0):
    normal = np.random.default_rng(seed).standard_normal((num, len(mean)))
    return mean + deviation * standard_values(normal, skewness)


@pytest.mark.parametrize("skewness", [0.0, 0.15, 0.5])
@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_moments_of_the_inverse_are_those_of_samples(skewness, spread):
    mean = 1 + spread * np.linspace(-1, 0, 12)
    deviation, skew = np.linspace(0.02, 0.06, 12), np.full(12, skewness)
    loads = 1 / sampled(mean, deviation, skew).max(axis=1)
    found = inverse_of_largest(mean[None], deviation[None], skew[None])
    assert found.mean[0] == pytest.approx(loads.mean(), abs=3e-4)
    assert found.variance[0] == pytest.approx(loads.var(), rel=0.03)


def test_the_largest_is_at_least_its_floor():
    mean, deviation = np.array([[0.9, 0.95]]), np.array([[0.05, 0.05]])
    loads = np.maximum(sampled(mean[0], deviation[0], np.zeros(2)).max(axis=1), 1.0)
    found = inverse_of_largest(mean, deviation, np.zeros((1, 2)), floor=1.0)
    assert found.mean[0] == pytest.approx((1 / loads).mean(), abs=2e-4)


def test_what_does_not_scatter_is_its_own_largest():
    mean = np.array([[0.8, 1.3, 1.0]])
    found = inverse_of_largest(mean, np.zeros((1, 3)), np.zeros((1, 3)))
    assert found.mean[0] == pytest.approx(1 / 1.3, abs=1e-9)
    assert found.variance[0] == pytest.approx(0, abs=1e-12)


def test_skewed_values_have_mean_0_and_variance_1():
    values = standard_values(np.random.default_rng(0).standard_normal(400_000), np.float64(0.4))
    assert values.mean() == pytest.approx(0, abs=0.005)
    assert values.var() == pytest.approx(1, abs=0.02)
    assert (values**3).mean() == pytest.approx(0.4, abs=0.04)
