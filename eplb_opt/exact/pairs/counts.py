"""The value of replica counts with two slots a GPU, and the plan that they make."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A relative difference far above the rounding of two float64 divisions and a sum.
FLOAT_DOUBT = 1e-12
#: Where the largest load times the largest count is below this, float64 orders quotients truly: w/c
#: and v/d differ by 1/(c d) or more, which is 1/(w d) or more of w/c.
FLOAT_ORDERS_BELOW = 2**50


def pair_up(load: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The optimal plan for given counts: the heaviest replica with the lightest, and so on inwards.

    The partner of the heaviest replica is at least as heavy as the lightest one. When the heaviest
    and the lightest are paired and their partners are paired instead, no sum exceeds the largest
    one before.

    Parameters
    ----------
    load
        int64 [num_experts], the loads in the problem's integer units.
    counts
        int64 [num_experts], replica counts of at least 1 that add up to an even number.

    Returns
    -------
    int64 [num_gpus, 2], expert ids.
    """
    order = _heaviest_first(load, counts)
    replicas = np.repeat(order, counts[order])
    half = len(replicas) // 2
    return np.stack([replicas[:half], replicas[half:][::-1]], axis=1)


def _heaviest_first(load: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Experts in descending order of the exact load of a replica, int64 [num_experts]."""
    if int(load.max()) * int(counts.max()) < FLOAT_ORDERS_BELOW:
        return np.argsort(-(load / counts), kind="stable")
    quotients = list(zip(load.tolist(), counts.tolist(), strict=True))
    return np.array(sorted(range(len(quotients)), key=lambda e: -Fraction(*quotients[e])))


def exact_value(load: np.ndarray, counts: np.ndarray) -> Fraction:
    """The largest GPU load of the plan of `pair_up`, exactly."""
    pairs = pair_up(load, counts)
    share = load / counts
    rough = share[pairs].sum(axis=1)
    doubtful = np.unique(pairs[rough >= rough.max() * (1 - FLOAT_DOUBT)], axis=0)
    return max(
        Fraction(int(load[a]), int(counts[a])) + Fraction(int(load[b]), int(counts[b]))
        for a, b in doubtful.tolist()
    )


def fill(load: np.ndarray, counts: np.ndarray, num_slots: int) -> np.ndarray:
    """Counts that use all slots, each further replica where it helps most, int64 [num_experts].

    While there are fewer replicas than slots, empty slots count as replicas of load 0.
    """
    counts = counts.copy()
    for _ in range(num_slots - int(counts.sum())):
        tried = [(_padded_value(load, more, num_slots), more) for more in _raised(load, counts)]
        counts = min(tried, key=lambda pair: pair[0])[1]
    return counts


def _raised(load: np.ndarray, counts: np.ndarray) -> Iterator[np.ndarray]:
    """Counts with one more replica of the heaviest expert, or of one of the heaviest pair."""
    share = load / counts
    order = np.argsort(-share, kind="stable")
    replicas = np.repeat(order, counts[order])
    half = len(replicas) // 2
    pair = share[replicas[:half]] + share[replicas[::-1][:half]]
    worst = int(pair.argmax()) if half else 0
    for expert in {int(order[0]), int(replicas[worst]), int(replicas[-1 - worst])}:
        more = counts.copy()
        more[expert] += 1
        yield more


def _padded_value(load: np.ndarray, counts: np.ndarray, num_slots: int) -> float:
    share = np.zeros(num_slots)
    share[num_slots - int(counts.sum()) :] = np.sort(np.repeat(load / counts, counts))
    half = num_slots // 2
    return float((share[:half] + share[half:][::-1]).max())
