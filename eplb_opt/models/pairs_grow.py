"""Two slots a GPU: the branch and bound of `pairs_tree`, compiled, node after node.

The options that a node has left are a mask over all; a stack holds the masks and the running sums
of prices of the nodes that wait.
"""

from __future__ import annotations

import numpy as np

from eplb_opt.models.pairs_dual import ascend, cuts_of_rows, needs_of_rows, replicas_proven
from eplb_opt.models.pairs_lp import DIGITS
from eplb_opt.models.pairs_moves import rate, refill
from eplb_opt.search.jit import jit

#: Ascents of a node, and of the root: its children go on where it stops.
MAX_ROUNDS, ROOT_ROUNDS = 8, 6
#: Share of its options that a round has to strike off to be worth another.
LEAST_STRUCK = 0.03
#: Steps of an ascent: of the root's, and of the other nodes'.
ROOT_STEPS, NODE_STEPS = 150, 60
#: With more options an expert a first ascent leaves the cuts out, and looks at the first ones.
MANY_OPTIONS, FIRST_OPTIONS = 4, 6
#: What the bound has to pass the slots by, for the prices' rounding.
MARGIN = 1e-4
#: What an expert's options have to differ by to count as undecided.
UNDECIDED = 0.1
#: What is known of a node afterwards.
CLOSED, OPEN, STUCK = 0, 1, 2


@jit
def compact(mask, first, kept):  # type: ignore[no-untyped-def]
    """Numbers of the options under the mask, and each expert's first among them."""
    num_experts = first.shape[0] - 1
    at = np.empty(num_experts + 1, np.int64)
    size = 0
    for e in range(num_experts):
        at[e] = size
        for o in range(first[e], first[e + 1]):
            if mask[o]:
                kept[size] = o
                size += 1
    at[num_experts] = size
    return kept[:size].copy(), at


@jit
def prices_of_node(first, count, change, rank, least, need, running, slots, steps, weight):  # type: ignore[no-untyped-def]
    """Integer prices from an ascent; where no expert has a choice, of the worst row alone.

    With one option each, the options' own changes are the least ones, and what a row still
    needs it will never get.
    """
    num_experts, num_rows = least.shape
    price = np.zeros(num_rows, np.int64)
    size = count.shape[0]
    if size == num_experts:
        weight[:] = 1.0
        if num_rows > 0 and need.max() > 0:
            price[need.argmax()] = (slots + 1) * DIGITS
        return price
    last = first[1:].copy()
    most = first[1:].copy()
    if size > MANY_OPTIONS * num_experts:
        for e in range(num_experts):
            last[e] = min(first[e] + FIRST_OPTIONS, first[e + 1])
            most[e] = first[e]
    cuts = cuts_of_rows(first, most, change, rank, least, need)
    ascend(first, last, count, change, rank, cuts, running, slots + MARGIN, steps, weight)
    for i in range(num_rows):
        if need[i] > 0:
            price[i] = np.int64(np.round((running[i + 1] - running[i]) * DIGITS))
    return price


@jit
def counts_of(weight, first, count):  # type: ignore[no-untyped-def]
    """The count of each expert's heaviest option."""
    counts = np.empty(first.shape[0] - 1, np.int64)
    for e in range(counts.shape[0]):
        heaviest = first[e]
        for o in range(first[e], first[e + 1]):
            if weight[o] > weight[heaviest]:
                heaviest = o
        counts[e] = count[heaviest]
    return counts


@jit
def branch_on(weight, first, count, change, rank):  # type: ignore[no-untyped-def]
    """The expert to branch on, and the count that its lower half ends with; see `pairs_tree`."""
    chosen, most, torn_most = -1, -1.0, -1.0
    for e in range(first.shape[0] - 1):
        if first[e + 1] - first[e] < 2:
            continue
        total, mean = 0.0, 0.0
        for o in range(first[e], first[e + 1]):
            total += weight[o]
            mean += weight[o] * rank[o]
        torn, spread = 0.0, 0.0
        if total > 0:
            for o in range(first[e], first[e + 1]):
                share = weight[o] / total
                spread += share * abs(rank[o] - mean / total)
                if change[o] < 0:
                    torn += share * (1 - share)
        torn_most = max(torn_most, torn)
        # Experts torn between big options go before all others.
        key = 1e9 * torn if torn >= UNDECIDED else spread
        if key > most:
            chosen, most = e, key
    total, mean = 1e-12, 0.0
    for o in range(first[chosen], first[chosen + 1]):
        total += weight[o]
        mean += weight[o] * count[o]
    split = first[chosen]
    for o in range(first[chosen], first[chosen + 1] - 1):
        if count[o] <= mean / total + 1e-9:
            split = o
    return chosen, count[split]


@jit
def try_counts(load, counts, best_counts, best):  # type: ignore[no-untyped-def]
    """Keep the counts, made to use all slots, where they are better; the best value."""
    refill(load, counts, best_counts.sum())
    row = np.empty(best_counts.sum())
    value = rate(load, counts, np.argsort(load / counts), -1, -1, 0.0, row)[1]
    if value < best:
        best_counts[:] = counts
        return value
    return best


@jit
def work(columns, mask, running, load, best_counts, best, slots, steps, rounds, weight, excess):  # type: ignore[no-untyped-def]
    """A node: rounds of an ascent and of striking options off, which tightens the rows.

    Parameters
    ----------
    columns
        first int64 [num_experts + 1]; count, change, rank int64 [num_options]; number of rows.
    mask
        bool [num_options], the options left; changed.
    running
        float64 [num_rows + 1], the running sums of prices; changed.
    best_counts, best
        The best counts so far, changed, and their value.
    weight, excess
        [num_options], of the last round; written where an option is left.

    Returns
    -------
    What is known; the best value; prices of each round; the expert and count to branch on.
    """
    all_first, all_count, all_change, all_rank, num_rows = columns
    prices = np.zeros((rounds + 1, num_rows), np.int64)
    kept = np.empty(all_count.shape[0], np.int64)
    at, first = compact(mask, all_first, kept)
    number, verdict = 0, OPEN
    shares = np.empty(0)
    # Once no expert has a choice left, one more round tells.
    while number < rounds or (number == rounds and at.shape[0] == load.shape[0]):
        size = at.shape[0]
        count, change, rank = all_count[at], all_change[at], all_rank[at]
        least, need = needs_of_rows(first, change, rank, num_rows)
        shares = np.empty(size)
        price = prices_of_node(
            first, count, change, rank, least, need, running, slots, steps, shares
        )
        prices[number] = price
        number += 1
        costs = np.empty(size, np.int64)
        value = replicas_proven(first, count, change, rank, least, need, price, costs)
        room = slots * DIGITS - value
        if room < 0:
            verdict = CLOSED
            break
        best = try_counts(load, counts_of(shares, first, count), best_counts, best)
        for k in range(size):
            weight[at[k]], excess[at[k]] = shares[k], costs[k]
            if costs[k] > room:
                mask[at[k]] = False
        at, first = compact(mask, all_first, kept)
        if at.shape[0] >= size * (1 - LEAST_STRUCK) and at.shape[0] > load.shape[0]:
            break
        if size == load.shape[0]:
            break
    expert, split = -1, -1
    if verdict == OPEN:
        if at.shape[0] > load.shape[0]:
            expert, split = branch_on(
                weight[at], first, all_count[at], all_change[at], all_rank[at]
            )
        else:  # these very counts fit, even where float64 sees nothing better in them
            verdict = STUCK
            best_counts[:] = all_count[at]
            refill(load, best_counts, slots)
    return verdict, best, prices[:number], expert, split


@jit
def grow(  # type: ignore[no-untyped-def]
    columns, masks, runnings, top, load, best_counts, best, slots, nodes, root, weight, excess
):
    """Work on waiting nodes, the last one first.

    Parameters
    ----------
    masks, runnings
        The stack: bool [capacity, num_options] and float64 [capacity, num_rows + 1]; changed.
    top
        How many nodes wait.
    nodes
        To work on, at most.
    root
        Whether the first one is the root.

    Returns
    -------
    How many wait now, negative where a node without choice is open: its counts are the best then;
    the best value; of each node its number of rounds, and the expert and count that it branches on
    or -1; the prices of all rounds.
    """
    num_rows = columns[4]
    log = np.full((nodes, 3), -1, np.int64)
    prices = np.zeros((nodes * (MAX_ROUNDS + 1), num_rows), np.int64)
    done = num_rounds = 0
    while done < nodes and 0 < top < masks.shape[0]:
        top -= 1
        steps, rounds = NODE_STEPS, MAX_ROUNDS
        if root and done == 0:
            steps, rounds = ROOT_STEPS, ROOT_ROUNDS
        before = best
        verdict, best, own, expert, split = work(
            columns,
            masks[top],
            runnings[top],
            load,
            best_counts,
            best,
            slots,
            steps,
            rounds,
            weight,
            excess,
        )
        log[done, 0] = own.shape[0]
        for k in range(own.shape[0]):
            prices[num_rounds] = own[k]
            num_rounds += 1
        done += 1
        if verdict == STUCK:
            top = -1 - top
            break
        if verdict == OPEN:
            log[done - 1, 1], log[done - 1, 2] = expert, split
            masks[top + 1] = masks[top]
            runnings[top + 1] = runnings[top]
            for o in range(columns[0][expert], columns[0][expert + 1]):
                if columns[1][o] <= split:
                    masks[top, o] = False
                else:
                    masks[top + 1, o] = False
            top += 2
        if best < before:
            break
    return top, best, log[:done], prices[:num_rounds]
