"""The largest of many loads that scatter: one over it, expected."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

#: Levels at which the distribution of the largest is evaluated. It is smooth, and the trapezium
#: rule has converged beyond what float64 shows at half as many.
NUM_LEVELS = 64
#: Standard deviations below the highest mean and above it that are looked at.
BELOW, ABOVE = 5.0, 5.0
#: Ends of the table of the normal distribution, in standard deviations, and its places in each.
TABLE_ENDS, TABLE_STEPS = (-12.0, 8.0), 200
#: Less skewness is none.
LEAST_SKEWNESS = 1e-4


@dataclass(frozen=True, eq=False)
class Inverse:
    """One over the largest load.

    Parameters
    ----------
    mean, variance
        float64 [num_layers], expected value and variance.
    """

    mean: np.ndarray
    variance: np.ndarray


def inverse_of_largest(
    mean: np.ndarray,
    deviation: np.ndarray,
    skewness: np.ndarray,
    shared: np.ndarray | float = 0.0,
    floor: float = 0.0,
    num_levels: int = NUM_LEVELS,
) -> Inverse:
    """What one over the largest of independent loads is expected to be.

    With F(m) the probability that all are below m, the product of theirs, the expected value of
    1 / largest is the integral of F(m) / m^2: one dimension, whatever the number of GPUs. Each load
    is normal but for its skewness, by the transformation of Wilson and Hilferty [1]_, which is
    right for gamma distributions and close for Poisson and binomial ones.

    Parameters
    ----------
    mean, deviation, skewness
        float64 [num_layers, num_gpus], of each load; means are above 0 somewhere in a layer.
    shared
        float64 [num_layers], variance that all loads of a layer have been given in common, and
        that is to be taken away again.
    floor
        The largest is at least that.
    num_levels
        Levels at which the distribution is evaluated; half of them will do for an average.

    References
    ----------
    .. [1] E. B. Wilson and M. M. Hilferty, "The distribution of chi-square", Proceedings of the
       National Academy of Sciences 17, 1931.
    """
    low, high = _range(mean, deviation, floor)
    levels = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, num_levels)
    all_below = np.exp(_log_below(levels, mean, deviation, skewness))
    width = (high - low) / (num_levels - 1)
    # By parts; the mass below the lowest level counts as being there.
    first = 1 / high + _trapezium(all_below / levels**2, width)
    second = 1 / high**2 + _trapezium(2 * all_below / levels**3, width)
    variance = np.maximum(second - first**2, 0)
    return Inverse(first - shared * first**3, np.maximum(variance - shared * first**4, 0))


def standard_values(normal: np.ndarray, skewness: np.ndarray) -> np.ndarray:
    """Standardised values of a skewed distribution from standard normal ones; see above."""
    skew = np.maximum(skewness, LEAST_SKEWNESS)
    return np.asarray(((skew / 6 * (normal - skew / 6) + 1) ** 3 - 1) * 2 / skew)


def _range(mean: np.ndarray, deviation: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Levels that the largest is hardly ever below, and above, [num_layers] each."""
    top = math.sqrt(2 * math.log(max(mean.shape[1], 2))) + ABOVE
    high = (mean + top * deviation).max(axis=1)
    low = np.maximum((mean - BELOW * deviation).max(axis=1), floor)
    low = np.maximum(low, 1e-3 * mean.max(axis=1))
    return low, np.maximum(high, low * (1 + 1e-12))


def _log_below(
    levels: np.ndarray, mean: np.ndarray, deviation: np.ndarray, skewness: np.ndarray
) -> np.ndarray:
    """The logarithm of the probability that all loads are below a level, [num_layers, levels]."""
    scale = np.maximum(deviation, 1e-12)[:, None, :]
    skew = np.maximum(skewness, LEAST_SKEWNESS)[:, None, :]
    standard = (levels[:, :, None] - mean[:, None, :]) / scale
    normal = (np.cbrt(np.maximum(skew / 2 * standard + 1, 0)) - 1) * 6 / skew + skew / 6
    return np.asarray(_log_normal(normal).sum(axis=2))


def _trapezium(values: np.ndarray, width: np.ndarray) -> np.ndarray:
    return np.asarray((values.sum(axis=1) - (values[:, 0] + values[:, -1]) / 2) * width)


def _log_normal(normal: np.ndarray) -> np.ndarray:
    """The logarithm of the normal distribution function, by lines between equal steps.

    numpy has no such function, scipy is large, and numpy's own interpolation searches every place.
    """
    values, slopes = _normal_table()
    at = (np.clip(normal, *TABLE_ENDS) - TABLE_ENDS[0]) * TABLE_STEPS
    step = at.astype(np.int64)
    at -= step
    return np.asarray(values[step] + at * slopes[step])


@cache
def _normal_table() -> tuple[np.ndarray, np.ndarray]:
    """Values at all places, and the slopes up to the next."""
    low, high = TABLE_ENDS
    places = np.linspace(low, high, int((high - low) * TABLE_STEPS) + 1)
    values = np.log([math.erfc(-place / math.sqrt(2)) / 2 for place in places.tolist()])
    return values, np.append(np.diff(values), 0.0)
