"""Two slots a GPU: prices of the balance rows by ascent, compiled; what they prove, in integers.

The bound of `pairs_lp.prove`, written for speed: with Y the running sum of the prices, an option
costs c - change Y[rank], and what the cut of a row takes from its gain is added back. Y ascends
along its subgradient and is projected onto the ascending sequences, which is far better
conditioned than the prices themselves: a hundred steps come close to the linear program.
"""

from __future__ import annotations

import numpy as np

from eplb_opt.models.pairs_lp import DIGITS
from eplb_opt.search.jit import jit

#: Steps without a better bound after which the length of a step shrinks, and by how much.
STALL_STEPS = 15
SHRINK = 0.65
#: A step's length below which the ascent has come to its end.
LEAST_LENGTH = 0.02
#: Aims so many replicas above what is to be proven, so that the last steps do not creep.
OVERSHOOT = 0.3
#: No price of a replica is worth more than this; it keeps the sums in int64.
MAX_TOTAL_PRICE = 2.0**10


@jit
def needs_of_rows(first, change, rank, num_rows):  # type: ignore[no-untyped-def]
    """See `pairs_lp.Rows`: the least that each expert adds to a row, and what the rows need.

    Returns
    -------
    least int64 [num_experts, num_rows]; need int64 [num_rows].
    """
    num_experts = first.shape[0] - 1
    least = np.empty((num_experts, num_rows), np.int64)
    need = np.zeros(num_rows, np.int64)
    lowest = np.empty(num_rows + 1, np.int64)
    for e in range(num_experts):
        lowest[:] = 1 << 60
        outside = num_rows
        for o in range(first[e], first[e + 1]):
            lowest[rank[o]] = min(lowest[rank[o]], change[o])
            outside = min(outside, rank[o])
        low = lowest[num_rows]
        for i in range(num_rows - 1, -1, -1):
            value = min(low, 0) if outside <= i else low
            least[e, i] = value
            need[i] -= value
            low = min(low, lowest[i])
    return least, need


@jit
def cuts_of_rows(first, last, change, rank, least, need):  # type: ignore[no-untyped-def]
    """What the cut takes from the gains of each expert's options before `last`, as sparse rows.

    Returns
    -------
    start int64 [num_options + 1]; row and amount int64 [start[-1]].
    """
    num_experts, num_rows = least.shape
    start = np.zeros(change.shape[0] + 1, np.int64)
    small = np.empty(num_rows, np.int64)
    row = np.empty(1024, np.int64)
    amount = np.empty(1024, np.int64)
    size = 0
    for e in range(num_experts):
        most = 0
        for o in range(first[e], last[e]):
            most = max(most, change[o])
        num_small = 0
        for i in range(num_rows):
            if need[i] > 0 and most - least[e, i] > need[i]:
                small[num_small] = i
                num_small += 1
        for o in range(first[e], first[e + 1]):
            if o < last[e]:
                for k in range(num_small):
                    i = small[k]
                    over = (change[o] if rank[o] > i else 0) - least[e, i] - need[i]
                    if over > 0:
                        if size == row.shape[0]:
                            row = np.append(row, row)
                            amount = np.append(amount, amount)
                        row[size], amount[size] = i, over
                        size += 1
            start[o + 1] = size
    return start, row[:size], amount[:size]


@jit
def project(wanted, total, size, out):  # type: ignore[no-untyped-def]
    """The nearest ascending sequence that is not negative, by pooling neighbours."""
    blocks = 0
    for i in range(wanted.shape[0]):
        total[blocks], size[blocks] = wanted[i], 1
        blocks += 1
        while blocks > 1 and total[blocks - 2] * size[blocks - 1] >= (
            total[blocks - 1] * size[blocks - 2]
        ):
            total[blocks - 2] += total[blocks - 1]
            size[blocks - 2] += size[blocks - 1]
            blocks -= 1
    i = 0
    for b in range(blocks):
        mean = min(max(total[b] / size[b], 0.0), MAX_TOTAL_PRICE)
        for _ in range(size[b]):
            out[i] = mean
            i += 1


@jit
def cheapest(first, last, count, change, rank, cuts, running, picked):  # type: ignore[no-untyped-def]
    """Every expert's cheapest option under the prices; what they cost together."""
    start, row, amount = cuts
    value = 0.0
    for e in range(first.shape[0] - 1):
        best = np.inf
        for o in range(first[e], last[e]):
            cost = count[o] - change[o] * running[rank[o]]
            for k in range(start[o], start[o + 1]):
                i = row[k]
                cost += amount[k] * (running[i + 1] - running[i])
            if cost < best:
                best = cost
                picked[e] = o
        value += best
    return value


@jit
def slope_at(picked, change, rank, cuts, slope):  # type: ignore[no-untyped-def]
    """The subgradient along the running sums of the prices."""
    start, row, amount = cuts
    slope[:] = 0.0
    for o in picked:
        slope[rank[o]] -= change[o]
        for k in range(start[o], start[o + 1]):
            slope[row[k] + 1] += amount[k]
            slope[row[k]] -= amount[k]


@jit
def ascend(first, last, count, change, rank, cuts, running, slots, steps, weight):  # type: ignore[no-untyped-def]
    """Raise the bound until it passes the slots, or the steps are done, or nothing more comes.

    Parameters
    ----------
    running
        float64 [num_rows + 1], the running sums of the prices to begin with, 0 first; the best
        ones in the end.
    slots
        A bound above these proves that the level is out of reach.
    weight
        float64 [num_options], how often each option was the cheapest of its expert; written.

    Returns
    -------
    The best bound, in replicas.
    """
    num_rows = running.shape[0] - 1
    picked = np.zeros(first.shape[0] - 1, np.int64)
    slope = np.empty(num_rows + 1)
    wanted, total = np.empty(num_rows), np.empty(num_rows)
    size = np.empty(num_rows, np.int64)
    at = running.copy()
    best, length, stalled = -np.inf, 1.0, 0
    weight[:] = 0.0
    for _ in range(steps):
        value = cheapest(first, last, count, change, rank, cuts, at, picked)
        for o in picked:
            weight[o] += length
        if value > best:
            stalled = 0 if value > best + 1e-4 else stalled + 1
            best = value
            running[:] = at
        else:
            stalled += 1
        if stalled >= STALL_STEPS:
            length *= SHRINK
            stalled = 0
        if best > slots or length < LEAST_LENGTH:
            break
        slope_at(picked, change, rank, cuts, slope)
        norm = 0.0
        for r in range(1, num_rows + 1):
            norm += slope[r] * slope[r]
        if norm == 0.0:
            break
        move = length * (slots + OVERSHOOT - value) / norm
        for r in range(num_rows):
            wanted[r] = at[r + 1] + move * slope[r + 1]
        project(wanted, total, size, at[1:])
    return best


@jit
def replicas_proven(first, count, change, rank, least, need, price, excess):  # type: ignore[no-untyped-def]
    """`pairs_lp.prove` in integers, without a table of options and rows.

    Parameters
    ----------
    price
        int64 [num_rows] in 1 / DIGITS, 0 where a row needs nothing.
    excess
        int64 [num_options], what an option costs more than its expert's cheapest; written.
    """
    num_rows = need.shape[0]
    running = np.zeros(num_rows + 1, np.int64)
    for i in range(num_rows):
        running[i + 1] = running[i] + price[i]
    used = np.flatnonzero(price)
    small = np.empty(num_rows, np.int64)
    value = np.int64(0)
    for e in range(first.shape[0] - 1):
        most = 0
        for o in range(first[e], first[e + 1]):
            most = max(most, change[o])
        num_small = 0
        for row in used:
            if most - least[e, row] > need[row]:
                small[num_small] = row
                num_small += 1
        for o in range(first[e], first[e + 1]):
            cost = count[o] * DIGITS - change[o] * running[rank[o]]
            for k in range(num_small):
                i = small[k]
                over = (change[o] if rank[o] > i else 0) - least[e, i] - need[i]
                if over > 0:
                    cost += over * price[i]
            excess[o] = cost
        own = excess[first[e] : first[e + 1]]
        least_cost = own.min()
        own -= least_cost
        value += least_cost
    return value
