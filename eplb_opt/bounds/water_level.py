"""The water level: the least load at which the slots can keep every replica."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def water_levels(load: np.ndarray, num_slots: int) -> list[Fraction]:
    """The least T with sum_e max(1, ceil(w_e / T)) <= num_slots, for each row of loads.

    The level is the load w_e / c of some replica. A bisection over integers, all rows at once,
    finds the integer T with T - 1 < level <= T; the few replicas of such loads are then compared
    exactly.

    Parameters
    ----------
    load
        int64 [num_rows, num_experts], loads whose rows add up to less than 2**62.
    num_slots
        The number of slots, at least num_experts.

    Returns
    -------
    The level of each row, in units of the loads.
    """
    # Scaled up, the level exceeds num_slots, and no expert has two replica values in (T - 1, T].
    mean_bits = np.frexp(load.sum(axis=1) / num_slots)[1]
    shift = np.maximum(num_slots.bit_length() + 2 - mean_bits, 0)
    scaled = load << shift[:, None]
    level = _integer_levels(scaled, num_slots)
    counts = _needed(scaled, level)
    spare = num_slots - counts.sum(axis=1)
    # Each spare slot goes to the expert of the largest replica, so the level is the (spare + 1)-th
    # largest w / c. With w / c = T - deficit / c and counts far below 2**26, these ratios of small
    # integers are in the right order as float64.
    deficit = counts * level[:, None] - scaled
    ratio = np.where(deficit < counts, deficit / counts, np.inf)
    order = np.argsort(ratio, axis=1, kind="stable")
    return [_level_of(load[i], counts[i], order[i, spare[i] :]) for i in range(len(load))]


def _level_of(load: np.ndarray, count: np.ndarray, order: np.ndarray) -> Fraction:
    return Fraction(int(load[order[0]]), int(count[order[0]])) if order.size else Fraction(0)


def _integer_levels(load: np.ndarray, num_slots: int) -> np.ndarray:
    """The least integer T >= 1 whose replicas fit the slots, for each row; int64 [num_rows]."""
    total, largest = load.sum(axis=1), load.max(axis=1)
    spare = num_slots - load.shape[1]
    high = np.maximum(largest, 1)
    if spare:  # sum ceil(w / T) < total / T + num_experts
        high = np.minimum(high, total // spare + 1)
    # One below the level, or 0: the slots cannot take the total, nor the largest expert alone.
    low = np.minimum(np.maximum(-(-total // num_slots), -(-largest // num_slots)), high) - 1
    low = np.maximum(low, 0)
    while (high - low > 1).any():
        middle = (low + high + 1) // 2
        fits = _needed(load, middle).sum(axis=1) <= num_slots
        high = np.where(fits, middle, high)
        low = np.where(fits, low, np.minimum(middle, high - 1))
    return np.asarray(high)


def _needed(load: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The fewest replicas of at most the level, at least 1, int64 [num_rows, num_experts]."""
    if load.max() < 2**52:
        # A quotient of such integers is at least a unit in the last place off any integer that
        # it does not equal, so float64's rounding does not change the ceiling; and it is faster.
        quotient = np.ceil(load / level[:, None].astype(np.float64)).astype(np.int64)
    else:
        quotient = -(-load // level[:, None])
    return np.asarray(np.maximum(quotient, 1))
