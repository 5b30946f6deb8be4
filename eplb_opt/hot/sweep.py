"""A sweep: every heavy GPU swaps one replica with its counterpart among the light ones."""

from __future__ import annotations

from eplb_opt.hot.piece import piece
from eplb_opt.hot.swaps import swap


@piece
def sort_gpus(load, order):  # type: ignore[no-untyped-def]
    """Write the GPUs by descending load, the first of equals first."""
    for g in range(load.shape[0]):
        mine, hole = load[g], g
        while hole > 0 and load[order[hole - 1]] < mine:
            order[hole] = order[hole - 1]
            hole -= 1
        order[hole] = g


@piece
def level_two(slot, size, load, heavy, light):  # type: ignore[no-untyped-def]
    """Do the swap of one for one that brings two GPUs closest together, if there is one."""
    num_slots, num_gpus = size.shape[0], load.shape[0]
    gap = load[heavy] - load[light]
    least, from_slot, to_slot = gap, -1, -1
    for p in range(heavy, num_slots, num_gpus):
        for q in range(light, num_slots, num_gpus):
            apart = abs(gap - 2 * (size[p] - size[q]))
            if apart < least:
                least, from_slot, to_slot = apart, p, q
    if from_slot >= 0:
        swap(slot, size, load, from_slot, to_slot)


@piece
def sweep(slot, size, load, order):  # type: ignore[no-untyped-def]
    """Level the heaviest GPU with the lightest, the second with the second, and so on.

    No GPU's load comes to exceed the larger one of its pair, so the largest never rises.

    Parameters
    ----------
    slot, size, load
        Expert and fixed-point load of every slot, load of every GPU; written.
    order
        Scratch, int32 [num_gpus].
    """
    sort_gpus(load, order)
    num_gpus = load.shape[0]
    for i in range(num_gpus // 2):
        level_two(slot, size, load, order[i], order[num_gpus - 1 - i])
