"""A copy transfer together with the swaps that mend what it spoils, judged as one move.

With few slots a GPU a transfer alone hardly ever lowers the norm: each GPU that loses its share of
an expert wants another partner first. So the GPUs that it makes costlier are paired anew, the one
that rose most first, by the best swap with any slot; then the whole is kept or taken back.

Arrays as in `anneal`.
"""

from __future__ import annotations

from eplb_opt.search.anneal import FINE, keep_best, refill, renew_slopes, scaled
from eplb_opt.search.anneal_moves import cost_after, exchange, transfer
from eplb_opt.search.anneal_rules import may_swap, may_turn, stands
from eplb_opt.search.jit import jit
from eplb_opt.search.kicks import draw

#: Swaps after a transfer, at most.
MENDS = 6
#: What counts as a gain: above the rounding errors of a cost.
LEAST_GAIN = 1e-12


@jit
def mend(  # type: ignore[no-untyped-def]
    slot, gpu, share, load, slope, cost, rate, first, ties, unit, node_size, apart, doublings, g
):
    """The best swap between GPU g and any slot of its node; whether there is one that gains."""
    best_p, best_q = -1, -1
    best_g, best_h, gain = 0.0, 0.0, LEAST_GAIN
    is_tied = ties.shape[0] + unit.shape[0] > 0
    low = first[g] - first[g] % node_size
    for p in range(first[g], first[g + 1]):
        a = slot[p]
        for q in range(low, low + node_size):
            b, h = slot[q], gpu[q]
            if h == g or a == b:
                continue
            limit = cost[g] + cost[h] - gain
            cost_g = cost_after(load, share, slope, rate[g], g, a, b, doublings)
            if cost_g >= limit:
                continue
            cost_h = cost_after(load, share, slope, rate[h], h, b, a, doublings)
            if cost_g + cost_h >= limit:
                continue
            if apart and (stands(slot, first, h, a) or stands(slot, first, g, b)):
                continue
            if is_tied and not may_swap(slot, first, ties, unit, p, q, g, h):
                continue
            best_p, best_q, best_g, best_h = p, q, cost_g, cost_h
            gain = cost[g] + cost[h] - cost_g - cost_h
    if best_p < 0:
        return False
    h = gpu[best_q]
    exchange(slot, share, load, best_p, best_q, g, h)
    cost[g], cost[h] = best_g, best_h
    return True


@jit
def risen(cost, before):  # type: ignore[no-untyped-def]
    """The GPU whose cost rose most, -1 where none did."""
    worst, most = -1, LEAST_GAIN
    for g in range(cost.shape[0]):
        if cost[g] - before[g] > most:
            worst, most = g, cost[g] - before[g]
    return worst


@jit
def divide_anew(weight, count, share, expert, more):  # type: ignore[no-untyped-def]
    """Give an expert so many replicas more."""
    count[expert] += more
    for r in range(weight.shape[1]):
        share[expert, r] = weight[expert, r] / count[expert]


@jit
def anneal_mended(  # type: ignore[no-untyped-def]
    weight,
    scenario_weight,
    worst,
    slot,
    gpu,
    count,
    share,
    load,
    slope,
    cost,
    rate,
    first,
    ties,
    unit,
    held,
    buffer,
    touched,
    best_value,
    best_slot,
    state,
    thresholds,
    node_size,
    apart,
    doublings,
    temperature,
    proposals,
):
    """Propose so many transfers with their mends, and keep the best plan; see `anneal`."""
    num_slots = slot.shape[0]
    is_tied = ties.shape[0] + unit.shape[0] > 0
    old_slot, old_load, old_cost = slot.copy(), load.copy(), cost.copy()
    refill(weight, slot, gpu, count, share, load)
    renew_slopes(load, rate, scenario_weight, worst, doublings, slope, cost)
    for _ in range(proposals):
        limit = temperature * thresholds[draw(state, FINE)]
        # The expert that gets more stands on the costlier of two GPUs.
        q = scaled(draw(state, 1 << 30), num_slots)
        low = q - q % node_size
        p = low + scaled(draw(state, 1 << 30), node_size)
        other = low + scaled(draw(state, 1 << 30), node_size)
        if cost[gpu[other]] > cost[gpu[p]]:
            p = other
        a, b = slot[p], slot[q]
        if a == b or count[b] < 2:
            continue
        if apart and stands(slot, first, gpu[q], a):
            continue
        if is_tied and not may_turn(slot, first, ties, unit, q, gpu[q], a):
            continue
        old_slot[:], old_load[:], old_cost[:] = slot, load, cost
        transfer(
            weight,
            slot,
            gpu,
            count,
            share,
            load,
            slope,
            cost,
            rate,
            held,
            q,
            a,
            doublings,
            1e300,
            0.0,
            buffer,
            touched,
        )
        for _ in range(MENDS):
            g = risen(cost, old_cost)
            if g < 0 or not mend(
                slot,
                gpu,
                share,
                load,
                slope,
                cost,
                rate,
                first,
                ties,
                unit,
                node_size,
                apart,
                doublings,
                g,
            ):
                break
        if cost.sum() - old_cost.sum() < limit:
            keep_best(slot, gpu, load, rate, held, scenario_weight, worst, best_value, best_slot)
        else:
            slot[:], load[:], cost[:] = old_slot, old_load, old_cost
            divide_anew(weight, count, share, a, -1)
            divide_anew(weight, count, share, b, 1)
