"""Annealing on a layer under several loads: swaps and copy transfers on a p-norm of GPU loads.

The objective, a weighted sum over scenarios of the largest GPU load, does not see a swap that
leaves the largest alone. So moves are judged by the p-norm of the GPU loads instead,
linearised in its p-th powers: then a GPU has a cost of its own, and a swap changes two of
them. The norm is concave in the powers, so a gain by the linearised cost is one by the norm.

Everything is additions, multiplications, divisions and square roots of float64 in a fixed order, so
that the plan after a number of moves is the same on every machine.

Arrays that the kernels share (hot loops take them one by one: a tuple of arrays, passed on, costs
more than the work itself):

weight      float64 [num_experts, num_scenarios], loads over the scenario's mean GPU load
slot, gpu   int64 [num_slots], expert and GPU of each slot
count       int64 [num_experts], replicas
share       float64 [num_experts, num_scenarios], load of one replica
load        float64 [num_gpus, num_scenarios]
slope       float64 [num_scenarios], what a p-th power is worth in the objective
cost        float64 [num_gpus], the linearised norm's terms
rate        float64 [num_gpus], what a GPU's load is multiplied by, 1 over its speed
first       int64 [num_gpus + 1], the first slot of each GPU, and the end of the last
ties        int8 [num_gpus, num_experts], see `anneal_rules`; [0, 0] where nothing is tied
unit        int64 [num_slots], the GPU or node of which an expert needs two; [0] without spread
held        bool [num_gpus, num_experts], what the plan in force has; [0, 0] without one
buffer      float64 [num_slots + 2, at least num_scenarios and num_slots], scratch
touched     int64 [num_slots], scratch
"""

from __future__ import annotations

import math

from eplb_opt.search.anneal_moves import (
    cost_after,
    exchange,
    fresh_by_swap,
    num_moves,
    power,
    transfer,
)
from eplb_opt.search.anneal_rules import may_swap, may_turn, stands
from eplb_opt.search.jit import jit
from eplb_opt.search.kicks import draw

#: Moves between two looks at the true objective; the norm's slopes are renewed with them.
SLICE = 256
#: Slices after which loads are added up anew, for rounding errors grow with each move.
REFRESH = 16
#: Thresholds, and parts of a chance.
FINE = 1024


@jit
def refill(weight, slot, gpu, count, share, load):  # type: ignore[no-untyped-def]
    """Counts, replica loads and GPU loads from the slots."""
    count[:] = 0
    load[:] = 0.0
    num_scenarios = weight.shape[1]
    for p in range(slot.shape[0]):
        count[slot[p]] += 1
    for e in range(weight.shape[0]):
        for r in range(num_scenarios):
            share[e, r] = weight[e, r] / count[e]
    for p in range(slot.shape[0]):
        for r in range(num_scenarios):
            load[gpu[p], r] += share[slot[p], r]


@jit
def objective(load, rate, scenario_weight, worst):  # type: ignore[no-untyped-def]
    """The true objective: the weighted sum of the largest GPU loads, or the worst of them."""
    num_gpus, num_scenarios = load.shape
    total, highest = 0.0, 0.0
    for r in range(num_scenarios):
        peak = 0.0
        for g in range(num_gpus):
            peak = max(peak, load[g, r] * rate[g])
        total += scenario_weight[r] * peak
        highest = max(highest, peak)
    return highest if worst else total


@jit
def renew_slopes(load, rate, scenario_weight, worst, doublings, slope, cost):  # type: ignore[no-untyped-def]
    """Linearise the norm at the current loads, and take the GPUs' costs anew.

    For the worst scenario the norm runs over GPUs and scenarios; else each scenario has its own.
    """
    num_gpus, num_scenarios = load.shape
    everything = 0.0
    for r in range(num_scenarios):
        slope[r] = 0.0
        for g in range(num_gpus):
            slope[r] += power(load[g, r] * rate[g], doublings)
        everything += slope[r]
    for r in range(num_scenarios):
        total = everything if worst else slope[r]
        root = total
        for _ in range(doublings):
            root = math.sqrt(root)
        weight = 1.0 if worst else scenario_weight[r]
        slope[r] = weight * root / total / (1 << doublings)
    for g in range(num_gpus):
        cost[g] = 0.0
        for r in range(num_scenarios):
            cost[g] += slope[r] * power(load[g, r] * rate[g], doublings)


@jit
def scaled(fraction, below):  # type: ignore[no-untyped-def]
    """A 30-bit random number as an integer in 0..below - 1."""
    return (fraction * below) >> 30


@jit
def keep_best(  # type: ignore[no-untyped-def]
    slot, gpu, load, rate, held, scenario_weight, worst, best_value, best_slot
):
    """Note the plan where it is the best with so many moves; see `anneal`."""
    value = objective(load, rate, scenario_weight, worst)
    kept = min(num_moves(slot, gpu, held), best_value.shape[0] - 1)
    if value < best_value[kept]:
        best_value[kept] = value
        for p in range(slot.shape[0]):
            best_slot[kept, p] = slot[p]


@jit
def sweep(  # type: ignore[no-untyped-def]
    weight,
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
    state,
    thresholds,
    node_size,
    apart,
    doublings,
    temperature,
    price,
    transfers,
):
    """Propose SLICE moves; see `anneal`."""
    num_gpus = load.shape[0]
    is_tied = ties.shape[0] + unit.shape[0] > 0
    for _ in range(SLICE):
        limit = temperature * thresholds[draw(state, FINE)]
        # One side on the costlier of two GPUs: what is light already needs no relief.
        g = scaled(draw(state, 1 << 30), num_gpus)
        h = scaled(draw(state, 1 << 30), num_gpus)
        if cost[h] > cost[g]:
            g = h
        coin = draw(state, 1 << 30)
        p = first[g] + (((coin >> 15) * (first[g + 1] - first[g])) >> 15)
        q = p - p % node_size + scaled(draw(state, 1 << 30), node_size)
        if (coin & (FINE - 1)) < transfers:
            if coin & FINE:
                p, q = q, p
            h, a, b = gpu[q], slot[p], slot[q]
            if a == b or count[b] < 2:
                continue
            if apart and stands(slot, first, h, a):
                continue
            if is_tied and not may_turn(slot, first, ties, unit, q, h, a):
                continue
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
                limit,
                price,
                buffer,
                touched,
            )
            continue
        # A function of its own would cost more in passing its arguments than the work does.
        h, a, b = gpu[q], slot[p], slot[q]
        if a == b or g == h:
            continue
        if price > 0.0:
            limit -= price * fresh_by_swap(held, g, h, a, b)
        limit += cost[g] + cost[h]
        cost_g = cost_after(load, share, slope, rate[g], g, a, b, doublings)
        if cost_g >= limit:
            continue
        cost_h = cost_after(load, share, slope, rate[h], h, b, a, doublings)
        if not cost_g + cost_h < limit:
            continue
        if apart and (stands(slot, first, h, a) or stands(slot, first, g, b)):
            continue
        if is_tied and not may_swap(slot, first, ties, unit, p, q, g, h):
            continue
        exchange(slot, share, load, p, q, g, h)
        cost[g], cost[h] = cost_g, cost_h


@jit
def anneal(  # type: ignore[no-untyped-def]
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
    price,
    transfers,
    slices,
):
    """Propose SLICE moves for each slice, and keep the best plans.

    Parameters
    ----------
    weight, slot, gpu, count, share, load, slope, cost, rate, first, ties, unit, held,
    buffer, touched
        See the module.
    scenario_weight, worst
        float64 [num_scenarios]; whether the worst scenario counts instead of the weighted sum.
    best_value, best_slot
        float64 [num_kept] and int64 [num_kept, num_slots]: the best plan with each number of
        moved slots (the last: with so many or more); one entry where moves do not count.
    state
        int64 [2], of the random numbers, and slices so far; written.
    thresholds
        float64 [FINE], samples of the exponential distribution: with a random one of them times
        the temperature as the limit, moves are accepted as Metropolis has it.
    node_size
        Slots of a node, all of them where flat: no replica leaves its node; only there
        GPUs must be alike.
    apart
        Whether no expert may stand twice on a GPU.
    doublings
        The norm's p is 2**doublings.
    temperature, price
        The latter is what a moved slot costs; in units of the objective.
    transfers
        Transfers among FINE proposals.
    slices
        How many.
    """
    for _ in range(slices):
        if state[1] % REFRESH == 0:
            refill(weight, slot, gpu, count, share, load)
            if state[1] == 0:
                keep_best(
                    slot, gpu, load, rate, held, scenario_weight, worst, best_value, best_slot
                )
        state[1] += 1
        renew_slopes(load, rate, scenario_weight, worst, doublings, slope, cost)
        sweep(
            weight,
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
            state,
            thresholds,
            node_size,
            apart,
            doublings,
            temperature,
            price,
            transfers,
        )
        keep_best(slot, gpu, load, rate, held, scenario_weight, worst, best_value, best_slot)
