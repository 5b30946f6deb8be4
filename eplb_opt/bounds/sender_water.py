"""The water level where every GPU sends an expert's tokens to one replica."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

#: Products of a load and a number of senders stay below this.
MAX_PRODUCT = 2**62
#: Quotients of integers below this are a unit in the last place or more off any integer that they
#: do not equal, so that float64 finds their floors and ceilings; and it is faster.
FLOAT_EXACT = 2**52
#: Experts up to which a level that was rounded down is made exact, in integers of any size.
MAX_EXACT = 4096


def sender_levels(load: np.ndarray, num_slots: int, num_senders: int) -> list[Fraction]:
    """The least T with sum_e min{n : ceil(G / n) w_e / G <= T} <= num_slots, for each row of loads.

    G are the senders. Of an expert's n replicas one gets at least ceil(G / n) of them, and each
    sends w_e / G; so with a largest replica of at most T an expert needs that number of replicas.
    With t = T G at most m = min(G, floor(t / w_e)) senders may share a replica, and it takes
    ceil(G / m) replicas. The loads are integers, so t is one, and a bisection finds it.

    Parameters
    ----------
    load
        int64 [num_rows, num_experts], loads whose rows add up to less than 2**62.
    num_slots
        The number of slots, at least num_experts.
    num_senders
        GPUs that send.

    Returns
    -------
    The level of each row, in units of the loads. Where products with the senders are beyond 64 bits
    and there are more than `MAX_EXACT` experts, it is rounded down.
    """
    largest = load.max(axis=1)
    bits = np.array([(int(w) * num_senders).bit_length() for w in largest])
    shift = np.maximum(bits - (MAX_PRODUCT.bit_length() - 1), 0)
    least = _integer_levels(load >> shift[:, None], num_slots, num_senders).tolist()
    for row, s in enumerate(shift.tolist()):
        least[row] <<= s  # the loads were rounded down, and less load has no higher level
        if s and load.shape[1] <= MAX_EXACT:
            least[row] = _exact_level(load[row].tolist(), num_slots, num_senders, least[row])
    return [Fraction(level, num_senders) for level in least]


def _integer_levels(load: np.ndarray, num_slots: int, num_senders: int) -> np.ndarray:
    """The least t whose replicas fit the slots, for each row; int64 [num_rows]."""
    largest = load.max(axis=1)
    high = largest * num_senders
    # Below the largest load not even one sender may use a replica of it. Nor is a replica below
    # what all senders bring over the slots; where that is beyond int64, it is left out.
    low = np.where(high == 0, -1, largest - 1)
    total = load.sum(axis=1)
    if total.max() <= MAX_PRODUCT // num_senders:
        low = np.maximum(low, -(-total * num_senders // num_slots) - 1)
    needed = _needed_floats if high.max() < FLOAT_EXACT else _needed
    while (is_open := high - low > 1).any():
        middle = low + (high - low) // 2
        fits = needed(load, middle[:, None], num_senders).sum(axis=1) <= num_slots
        high = np.where(is_open & fits, middle, high)
        low = np.where(is_open & ~fits, middle, low)
    return np.asarray(high)


def _needed(load: np.ndarray, level: np.ndarray, num_senders: int) -> np.ndarray:
    """The fewest replicas of each expert that are at most the level, [num_rows, num_experts]."""
    shared = np.clip(level // np.maximum(load, 1), 1, num_senders)
    return np.asarray(np.where(load == 0, 1, -(-num_senders // shared)))


def _needed_floats(load: np.ndarray, level: np.ndarray, num_senders: int) -> np.ndarray:
    """The same in float64, for integers below `FLOAT_EXACT`."""
    found = level / np.maximum(load, 1)
    np.clip(np.floor(found, out=found), 1, num_senders, out=found)
    np.ceil(np.divide(num_senders, found, out=found), out=found)
    found[load == 0] = 1
    return np.asarray(found)


def _exact_level(load: list[int], num_slots: int, num_senders: int, at_least: int) -> int:
    """The same of one row, from a value on that it is not below."""

    def fits(level: int) -> bool:
        shared = [min(level // w, num_senders) if w else num_senders for w in load]
        return min(shared) > 0 and sum(-(-num_senders // m) for m in shared) <= num_slots

    low, step = at_least - 1, 1
    while not fits(low + step):
        low, step = low + step, 2 * step
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
