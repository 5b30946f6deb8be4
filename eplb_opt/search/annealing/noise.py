"""Loads that might come: the known ones, each expert's times a random factor.

A plan made for a few loads alone fits them too well. Copies of them with every expert's
load multiplied by a lognormal factor ask for slack where loads are uncertain.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

#: Factors to draw from, quantiles of the lognormal distribution.
QUANTILES = 1024
#: Factors are rounded to one over it, which hides how a machine rounds exponentials.
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
    """Noisy copies of loads drawn by their shares, each with the total of its original.

    Parameters
    ----------
    weight
        float64 [num_experts, num_loads].
    share
        float64 [num_loads], chances; they add up to 1.
    size
        Of the noise: the standard deviation of a factor's logarithm.
    num
        Copies.
    random
        Numbers to draw from; only its integers are used, which are the same on every machine.

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
