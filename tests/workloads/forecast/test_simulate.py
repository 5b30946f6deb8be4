"""Simulated steps draw each expert as often as recorded, and no token draws one twice."""

import numpy as np

from eplb_opt.workloads.forecast.draws import Draws
from eplb_opt.workloads.forecast.simulate import Counts, fitted_odds
from tests.workloads.forecast.cases import skewed


def test_odds_give_the_rates():
    rate = Draws.of(skewed(2, 16, 3).astype(float), 3).rate
    odds = fitted_odds(rate, 3)
    # All choices of three of 16, one by one.
    from itertools import combinations

    choices = np.array(list(combinations(range(16), 3)))
    weight = odds[:, choices].prod(axis=2)
    found = np.zeros_like(rate)
    for at in range(3):
        for layer_idx in range(2):
            np.add.at(found[layer_idx], choices[:, at], weight[layer_idx])
    np.testing.assert_allclose(found / weight.sum(axis=1, keepdims=True), rate, atol=1e-8)


def test_counts_have_the_totals_means_and_scatter_of_the_law():
    draws = Draws.of(skewed(2, 32, 4).astype(float), 4)
    drawn = Counts(draws).draw(50, 4000, np.random.default_rng(1))
    assert (drawn.sum(axis=2) == 200).all()
    assert drawn.max() <= 50  # no token has an expert twice
    np.testing.assert_allclose(drawn.mean(axis=0), 50 * draws.rate, atol=0.3)
    np.testing.assert_allclose(drawn.var(axis=0), 50 * draws.spread, rtol=0.25, atol=0.1)
