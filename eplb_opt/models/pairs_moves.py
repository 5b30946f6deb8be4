"""Two slots a GPU: compiled search on the replica counts, as a source of plans.

For given counts the heaviest replica meets the lightest, so a plan is its counts. A move takes a
replica from one expert and gives it to another. Moves are rated by what the pairs exceed a wanted
level by, all together: the largest load alone hardly ever tells one move from another. The best
move is taken even where it is a worse plan, and its experts then rest for some moves (tabu).
"""

from __future__ import annotations

import numpy as np

from eplb_opt.search.jit import jit

#: So many givers and takers, the best by themselves, are tried with each other.
TRIED = 10
#: An expert rests for so many moves, and a few more in turn.
REST, REST_TURNS = 4, 7


@jit
def refill(load, counts, num_slots):  # type: ignore[no-untyped-def]
    """Make the counts use all slots: off the lightest replicas, or more of the heaviest."""
    surplus = counts.sum() - num_slots
    while surplus != 0:
        best, chosen = np.inf, -1
        for e in range(load.shape[0]):
            if surplus > 0 and counts[e] > 1 and load[e] / (counts[e] - 1) < best:
                best, chosen = load[e] / (counts[e] - 1), e
            if surplus < 0 and -load[e] / counts[e] < best:
                best, chosen = -load[e] / counts[e], e
        step = 1 if surplus > 0 else -1
        counts[chosen] -= step
        surplus -= step


@jit
def rate(load, counts, order, giver, taker, level, row):  # type: ignore[no-untyped-def]
    """What a move makes of the plan; either expert may be -1 for none.

    Parameters
    ----------
    order
        int64 [num_experts], by load of a replica, ascending.
    row
        float64 [num_slots], for the work.

    Returns
    -------
    What the pairs exceed the level by, together; the largest pair.
    """
    num_slots = row.shape[0]
    giver_count = counts[giver] - 1 if giver >= 0 else 0
    taker_count = counts[taker] + 1 if taker >= 0 else 0
    giver_share = load[giver] / giver_count if giver_count else -1.0
    taker_share = load[taker] / taker_count if taker_count else -1.0
    at = num_slots - 1
    for k in range(order.shape[0] - 1, -2, -1):
        e = order[k] if k >= 0 else -1
        share = load[e] / counts[e] if k >= 0 else -2.0
        while giver_count and giver_share >= share and at >= 0:
            row[at] = giver_share
            at -= 1
            giver_count -= 1
            # Of two runs the larger share comes first; equal ones may mix.
            if taker_count and taker_share > giver_share:
                row[at + 1] = taker_share
                taker_count -= 1
                giver_count += 1
        while taker_count and taker_share >= share and at >= 0:
            row[at] = taker_share
            at -= 1
            taker_count -= 1
        if at < 0 or k < 0:
            break
        if e != giver and e != taker:
            stop = max(at - counts[e], -1)
            while at > stop:
                row[at] = share
                at -= 1
    while at >= 0:
        row[at] = 0.0
        at -= 1
    above, largest = 0.0, 0.0
    for i in range(num_slots // 2):
        pair = row[i] + row[num_slots - 1 - i]
        largest = max(largest, pair)
        above += max(pair - level, 0.0)
    return above, largest


@jit
def keep_best(score, who, found, value, expert):  # type: ignore[no-untyped-def]
    """Insert into the ascending list of the best; returns its length."""
    if found == score.shape[0]:
        if value >= score[found - 1]:
            return found
        found -= 1
    k = found
    while k > 0 and score[k - 1] > value:
        score[k], who[k] = score[k - 1], who[k - 1]
        k -= 1
    score[k], who[k] = value, expert
    return found + 1


@jit
def move_replicas(load, counts, lowest, highest, num_slots, level, moves):  # type: ignore[no-untyped-def]
    """Moves, until all pairs are at most the level or the moves are done.

    Parameters
    ----------
    load
        float64 [num_experts].
    counts
        int64 [num_experts], adding up to `num_slots`; changed.
    lowest, highest
        int64 [num_experts], between which counts are looked for.

    Returns
    -------
    The best counts on the way, and their largest pair.
    """
    num_experts = load.shape[0]
    row = np.empty(num_slots)
    rests = np.zeros(num_experts, np.int64)
    give_score, take_score = np.empty(TRIED), np.empty(TRIED)
    give, take = np.empty(TRIED, np.int64), np.empty(TRIED, np.int64)
    order = np.argsort(load / counts)
    best = rate(load, counts, order, -1, -1, level, row)[1]
    best_counts = counts.copy()
    for move in range(1, moves + 1):
        if best <= level:
            break
        num_give = num_take = 0
        for e in range(num_experts):
            if rests[e] < move and counts[e] > max(lowest[e], 1):
                value = rate(load, counts, order, e, -1, level, row)[0]
                num_give = keep_best(give_score, give, num_give, value, e)
            if rests[e] < move and counts[e] < highest[e]:
                value = rate(load, counts, order, -1, e, level, row)[0]
                num_take = keep_best(take_score, take, num_take, value, e)
        least, giver, taker = np.inf, -1, -1
        for a in give[:num_give]:
            for b in take[:num_take]:
                if a != b:
                    above, largest = rate(load, counts, order, a, b, level, row)
                    if above < least:
                        least, giver, taker = above, a, b
                    if largest < best:
                        best = largest
                        best_counts[:] = counts
                        best_counts[a] -= 1
                        best_counts[b] += 1
        if giver < 0:
            break
        counts[giver] -= 1
        counts[taker] += 1
        rests[giver] = rests[taker] = move + REST + move % REST_TURNS
        order = np.argsort(load / counts)
    return best_counts, best
