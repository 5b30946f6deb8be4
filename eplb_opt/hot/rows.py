"""From maps to the rows that are refined, and back.

A row is a node of a layer (the whole layer where the problem is flat): expert of every slot, size
of every slot, load of every GPU, replicas of every expert, one after the other in int64. Slot
k * num_gpus + g is the k-th of GPU g.
"""

from __future__ import annotations

from eplb_opt.hot.marks import BEST, LARGEST, RANDOM, REACHED, SEED, SHIFT, SWEPT, TOTAL
from eplb_opt.hot.piece import piece
from eplb_opt.hot.swaps import DIGITS

#: GPUs of a row, beyond which there are no sweeps.
MOST_SWEPT = 256


@piece
def read(placed, weights, num_gpus, plans, marks):  # type: ignore[no-untyped-def]
    """Write the rows of a placement.

    Parameters
    ----------
    placed
        int64 [num_rows, num_slots], expert of every slot, GPU after GPU.
    weights
        int64 [num_layers, num_experts], fixed-point loads.
    num_gpus
        Of a row.
    plans, marks
        int64 [num_rows, ...]; written.
    """
    num_rows, num_slots = placed.shape
    slots_per_gpu = num_slots // num_gpus
    num_nodes = num_rows // weights.shape[0]
    loads = 2 * num_slots
    counts = loads + num_gpus
    for row in range(num_rows):
        plan, weight = plans[row], weights[row // num_nodes]
        for i in range(loads, plan.shape[0]):
            plan[i] = 0
        for p in range(num_slots):
            plan[counts + placed[row, p]] += 1
        peak, total, largest = 1, 0, 0
        for g in range(num_gpus):
            load = 0
            for k in range(slots_per_gpu):
                expert = placed[row, g * slots_per_gpu + k]
                size = weight[expert]
                if plan[counts + expert] > 1:  # a division takes as long as all the rest
                    size //= plan[counts + expert]
                plan[k * num_gpus + g] = expert
                plan[num_slots + k * num_gpus + g] = size
                load += size
                largest = max(largest, size)
            plan[loads + g] = load
            total += load
            peak = max(peak, load)
        shift = 1
        while peak >> shift >= 1 << DIGITS:
            shift += 1
        marks[row, RANDOM] = SEED
        marks[row, BEST] = peak
        marks[row, REACHED] = peak
        marks[row, SHIFT] = shift
        # Leveling a great many GPUs takes too long for one step.
        marks[row, SWEPT] = num_gpus > MOST_SWEPT
        marks[row, TOTAL] = total
        marks[row, LARGEST] = largest


@piece
def write(plans, bests, marks, ceilings, num_gpus, placed, logcnt):  # type: ignore[no-untyped-def]
    """Write the layers whose plans are below their ceilings back as placements.

    Parameters
    ----------
    plans, bests, marks
        See `refine.step`.
    ceilings
        int64 [num_layers].
    num_gpus
        Of a row.
    placed
        int64 [num_rows, num_slots]; written.
    logcnt
        int64 [num_layers, num_experts]; written.
    """
    num_rows, num_slots = placed.shape
    slots_per_gpu = num_slots // num_gpus
    num_nodes = num_rows // logcnt.shape[0]
    for layer in range(logcnt.shape[0]):
        first, last = layer * num_nodes, (layer + 1) * num_nodes
        reached = 0
        for row in range(first, last):
            reached = max(reached, marks[row, REACHED])
        if reached > ceilings[layer]:
            continue
        for expert in range(logcnt.shape[1]):
            logcnt[layer, expert] = 0
        for row in range(first, last):
            peak = 0
            for g in range(num_gpus):
                peak = max(peak, plans[row, 2 * num_slots + g])
            # Amid a kick the saved plan is the better one.
            source = plans[row] if peak <= marks[row, REACHED] else bests[row]
            for k in range(slots_per_gpu):
                for g in range(num_gpus):
                    expert = source[k * num_gpus + g]
                    placed[row, g * slots_per_gpu + k] = expert
                    logcnt[layer, expert] += 1
