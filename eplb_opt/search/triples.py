"""Re-partition: all replicas of the heaviest GPU and two others are dealt out anew."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np

from eplb_opt.search.jit import jit

#: With more slots a GPU the subsets of three GPUs are too many, and exchanges do as well.
MAX_SLOTS = 5


@cache
def deals(slots_per_gpu: int) -> tuple[np.ndarray, np.ndarray]:
    """Ways to fill one GPU out of three, and one out of two; the first item is fixed on it.

    Returns
    -------
    int64 [num, slots_per_gpu] positions out of 3 * slots_per_gpu, and out of 2 * slots_per_gpu;
    empty where there are too many.
    """
    if not 2 <= slots_per_gpu <= MAX_SLOTS:
        empty = np.empty((0, max(slots_per_gpu, 1)), dtype=np.int64)
        return empty, empty
    tables = []
    for num in (3 * slots_per_gpu, 2 * slots_per_gpu):
        rest = combinations(range(1, num), slots_per_gpu - 1)
        tables.append(np.array([(0, *others) for others in rest], dtype=np.int64))
    return tables[0], tables[1]


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
def redeal(slot, size, load, slots_per_gpu, gpus, of_three, of_two, apart):  # type: ignore[no-untyped-def]
    """Deal the replicas of three GPUs out so that the largest load of the three falls.

    Two of the three loads bound the third, so few of the first subsets leave a chance to the
    other two GPUs; only for those the second deal is looked at.

    Parameters
    ----------
    slot, size, load
        The layer; written when a better deal is found.
    gpus
        int64 [3].
    of_three, of_two
        See `deals`.
    apart
        Whether no expert may stand twice on a GPU.

    Returns
    -------
    Whether the largest load of the three fell.
    """
    k = slots_per_gpu
    at = np.empty(3 * k, dtype=np.int64)
    total, old = 0, 0
    for i in range(3):
        for j in range(k):
            at[i * k + j] = gpus[i] * k + j
        total += load[gpus[i]]
        old = max(old, load[gpus[i]])
    best = old
    # Slots in the order of the deal looked at, and of the best one.
    dealt = np.empty(3 * k, dtype=np.int64)
    rest = np.empty(2 * k, dtype=np.int64)
    deal = np.empty(3 * k, dtype=np.int64)
    for first in range(of_three.shape[0]):
        one = 0
        for j in range(k):
            one += size[at[of_three[first, j]]]
        if one >= best or (total - one + 1) // 2 >= best:
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
