"""Annealing of a placement that is split freely: every proposal lets the tokens flow anew.

A swap or copy transfer changes what two GPUs hold; the experts with several replicas around them
then level what they can, under all loads at once, and the p-norm of the GPU loads says what the
move was worth. Moves are undone from a log. That is what makes a proposal cost microseconds:
the flows of the whole placement are solved again only once a slice.

Everything is additions, multiplications, divisions and square roots of float64 in a fixed order, so
that the plan after a number of moves is the same on every machine. Arrays as in `design_flow`,
`design_moves` and `anneal` (rate, first, ties, unit, held); and

powers      float64 [G, R], p-th powers of the GPU loads
sums        float64 [R], their sums
cost        float64 [G], a GPU's part of the norm, by which slots are drawn
omega       float64 [R], weight of each load
"""

from __future__ import annotations

import math

from eplb_opt.search.anneal import FINE, scaled
from eplb_opt.search.anneal_moves import fresh_by_swap, is_new, num_moves, power
from eplb_opt.search.anneal_rules import may_swap, may_turn, stands
from eplb_opt.search.design_flow import add_up, sweep
from eplb_opt.search.design_moves import replace_copy, restore, try_move, turn_back
from eplb_opt.search.jit import jit
from eplb_opt.search.kicks import draw

#: Proposals between two looks at the whole placement.
SLICE = 512
#: Sweeps to and fro at each of them.
SWEEPS = 6


@jit
def norm(sums, omega, num_gpus, doublings, worst):  # type: ignore[no-untyped-def]
    """The weighted mean over loads of the p-norm of the GPU loads, or the norm over everything."""
    total, everything = 0.0, 0.0
    for r in range(sums.shape[0]):
        root = sums[r] / num_gpus
        everything += root
        for _ in range(doublings):
            root = math.sqrt(root)
        total += omega[r] * root
    if worst:
        everything /= sums.shape[0]
        for _ in range(doublings):
            everything = math.sqrt(everything)
        return everything
    return total


@jit
def price_gpu(powers, sums, omega, cost, g):  # type: ignore[no-untyped-def]
    """A GPU's part of the norm."""
    cost[g] = 0.0
    for r in range(sums.shape[0]):
        cost[g] += omega[r] * powers[g, r] / sums[r]


@jit
def renew(load, powers, sums, omega, cost, doublings):  # type: ignore[no-untyped-def]
    """Powers, their sums and the GPUs' costs from the loads."""
    sums[:] = 0.0
    for g in range(load.shape[0]):
        for r in range(load.shape[1]):
            powers[g, r] = power(load[g, r], doublings)
            sums[r] += powers[g, r]
    for g in range(load.shape[0]):
        price_gpu(powers, sums, omega, cost, g)


@jit
def update(load, powers, sums, doublings, gpu_log, power_kept, sum_kept):  # type: ignore[no-untyped-def]
    """Powers and sums after a move; what they were is kept."""
    for r in range(sums.shape[0]):
        sum_kept[r] = sums[r]
    for i in range(gpu_log[gpu_log.shape[0] - 1]):
        g = gpu_log[i]
        for r in range(sums.shape[0]):
            fresh = power(load[g, r], doublings)
            power_kept[i, r] = powers[g, r]
            sums[r] += fresh - powers[g, r]
            powers[g, r] = fresh


@jit
def worth(load, omega, worst):  # type: ignore[no-untyped-def]
    """The weighted mean over loads of the largest GPU load, or the worst of them."""
    total, highest = 0.0, 0.0
    for r in range(load.shape[1]):
        peak = 0.0
        for g in range(load.shape[0]):
            peak = max(peak, load[g, r])
        total += omega[r] * peak
        highest = max(highest, peak)
    return highest if worst else total


@jit
def keep_best(slot, gpu, load, held, omega, worst, best_value, best_slot):  # type: ignore[no-untyped-def]
    """Note the plan where it is the best with so many moved slots."""
    value = worth(load, omega, worst)
    kept = min(num_moves(slot, gpu, held), best_value.shape[0] - 1)
    if value < best_value[kept]:
        best_value[kept] = value
        best_slot[kept, :] = slot


@jit
def look(  # type: ignore[no-untyped-def]
    slot, gpu, count, copies, flow, load, rate, several, held, omega, worst, best_value, best_slot
):
    """Let the whole placement settle, and keep it where it is the best so far."""
    add_up(slot, gpu, flow, load, rate)
    sweep(several, copies, count, gpu, flow, load, rate, SWEEPS)
    keep_best(slot, gpu, load, held, omega, worst, best_value, best_slot)


@jit
def drawn(  # type: ignore[no-untyped-def]
    slot, gpu, count, cost, first, ties, unit, state, node_size, transfers, heaviest, slack
):  # fmt: skip
    """A proposal: whether slot q turns to the expert of slot p or they exchange theirs, p and q.

    p is -1 where the one drawn makes no sense or breaks a rule.
    """
    none = (False, -1, -1)
    # One side on the costlier of two GPUs: what is light already needs no relief.
    g = scaled(draw(state, 1 << 30), cost.shape[0])
    other = scaled(draw(state, 1 << 30), cost.shape[0])
    if cost[other] > cost[g]:
        g = other
    coin = draw(state, 1 << 30)
    p = first[g] + (((coin >> 15) * (first[g + 1] - first[g])) >> 15)
    q = p - p % node_size + scaled(draw(state, 1 << 30), node_size)
    turns = (coin & (FINE - 1)) < transfers
    if turns and coin & FINE:
        p, q = q, p
    # A second replica on the same GPU has nowhere else to send tokens to.
    if slot[p] == slot[q] or gpu[p] == gpu[q] or stands(slot, first, gpu[q], slot[p]):
        return none
    if turns and count[slot[q]] < 2:
        return none
    # A heavy expert keeps its copies: alone on a GPU it could overload that by itself.
    if (
        turns
        and heaviest[slot[p]] * slack * (count[slot[q]] - 1) < heaviest[slot[q]] * count[slot[p]]
    ):
        return none
    if not turns and stands(slot, first, gpu[p], slot[q]):
        return none
    if ties.shape[0] + unit.shape[0] > 0:
        if turns and not may_turn(slot, first, ties, unit, q, gpu[q], slot[p]):
            return none
        if not (turns or may_swap(slot, first, ties, unit, p, q, gpu[p], gpu[q])):
            return none
    return turns, p, q


@jit
def moved_more(slot, gpu, held, turns, p, q):  # type: ignore[no-untyped-def]
    """Moved slots that a proposal adds."""
    if turns:
        return is_new(held, gpu[q], slot[p]) - is_new(held, gpu[q], slot[q])
    return fresh_by_swap(held, gpu[p], gpu[q], slot[p], slot[q])


@jit
def take_back(slot, count, copies, several, turns, p, q, a, b):  # type: ignore[no-untyped-def]
    """Undo a move of experts a and b of slots p and q, less the flows and loads."""
    if turns:
        turn_back(slot, count, copies, several, q, b)
        return
    slot[p], slot[q] = a, b
    replace_copy(copies, count, a, q, p)
    replace_copy(copies, count, b, p, q)


@jit
def design(  # type: ignore[no-untyped-def]
    slot, gpu, count, copies, flow, load, rate, several, first, ties, unit, held,
    powers, sums, cost, omega, worst, best_value, best_slot,
    slot_mark, slot_log, slot_kept, gpu_mark, gpu_log, gpu_kept, near, near_mark,
    power_kept, sum_kept, state, thresholds,
    node_size, heaviest, slack, doublings, temperature, price, transfers, proposals,
):  # fmt: skip
    """Propose moves, and look at the plan before and after them.

    Parameters
    ----------
    slot .. several, powers, sums, cost, omega
        See `design_flow` and the module.
    first, ties, unit, held, best_value, best_slot, thresholds, node_size, doublings, temperature,
    price, transfers
        See `anneal`; the norm's p is 2**doublings.
    slot_mark .. gpu_kept
        Logs, see `design_moves`.
    near, near_mark, power_kept, sum_kept
        int64 [E] twice, float64 [G, R] and [R], scratch.
    state
        int64 [2], of the random numbers, and moves so far; written.
    worst
        Whether the worst load counts instead of their weighted mean.
    heaviest, slack
        float64 [E], largest known load of each expert; a copy goes from one expert to another only
        where the former's replicas are then at most so many times as heavy as the latter's are now.
    proposals
        How many.
    """
    look(
        slot, gpu, count, copies, flow, load, rate, several, held, omega, worst,
        best_value, best_slot,
    )  # fmt: skip
    renew(load, powers, sums, omega, cost, doublings)
    value = norm(sums, omega, load.shape[0], doublings, worst)
    for _ in range(proposals):
        turns, p, q = drawn(
            slot, gpu, count, cost, first, ties, unit, state, node_size, transfers, heaviest, slack
        )  # fmt: skip
        if p < 0:
            continue
        a, b = slot[p], slot[q]
        limit = value + temperature * thresholds[draw(state, FINE)]
        if price > 0.0:
            limit -= price * moved_more(slot, gpu, held, turns, p, q)
        state[1] += 1
        try_move(
            slot, gpu, count, copies, flow, load, rate, several, first, slot_mark, slot_log,
            slot_kept, gpu_mark, gpu_log, gpu_kept, near, near_mark, state[1], turns, p, q,
        )  # fmt: skip
        update(load, powers, sums, doublings, gpu_log, power_kept, sum_kept)
        reached = norm(sums, omega, load.shape[0], doublings, worst)
        if reached <= limit:
            value = reached
            for i in range(gpu_log[-1]):
                price_gpu(powers, sums, omega, cost, gpu_log[i])
            continue
        restore(load, gpu_log, gpu_kept)
        restore(powers, gpu_log, power_kept)
        restore(flow, slot_log, slot_kept)
        sums[:] = sum_kept
        take_back(slot, count, copies, several, turns, p, q, a, b)
    look(
        slot, gpu, count, copies, flow, load, rate, several, held, omega, worst,
        best_value, best_slot,
    )  # fmt: skip
