"""Polish: the heaviest GPU exchanges equally many replicas with another one."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np

from eplb_opt.search.jit import jit

#: Low bits of a packed subset sum that hold the subset's index.
INDEX_BITS = 10
#: More subsets a GPU than this cost more to keep sorted than they bring.
MAX_SUBSETS = 260


@cache
def subsets_of_slots(slots_per_gpu: int) -> tuple[np.ndarray, np.ndarray]:
    """The exchanges worth looking at: subsets of a GPU's slots by size.

    Returns
    -------
    members int64 [num_subsets, largest size], padded with -1, smallest sizes first; and
    first int64 [largest size + 1], where each size begins and the last ends.
    """
    sizes: list[list[tuple[int, ...]]] = []
    total = 0
    # Exchanging more than half the slots is exchanging the rest, under other names of the GPUs.
    for size in range(1, max(slots_per_gpu // 2, 1) + 1):
        found = list(combinations(range(slots_per_gpu), size))
        total += len(found)
        if sizes and total > MAX_SUBSETS:
            break
        sizes.append(found)
    members = np.full((sum(map(len, sizes)), len(sizes)), -1, dtype=np.int64)
    for row, subset in enumerate(s for found in sizes for s in found):
        members[row, : len(subset)] = subset
    first = np.cumsum([0, *map(len, sizes)]).astype(np.int64)
    return members, first


@jit
def sort_subsets(gpu, size, slots_per_gpu, members, first, sums):  # type: ignore[no-untyped-def]
    """Refresh a GPU's subset sums, ascending within each subset size.

    Parameters
    ----------
    gpu
        Its index.
    size
        int64 [num_slots], fixed-point load of the replica in each slot, summing to at most 2**44.
    members, first
        See `subsets_of_slots`.
    sums
        int64 [num_gpus, num_subsets], packed sum << INDEX_BITS | subset; written.
    """
    base = gpu * slots_per_gpu
    row = sums[gpu]
    for subset in range(members.shape[0]):
        total = 0
        for k in range(members.shape[1]):
            if members[subset, k] >= 0:
                total += size[base + members[subset, k]]
        row[subset] = (total << INDEX_BITS) | subset
    for m in range(first.shape[0] - 1):
        row[first[m] : first[m + 1]].sort()


@jit
def stands_on(slot, gpu, slots_per_gpu, expert, members, but):  # type: ignore[no-untyped-def]
    """Whether an expert stands on a GPU outside the subset `but` of its slots."""
    for k in range(slots_per_gpu):
        if slot[gpu * slots_per_gpu + k] != expert:
            continue
        leaves = False
        for i in range(members.shape[1]):
            leaves = leaves or members[but, i] == k
        if not leaves:
            return True
    return False


@jit
def keeps_apart(slot, slots_per_gpu, members, g, sub_g, h, sub_h):  # type: ignore[no-untyped-def]
    """Whether an exchange of subsets leaves no expert twice on either GPU."""
    for i in range(members.shape[1]):
        if members[sub_g, i] >= 0:
            expert = slot[g * slots_per_gpu + members[sub_g, i]]
            if stands_on(slot, h, slots_per_gpu, expert, members, sub_h):
                return False
        if members[sub_h, i] >= 0:
            expert = slot[h * slots_per_gpu + members[sub_h, i]]
            if stands_on(slot, g, slots_per_gpu, expert, members, sub_g):
                return False
    return True


@jit
def best_exchange(slot, load, sums, members, first, slots_per_gpu, apart, heavy):  # type: ignore[no-untyped-def]
    """The exchange with the heaviest GPU that leaves the lower larger load of the two.

    Both subsets are walked in ascending order with two pointers, so that each subset meets only the
    two partners that bring the loads closest together.

    Returns
    -------
    (other GPU or -1, subset of the heavy one, subset of the other).
    """
    best = load[heavy]
    found, give, take = -1, 0, 0
    for other in range(load.shape[0]):
        difference = load[heavy] - load[other]
        if other == heavy or (load[heavy] + load[other] + 1) // 2 >= best:
            continue
        for m in range(first.shape[0] - 1):
            j = first[m]
            for i in range(first[m], first[m + 1]):
                given = sums[heavy, i] >> INDEX_BITS
                while (
                    j < first[m + 1] and 2 * (given - (sums[other, j] >> INDEX_BITS)) > difference
                ):
                    j += 1
                for partner in (j - 1, j):
                    if partner < first[m] or partner >= first[m + 1]:
                        continue
                    moved = given - (sums[other, partner] >> INDEX_BITS)
                    larger = max(load[heavy] - moved, load[other] + moved)
                    if moved <= 0 or larger >= best:
                        continue
                    sub_i = sums[heavy, i] & ((1 << INDEX_BITS) - 1)
                    sub_j = sums[other, partner] & ((1 << INDEX_BITS) - 1)
                    if apart and not keeps_apart(
                        slot, slots_per_gpu, members, heavy, sub_i, other, sub_j
                    ):
                        continue
                    best, found, give, take = larger, other, sub_i, sub_j
    return found, give, take


@jit
def exchange(slot, size, load, slots_per_gpu, members, g, sub_g, h, sub_h):  # type: ignore[no-untyped-def]
    """Swap two subsets of slots, place by place."""
    for i in range(members.shape[1]):
        if members[sub_g, i] < 0:
            break
        p = g * slots_per_gpu + members[sub_g, i]
        q = h * slots_per_gpu + members[sub_h, i]
        moved = size[p] - size[q]
        slot[p], slot[q] = slot[q], slot[p]
        size[p], size[q] = size[q], size[p]
        load[g] -= moved
        load[h] += moved
