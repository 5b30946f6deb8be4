"""Re-partition: all replicas of the heaviest GPU and two others are dealt out anew."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from eplb_opt.search.jit import jit

#: With more slots a GPU the subsets of three GPUs are too many, and exchanges do as well.
MAX_SLOTS = 5


def deals(slots_per_gpu: int) -> tuple[np.ndarray, np.ndarray]:
    """Ways to fill one GPU out of three, and one out of two; the first item is fixed on it.

    Returns
    -------
    int64 [num, slots_per_gpu] positions out of 3 * slots_per_gpu, and out of 2 * slots_per_gpu; empty
    where there are too many.
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
def has_twins(slot, at):  # type: ignore[no-untyped-def]
    """Whether two of the slots `at` hold the same expert."""
    for i in range(at.shape[0]):
        for j in range(i):
            if slot[at[i]] == slot[at[j]]:
                return True
    return False


@jit
def complement(total, chosen, rest):  # type: ignore[no-untyped-def]
    """Write the positions below `total` that are not in the ascending `chosen`."""
    n, k = 0, 0
    for i in range(total):
        if k < chosen.shape[0] and chosen[k] == i:
            k += 1
        else:
            rest[n] = i
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
    total = 0
    best = 0
    for i in range(3):
        for j in range(k):
            at[i * k + j] = gpus[i] * k + j
        total += load[gpus[i]]
        best = max(best, load[gpus[i]])
    old = best
    rest = np.empty(2 * k, dtype=np.int64)
    last = np.empty(k, dtype=np.int64)
    deal = np.empty(3 * k, dtype=np.int64)
    for first in range(of_three.shape[0]):
        one = 0
        for j in range(k):
            one += size[at[of_three[first, j]]]
        if one >= best or (total - one + 1) // 2 >= best:
            continue
        if apart and has_twins(slot, at[of_three[first]]):
            continue
        complement(3 * k, of_three[first], rest)
        for second in range(of_two.shape[0]):
            two = 0
            for j in range(k):
                two += size[at[rest[of_two[second, j]]]]
            largest = max(one, two, total - one - two)
            if largest >= best:
                continue
            complement(2 * k, of_two[second], last)
            if apart and (
                has_twins(slot, at[rest[of_two[second]]]) or has_twins(slot, at[rest[last]])
            ):
                continue
            best = largest
            for j in range(k):
                deal[j] = at[of_three[first, j]]
                deal[k + j] = at[rest[of_two[second, j]]]
                deal[2 * k + j] = at[rest[last[j]]]
    if best >= old:
        return False
    held = slot[deal]
    sizes = size[deal]
    for i in range(3):
        load[gpus[i]] = 0
        for j in range(k):
            slot[at[i * k + j]] = held[i * k + j]
            size[at[i * k + j]] = sizes[i * k + j]
            load[gpus[i]] += sizes[i * k + j]
    return True
