"""Annealing on the loads that any single loss leaves: one layer, one load.

When a unit (a GPU or a node) is lost, the tokens of its replicas go evenly to those that are left.
So GPU g then carries the sum over its slots of w_e / (c_e - n_eu), n_eu being the replicas that
unit u took with it. Moves are judged by the p-norm of these loads over all units and all GPUs left.

weight      float64 [num_experts], loads over the mean that is left after the largest loss
slot, gpu   int64 [num_slots], expert and GPU of each slot
count       int64 [num_experts], replicas
taken       int64 [num_experts, num_units], n_eu
home        int64 [num_gpus], the unit of each GPU
rate, first, ties, node_size, apart
            as in `anneal`
guarded     bool [num_experts], what must stand in two units, and keep two replicas
column      float64 [num_gpus], each GPU's powers, summed over the losses
peak        float64 [num_gpus], its largest load after any loss
alone       float64 [num_gpus], its part of the tokens that the loss of its unit takes for good
"""

from __future__ import annotations

import math

import numpy as np

from eplb_opt.search.anneal import FINE, scaled
from eplb_opt.search.anneal_moves import power
from eplb_opt.search.anneal_rules import may_swap, may_turn, stands
from eplb_opt.search.jit import jit
from eplb_opt.search.kicks import draw

#: Transfers among FINE proposals.
TRANSFERS = 200
NO_UNITS = np.zeros(0, dtype=np.int64)


@jit
def look_at(weight, slot, count, taken, home, rate, first, column, peak, alone, g, doublings):  # type: ignore[no-untyped-def]
    """A GPU's powers, its largest load and what it takes for good, anew."""
    total, highest = 0.0, 0.0
    for u in range(taken.shape[1]):
        if u == home[g]:
            continue
        load = 0.0
        for p in range(first[g], first[g + 1]):
            left = count[slot[p]] - taken[slot[p], u]
            load += weight[slot[p]] / left if left > 0 else 0.0
        load *= rate[g]
        highest = max(highest, load)
        total += power(load, doublings)
    column[g], peak[g] = total, highest
    alone[g] = 0.0
    for p in range(first[g], first[g + 1]):
        if count[slot[p]] == taken[slot[p], home[g]]:
            alone[g] += weight[slot[p]] / count[slot[p]]


@jit
def most_taken(home, alone, unit_sum):  # type: ignore[no-untyped-def]
    """The most tokens that the loss of one unit takes for good."""
    unit_sum[:] = 0.0
    for g in range(home.shape[0]):
        unit_sum[home[g]] += alone[g]
    return unit_sum.max()


@jit
def is_safe(count, taken, guarded, e):  # type: ignore[no-untyped-def]
    """Whether an expert stands in two units, where it must or has two replicas."""
    if not guarded[e] and count[e] == 1:
        return True
    units = 0
    for u in range(taken.shape[1]):
        units += 1 if taken[e, u] > 0 else 0
    return units > 1


@jit
def put(slot, gpu, count, taken, home, q, e):  # type: ignore[no-untyped-def]
    """Let slot q hold another expert."""
    u = home[gpu[q]]
    count[slot[q]] -= 1
    taken[slot[q], u] -= 1
    slot[q] = e
    count[e] += 1
    taken[e, u] += 1


@jit
def anneal_losses(  # type: ignore[no-untyped-def]
    weight,
    slot,
    gpu,
    count,
    taken,
    home,
    rate,
    first,
    ties,
    guarded,
    column,
    peak,
    alone,
    best_value,
    best_slot,
    state,
    thresholds,
    node_size,
    apart,
    most,
    doublings,
    temperature,
    proposals,
):
    """Propose so many swaps and transfers; keep the plan with the least largest load.

    No loss may take more than `most` tokens for good, in units of `weight`.
    """
    num_gpus, num_slots = first.shape[0] - 1, slot.shape[0]
    old_column, old_peak, old_alone = column.copy(), peak.copy(), alone.copy()
    unit_sum = np.zeros(taken.shape[1])
    is_tied = ties.shape[0] > 0
    total = 0.0
    for g in range(num_gpus):
        look_at(weight, slot, count, taken, home, rate, first, column, peak, alone, g, doublings)
        total += column[g]
    for _ in range(proposals):
        q = scaled(draw(state, 1 << 30), num_slots)
        p = q - q % node_size + scaled(draw(state, 1 << 30), node_size)
        chance = thresholds[draw(state, FINE)]
        a, b, g, h = slot[p], slot[q], gpu[p], gpu[q]
        turns = draw(state, FINE) < TRANSFERS
        if a == b or (turns and count[b] < 2) or (g == h and not turns):
            continue
        if apart and (stands(slot, first, h, a) or (not turns and stands(slot, first, g, b))):
            continue
        if is_tied and turns and not may_turn(slot, first, ties, NO_UNITS, q, h, a):
            continue
        if is_tied and not turns and not may_swap(slot, first, ties, NO_UNITS, p, q, g, h):
            continue
        put(slot, gpu, count, taken, home, q, a)
        if not turns:
            put(slot, gpu, count, taken, home, p, b)
        accepted = is_safe(count, taken, guarded, a) and is_safe(count, taken, guarded, b)
        if accepted:
            old_column[:], old_peak[:], old_alone[:] = column, peak, alone
            last, changed = -1, 0.0
            for s in range(num_slots):
                x = gpu[s]
                if x != last and (slot[s] == a or slot[s] == b or x in (g, h)):
                    last = x
                    look_at(
                        weight,
                        slot,
                        count,
                        taken,
                        home,
                        rate,
                        first,
                        column,
                        peak,
                        alone,
                        x,
                        doublings,
                    )
                    changed += column[x] - old_column[x]
            norm = total
            for _ in range(doublings):
                norm = math.sqrt(norm)
            accepted = norm * changed < temperature * chance * total * (1 << doublings)
            accepted = accepted and most_taken(home, alone, unit_sum) <= most
            if not accepted:
                column[:], peak[:], alone[:] = old_column, old_peak, old_alone
        if not accepted:
            put(slot, gpu, count, taken, home, q, b)
            if not turns:
                put(slot, gpu, count, taken, home, p, a)
            continue
        total = column.sum()
        value = peak.max()
        if value < best_value[0]:
            best_value[0] = value
            best_slot[:] = slot
