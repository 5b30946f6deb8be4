"""Re-partition: all replicas of the heaviest GPU and two others are dealt out anew."""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise

import numpy as np

from eplb_opt.search.jit import jit

#: With more slots a GPU the subsets of three GPUs are too many, and exchanges do as well.
MAX_SLOTS = 5


@cache
def deals(slots_per_gpu: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ways to fill one GPU out of three, and one out of two; the first item is fixed on it.

    Each way out of three differs from the one before in one item, so that its sum costs two
    additions (revolving-door order: Nijenhuis and Wilf, Combinatorial Algorithms, 1978).

    Returns
    -------
    of_three int64 [num, slots_per_gpu], ascending positions out of 3 * slots_per_gpu; swaps int64
    [num, 2], the position that leaves and the one that enters at each; of_two int64 [num,
    slots_per_gpu] out of 2 * slots_per_gpu. All are empty where there are too many.
    """
    k = slots_per_gpu
    if not 2 <= k <= MAX_SLOTS:
        empty = np.empty((0, max(k, 1)), dtype=np.int64)
        return empty, np.empty((0, 2), dtype=np.int64), empty
    ways = [{0, *(i + 1 for i in rest)} for rest in revolving_door(3 * k - 1, k - 1)]
    steps = [(min(a - b), min(b - a)) for a, b in pairwise(ways)]
    of_two = [(0, *rest) for rest in combinations(range(1, 2 * k), k - 1)]
    return (
        np.array([sorted(way) for way in ways], dtype=np.int64),
        np.array([(0, 0), *steps], dtype=np.int64),
        np.array(of_two, dtype=np.int64),
    )


def revolving_door(num: int, size: int) -> list[tuple[int, ...]]:
    """All subsets of 0..num - 1 of a size, each one exchange away from its neighbours."""
    if size == 0:
        return [()]
    if size == num:
        return [tuple(range(num))]
    with_last = [(*rest, num - 1) for rest in reversed(revolving_door(num - 1, size - 1))]
    return revolving_door(num - 1, size) + with_last


@jit
def has_twins(slot, at, first, num):  # type: ignore[no-untyped-def]
    """Whether two of the slots at[first : first + num] hold the same expert."""
    for i in range(first, first + num):
        for j in range(first, i):
            if slot[at[i]] == slot[at[j]]:
                return True
    return False


@jit
def split(items, num, deals_row, chosen, rest):  # type: ignore[no-untyped-def]
    """Copy the items at the ascending positions `deals_row` to `chosen`, the others to `rest`."""
    n, k = 0, 0
    for i in range(num):
        if k < deals_row.shape[0] and deals_row[k] == i:
            chosen[k] = items[i]
            k += 1
        else:
            rest[n] = items[i]
            n += 1


@jit
def redeal(slot, size, load, slots_per_gpu, gpus, of_three, swaps, of_two, apart, scratch):  # type: ignore[no-untyped-def]
    """Deal the replicas of three GPUs out so that the largest load of the three falls.

    Two of the three loads bound the third, so few of the first subsets leave a chance to the
    other two GPUs; only for those the second deal is looked at.

    Parameters
    ----------
    slot, size, load
        The layer; written when a better deal is found.
    gpus
        Three GPUs.
    of_three, swaps, of_two
        See `deals`.
    apart
        Whether no expert may stand twice on a GPU.
    scratch
        int64 [5, 3 * slots_per_gpu]; written.

    Returns
    -------
    Whether the largest load of the three fell.
    """
    k = slots_per_gpu
    # Slots of the three, their sizes, slots in the order of the deal looked at, of the best one.
    at, sizes, dealt, rest, deal = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    total, old = 0, 0
    for i in range(3):
        for j in range(k):
            at[i * k + j] = gpus[i] * k + j
            sizes[i * k + j] = size[gpus[i] * k + j]
        total += load[gpus[i]]
        old = max(old, load[gpus[i]])
    best = old
    one = 0
    for j in range(k):
        one += sizes[of_three[0, j]]
    for first in range(of_three.shape[0]):
        one += sizes[swaps[first, 1]] - sizes[swaps[first, 0]]
        if one >= best or total - one > 2 * (best - 1):
            continue
        split(at, 3 * k, of_three[first], dealt, rest)
        if apart and has_twins(slot, dealt, 0, k):
            continue
        for second in range(of_two.shape[0]):
            two = 0
            for j in range(k):
                two += size[rest[of_two[second, j]]]
            largest = max(one, two, total - one - two)
            if largest >= best:
                continue
            split(rest, 2 * k, of_two[second], dealt[k:], dealt[2 * k :])
            if apart and (has_twins(slot, dealt, k, k) or has_twins(slot, dealt, 2 * k, k)):
                continue
            best = largest
            for i in range(3 * k):
                deal[i] = dealt[i]
    if best < old:
        apply_deal(slot, size, load, k, gpus, at, deal)
    return best < old


@jit
def apply_deal(slot, size, load, slots_per_gpu, gpus, at, deal):  # type: ignore[no-untyped-def]
    """Move the replicas in the slots `deal` to the slots `at`, one by one."""
    num = at.shape[0]
    held = np.empty(num, dtype=np.int64)
    sizes = np.empty(num, dtype=np.int64)
    for i in range(num):
        held[i], sizes[i] = slot[deal[i]], size[deal[i]]
    for i in range(3):
        load[gpus[i]] = 0
    for i in range(num):
        slot[at[i]], size[at[i]] = held[i], sizes[i]
        load[gpus[i // slots_per_gpu]] += sizes[i]
