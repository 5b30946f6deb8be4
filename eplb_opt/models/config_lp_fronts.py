"""Pricing for the configuration LP: the heaviest patterns, from fronts of partial ones.

A pattern is at most K replicas that fit a GPU. Any two patterns' halves may be combined, so that
among partial patterns of as many slots only those matter that no other undercuts in size and
matches in weight: the front. Fronts of half the slots are joined by two pointers.

Floats: what comes out are columns for a linear program and an estimate of its bound, never a proof.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eplb_opt.search.jit import jit

#: Sizes are in GPU capacities; a pattern of this size still counts as fitting.
FULL = 1.0 + 1e-12
#: Cells of the grid that weeds out most pairs before the rest is sorted.
NUM_CELLS = 1 << 13


@dataclass(frozen=True, eq=False)
class Front:
    """Partial patterns by ascending size and strictly ascending weight; the first is empty.

    Parameters
    ----------
    size, weight
        float64 [length], in capacities of a GPU and in dual values.
    left, right
        int64 [length]: of a front of single replicas, expert and count; else the rows of the two
        fronts that it was joined from.
    """

    size: np.ndarray
    weight: np.ndarray
    left: np.ndarray
    right: np.ndarray


def single_front(
    load: np.ndarray, value: np.ndarray, fewest: np.ndarray, most: np.ndarray
) -> Front:
    """The front of one slot.

    Parameters
    ----------
    load
        float64 [num_experts], in capacities of a GPU.
    value
        float64 [num_experts], dual values: a replica of an expert with c of them weighs value / c.
    fewest, most
        int64 [num_experts], least and largest counts.
    """
    return Front(*single_kernel(load, value, fewest, most, NUM_CELLS))


def joined_front(a: Front, b: Front) -> Front:
    """The front of the sums of two fronts."""
    return Front(*joined_kernel(a.size, a.weight, b.size, b.weight, a is b, NUM_CELLS))


def gridded_front(a: Front, b: Front, length: int, turn: int) -> Front:
    """Nearly that front, at most so long, without sorting; a little other every turn."""
    # The golden ratio spreads the turns over a cell.
    shift = turn * 0.618 % 1
    return Front(*gridded_kernel(a.size, a.weight, b.size, b.weight, a is b, length, shift))


def thinned_front(front: Front, length: int, turn: int) -> Front:
    """At most so many rows, the empty and the heaviest one among them; other rows every turn."""
    surplus = len(front.size) - length
    if surplus <= 0:
        return front
    # The golden ratio spreads the turns; the ends stay.
    shift = turn * 0.618 % 1
    rows = ((np.arange(length) + shift) * (len(front.size) - 1) / length).astype(np.int64)
    rows[0], rows[-1] = 0, len(front.size) - 1
    return Front(front.size[rows], front.weight[rows], front.left[rows], front.right[rows])


@jit
def single_kernel(load, value, fewest, most, num_cells):  # type: ignore[no-untyped-def]
    """Arrays of the front of one slot; see `single_front`."""
    best = np.zeros(num_cells + 2)
    for e in range(load.shape[0]):
        for c in range(fewest[e], most[e] + 1):
            size, weight = load[e] / c, value[e] / c
            if size <= FULL:
                cell = int(size * num_cells)
                best[cell] = max(best[cell], weight)
    for cell in range(1, num_cells + 2):
        best[cell] = max(best[cell], best[cell - 1])
    num = 0
    for e in range(load.shape[0]):
        for c in range(fewest[e], most[e] + 1):
            cell = int(load[e] / c * num_cells)
            if load[e] / c <= FULL and (cell == 0 or value[e] / c > best[cell - 1]):
                num += 1
    left, right = np.empty(num, np.int64), np.empty(num, np.int64)
    sizes, weights = np.empty(num), np.empty(num)
    num = 0
    for e in range(load.shape[0]):
        for c in range(fewest[e], most[e] + 1):
            cell = int(load[e] / c * num_cells)
            if load[e] / c <= FULL and (cell == 0 or value[e] / c > best[cell - 1]):
                sizes[num], weights[num], left[num], right[num] = load[e] / c, value[e] / c, e, c
                num += 1
    return front_of(sizes, weights, left, right, np.argsort(sizes, kind="mergesort"))


@jit
def joined_kernel(size_a, weight_a, size_b, weight_b, same, num_cells):  # type: ignore[no-untyped-def]
    """Arrays of the front of all sums; `same` when both are one front."""
    best = np.zeros(num_cells + 2)
    for i in range(size_a.shape[0]):
        for j in range(i if same else 0, size_b.shape[0]):
            size = size_a[i] + size_b[j]
            if size > FULL:
                break
            cell = int(size * num_cells)
            best[cell] = max(best[cell], weight_a[i] + weight_b[j])
    for cell in range(1, num_cells + 2):
        best[cell] = max(best[cell], best[cell - 1])
    room = 4096
    left, right = np.empty(room, np.int64), np.empty(room, np.int64)
    sizes, weights = np.empty(room), np.empty(room)
    num = 0
    for i in range(size_a.shape[0]):
        for j in range(i if same else 0, size_b.shape[0]):
            size = size_a[i] + size_b[j]
            if size > FULL:
                break
            cell = int(size * num_cells)
            weight = weight_a[i] + weight_b[j]
            if cell == 0 or weight > best[cell - 1]:
                if num == room:
                    room *= 2
                    left, right = grown(left, room), grown(right, room)
                    sizes, weights = grown(sizes, room), grown(weights, room)
                sizes[num], weights[num], left[num], right[num] = size, weight, i, j
                num += 1
    order = np.argsort(sizes[:num], kind="mergesort")
    return front_of(sizes, weights, left, right, order)


@jit
def gridded_kernel(size_a, weight_a, size_b, weight_b, same, num_cells, shift):  # type: ignore[no-untyped-def]
    """As `joined_kernel`, but one sum a cell: the heaviest. Cells begin at `shift`, in cells."""
    best = np.zeros(num_cells + 2)
    row_a, row_b = np.zeros(num_cells + 2, np.int64), np.zeros(num_cells + 2, np.int64)
    for i in range(size_a.shape[0]):
        for j in range(i if same else 0, size_b.shape[0]):
            size = size_a[i] + size_b[j]
            if size > FULL:
                break
            cell = int(size * num_cells + shift)
            if weight_a[i] + weight_b[j] > best[cell]:
                best[cell], row_a[cell], row_b[cell] = weight_a[i] + weight_b[j], i, j
    # Cells are in order of size, so that nothing is left to sort.
    sizes = size_a[row_a] + size_b[row_b]
    return front_of(sizes, best, row_a, row_b, np.arange(num_cells + 2))


@jit
def grown(array, room):  # type: ignore[no-untyped-def]
    """A longer array with the same beginning."""
    longer = np.empty(room, array.dtype)
    longer[: array.shape[0]] = array
    return longer


@jit
def front_of(sizes, weights, left, right, order):  # type: ignore[no-untyped-def]
    """Keep what is heavier than all before it, by ascending size, after an empty first row."""
    rows = np.empty(order.shape[0] + 1, np.int64)
    num, heaviest = 0, 0.0
    for row in order:
        if weights[row] <= heaviest:
            continue
        heaviest = weights[row]
        # Of equal sizes the heaviest alone.
        if num and sizes[rows[num - 1]] == sizes[row]:
            num -= 1
        rows[num] = row
        num += 1
    size, weight = np.zeros(num + 1), np.zeros(num + 1)
    a, b = np.zeros(num + 1, np.int64), np.zeros(num + 1, np.int64)
    for k in range(num):
        size[k + 1], weight[k + 1] = sizes[rows[k]], weights[rows[k]]
        a[k + 1], b[k + 1] = left[rows[k]], right[rows[k]]
    return size, weight, a, b


@jit
def join_ends(size_a, weight_a, size_b, weight_b):  # type: ignore[no-untyped-def]
    """For each row of a front the row of the other that completes it best, int64 [length of a]."""
    partner = np.empty(size_a.shape[0], np.int64)
    j = size_b.shape[0] - 1
    for i in range(size_a.shape[0]):
        while j > 0 and size_a[i] + size_b[j] > FULL:
            j -= 1
        partner[i] = j
    return partner
