"""Swaps of the heaviest GPU: one replica for one, then two for two.

Inside this room slot k * num_gpus + g is the k-th of GPU g, so that a loop over GPUs runs over
neighbours in memory. The best swap is looked for in 32-bit integers, twice as many a vector, and
then checked in 64.
"""

from __future__ import annotations

import numpy as np

from eplb_opt.hot.piece import piece

#: Above twice any GPU load in 32 bits (DIGITS of them), and no sum with it overflows.
FAR = np.int32(1 << 30)
#: Bits of the largest GPU load in 32-bit integers, one less than sums of five need: a kick may
#: double a load. What overflows all the same chooses a bad swap, which is then refused.
DIGITS = 27


@piece
def closest(twice, num_given, base, both, num_taken, ceiling, enough):  # type: ignore[no-untyped-def]
    """The exchange that leaves the lower larger load of the two GPUs.

    The inner loop is a plain minimum over integers, which compilers vectorise; which candidate it
    was is looked up afterwards, so ties do not depend on the width of the vectors.

    Parameters
    ----------
    twice
        int32 [num_given], twice what the heaviest GPU may give.
    base, both
        int32 [num_taken]: load difference of the two GPUs plus twice what is taken, and the sum
        of their loads. Twice the larger load afterwards is both + |base - twice|.
    ceiling
        Twice the load to get below.
    enough
        Twice the load that ends the search.

    Returns
    -------
    (what is given, what is taken), or -1 twice.
    """
    best, row = ceiling, -1
    for i in range(num_given):
        mine = twice[i]
        least = ceiling
        for c in range(num_taken):
            apart = np.int32(base[c] - mine)
            least = min(least, np.int32(both[c] + max(apart, np.int32(-apart))))
        if least < best:
            best, row = least, i
            if best <= enough:
                break
    if row >= 0:
        for c in range(num_taken):
            if both[c] + abs(base[c] - twice[row]) == best:
                return row, c
    return -1, -1


@piece
def swap(slot, size, load, p, q):  # type: ignore[no-untyped-def]
    """Exchange two slots."""
    num_gpus = load.shape[0]
    moved = size[p] - size[q]
    slot[p], slot[q] = slot[q], slot[p]
    size[p], size[q] = size[q], size[p]
    load[p % num_gpus] -= moved
    load[q % num_gpus] += moved


@piece
def narrow(size, load, heavy, shift, narrowed):  # type: ignore[no-untyped-def]
    """Write twice the sizes, and each GPU's difference from and sum with the heaviest one.

    Parameters
    ----------
    narrowed
        int32 [3, at least num_slots]; written.
    """
    half = shift - 1  # of what is halved, twice
    for p in range(size.shape[0]):
        narrowed[0, p] = size[p] >> half
    peak = load[heavy]
    for g in range(load.shape[0]):
        narrowed[1, g] = (peak - load[g]) >> shift
        narrowed[2, g] = (peak + load[g]) >> shift
    narrowed[2, heavy] = FAR


@piece
def swap_one(slot, size, load, heavy, target, shift, narrowed, work):  # type: ignore[no-untyped-def]
    """Do the best swap of one replica of the heaviest GPU, if one lowers it; whether it did.

    Parameters
    ----------
    slot, size, load
        Expert and fixed-point load of every slot, load of every GPU; written.
    target
        Load below which nothing is gained.
    shift
        Bits dropped on the way to 32-bit integers.
    narrowed, work
        Scratch, int32 [3, many].
    """
    num_slots, num_gpus = size.shape[0], load.shape[0]
    narrow(size, load, heavy, shift, narrowed)
    for k in range(0, num_slots, num_gpus):
        work[0, k // num_gpus] = narrowed[0, k + heavy]
        for g in range(num_gpus):
            work[1, k + g] = narrowed[0, k + g] + narrowed[1, g]
            work[2, k + g] = narrowed[2, g]
    peak = load[heavy]
    i, q = closest(
        work[0],
        num_slots // num_gpus,
        work[1],
        work[2],
        num_slots,
        np.int32(2 * (peak >> shift)),
        np.int32((peak + target) >> shift),
    )
    p = i * num_gpus + heavy
    if i < 0 or size[p] <= size[q] or load[q % num_gpus] + size[p] - size[q] >= peak:
        return False
    swap(slot, size, load, p, q)
    return True


@piece
def swap_two(slot, size, load, heavy, target, shift, pairs, narrowed, work):  # type: ignore[no-untyped-def]
    """Do a good swap of two replicas of the heaviest GPU for two, if one lowers it; whether it did.

    `narrowed` is as `swap_one` left it.

    Parameters
    ----------
    pairs
        int64 [num_pairs, 2], first slots of places of a GPU that are taken together.
    """
    num_pairs, num_gpus = pairs.shape[0], load.shape[0]
    for i in range(num_pairs):
        a, b, start = pairs[i, 0], pairs[i, 1], i * num_gpus
        work[0, i] = narrowed[0, a + heavy] + narrowed[0, b + heavy]
        for g in range(num_gpus):
            work[1, start + g] = narrowed[0, a + g] + narrowed[0, b + g] + narrowed[1, g]
            work[2, start + g] = narrowed[2, g]
    peak = load[heavy]
    i, c = closest(
        work[0],
        num_pairs,
        work[1],
        work[2],
        num_pairs * num_gpus,
        np.int32(2 * (peak >> shift)),
        np.int32((peak + target) >> shift),
    )
    if i < 0:
        return False
    j, other = c // num_gpus, c % num_gpus
    a, b = pairs[i, 0] + heavy, pairs[i, 1] + heavy
    c, d = pairs[j, 0] + other, pairs[j, 1] + other
    moved = size[a] + size[b] - size[c] - size[d]
    if moved <= 0 or load[other] + moved >= peak:
        return False
    swap(slot, size, load, a, c)
    swap(slot, size, load, b, d)
    return True
