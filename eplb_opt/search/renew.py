"""Renewal: a plan from replica counts drawn at random, for heads that no transfer mends."""

from __future__ import annotations

import numpy as np

from eplb_opt.search.jit import jit
from eplb_opt.search.kicks import draw
from eplb_opt.search.scan import fewest_counts, pack, receiver

#: Counts drawn for one renewal; the best greedy packing of them is the new plan.
DRAWN = 16
#: Replicas at most so large are asked for: a share of the bound drawn from this one up, in 1/100.
SMALLEST_TARGET = 60


@jit
def draw_ceiling(target, random):  # type: ignore[no-untyped-def]
    """A replica size up to the target, small ones as likely as large ones."""
    ceiling = target >> draw(random, 6)
    return ceiling - ceiling * draw(random, 50) // 100


@jit
def draw_counts(weight, num_slots, target, count, piece, random):  # type: ignore[no-untyped-def]
    """Counts that keep replicas at or below the target, spare slots under ceilings drawn anew.

    Parameters
    ----------
    weight, num_slots, target, count, piece
        See `scan.fit_counts`.
    random
        State of `draw`.

    Returns
    -------
    Whether the slots are enough.
    """
    spare = fewest_counts(weight, num_slots, target, count, piece)
    ceiling = target
    patience = 1 + draw(random, 6)
    for _ in range(spare):
        if draw(random, patience) == 0:
            ceiling = draw_ceiling(target, random)
        e = receiver(piece, ceiling)
        count[e] += 1
        piece[e] = weight[e] // count[e]
    return spare >= 0


@jit
def sort_down(piece, order):  # type: ignore[no-untyped-def]
    """Refresh an order of experts to descending replica size; quick where it nearly is one."""
    for i in range(1, order.shape[0]):
        e = order[i]
        j = i - 1
        while j >= 0 and piece[order[j]] < piece[e]:
            order[j + 1] = order[j]
            j -= 1
        order[j + 1] = e


@jit
def renew(weight, num_gpus, slots_per_gpu, apart, bound, slot, random):  # type: ignore[no-untyped-def]
    """The best of a few greedy packings, each of counts drawn at random.

    Parameters
    ----------
    weight
        int64 [num_experts], fixed-point loads.
    bound
        Fixed-point load that no replica exceeds.
    slot
        int64 [num_slots]; written where a packing was found.
    random
        State of `draw`.

    Returns
    -------
    Whether one was found.
    """
    num_experts = weight.shape[0]
    count, piece = np.empty(num_experts, np.int64), np.empty(num_experts, np.int64)
    load, filled = np.empty(num_gpus, np.int64), np.empty(num_gpus, np.int64)
    packed = np.empty(slot.shape[0], np.int64)
    order = np.empty(num_experts, np.int64)
    for e in range(num_experts):
        order[e] = e
    best = np.int64(-1)
    for _ in range(DRAWN):
        target = max(bound // 100 * (100 - draw(random, 101 - SMALLEST_TARGET)), 1)
        if not draw_counts(weight, slot.shape[0], target, count, piece, random):
            continue
        sort_down(piece, order)
        if not pack(piece, count, order, load, filled, slots_per_gpu, apart, packed):
            continue
        peak = load[0]
        for g in range(num_gpus):
            peak = max(peak, load[g])
        if best < 0 or peak < best:
            best = peak
            for p in range(slot.shape[0]):
                slot[p] = packed[p]
    return best >= 0
