"""Noisy copies of the known loads: each expert's load times a random factor.

A plan made for a few loads alone is fitted to them too closely. Copies of them with every expert's
load multiplied by a lognormal factor make a plan that also serves loads like them.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

#: The number of factors to draw from, quantiles of the lognormal distribution.
QUANTILES = 1024
#: Factors are rounded to multiples of 1 over this, so that they do not depend on how a machine
#: rounds exponentials.
GRID = 2**20

_NORMAL = np.array(
    [NormalDist().inv_cdf((i + 0.5) / QUANTILES) for i in range(QUANTILES)], dtype=np.float64
)


def factors(size: float) -> np.ndarray:
    """Quantiles of exp(size * normal), float64 [QUANTILES]."""
    return np.asarray(np.rint(np.exp(size * _NORMAL) * GRID) / GRID)


def noisy_copies(
    weight: np.ndarray, share: np.ndarray, size: float, num: int, random: np.random.Generator
) -> np.ndarray:
    """Noisy copies of loads that are drawn by their weights, each with the total of its original.

    Parameters
    ----------
    weight
        float64 [num_experts, num_loads], the known loads.
    share
        float64 [num_loads], the chance of each load to be drawn; they add up to 1.
    size
        The size of the noise: the standard deviation of a factor's logarithm.
    num
        The number of copies.
    random
        The generator; only its integers are used, which are the same on every machine.

    Returns
    -------
    float64 [num_experts, num].
    """
    ends = np.cumsum(np.rint(share * GRID).astype(np.int64))
    chosen = np.searchsorted(ends, random.integers(0, ends[-1], num), side="right")
    factor = factors(size)[random.integers(0, QUANTILES, (len(weight), num))]
    original = weight[:, chosen]
    noisy = original * factor
    total = noisy.sum(axis=0)
    return np.asarray(noisy * (original.sum(axis=0) / np.where(total > 0, total, 1.0)))
