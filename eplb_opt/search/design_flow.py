"""How tokens flow in a placement that is being designed: kernels on all loads side by side.

The split that makes the sum of squared GPU loads least makes the largest least too, so flows
descend on that sum: between two hosts of an expert as many tokens as level them, and no more than
are there. A row holds all loads (scenarios) side by side, so that one instruction serves several.

Arrays that the kernels share; P slots, G GPUs, E experts, R loads:

weight      float64 [E, R], loads over the load's mean GPU load
slot, gpu   int64 [P], expert and GPU of each slot
count       int64 [E], replicas
copies      int64 [E, most replicas], slots of each expert, in no order
flow        float64 [P, R], what each slot gets
load        float64 [G, R], what each GPU gets, times its rate
rate        float64 [G], 1 over the GPU's speed
several     int64 [E + 1], experts with several replicas; the last entry is how many
"""

from __future__ import annotations

from eplb_opt.search.jit import jit


@jit
def link(flow, load, rate, p, q, g, h):  # type: ignore[no-untyped-def]
    """Level GPUs g and h by what one expert sends to slot p of the one and q of the other."""
    if g == h:
        return
    from_p, from_q, on_g, on_h = flow[p], flow[q], load[g], load[h]
    rate_g, rate_h = rate[g], rate[h]
    share = 1.0 / (rate_g + rate_h)
    for r in range(from_p.shape[0]):
        moved = share * (on_g[r] - on_h[r])
        # Written as selections, which compile to code without branches.
        most, least = from_p[r], -from_q[r]
        moved = most if moved > most else moved
        moved = least if moved < least else moved
        from_p[r] -= moved
        from_q[r] += moved
        on_g[r] -= moved * rate_g
        on_h[r] += moved * rate_h


@jit
def pour(copies, count, gpu, flow, load, rate, expert):  # type: ignore[no-untyped-def]
    """Level the hosts of an expert, pair by pair."""
    for i in range(count[expert] - 1):
        p = copies[expert, i]
        for j in range(i + 1, count[expert]):
            q = copies[expert, j]
            link(flow, load, rate, p, q, gpu[p], gpu[q])


@jit
def sweep(several, copies, count, gpu, flow, load, rate, times):  # type: ignore[no-untyped-def]
    """All experts with several replicas, to and fro: what moved at the end reaches the start."""
    num = several[several.shape[0] - 1]
    for _ in range(times):
        for i in range(num):
            pour(copies, count, gpu, flow, load, rate, several[i])
        for i in range(num - 1, -1, -1):
            pour(copies, count, gpu, flow, load, rate, several[i])


@jit
def list_several(count, several):  # type: ignore[no-untyped-def]
    """Note which experts have several replicas."""
    num = 0
    for expert in range(count.shape[0]):
        if count[expert] > 1:
            several[num] = expert
            num += 1
    several[several.shape[0] - 1] = num


@jit
def add_up(slot, gpu, flow, load, rate):  # type: ignore[no-untyped-def]
    """GPU loads anew: rounding errors grow with each move."""
    load[:] = 0.0
    for p in range(slot.shape[0]):
        for r in range(flow.shape[1]):
            load[gpu[p], r] += flow[p, r] * rate[gpu[p]]


@jit
def refill(weight, slot, gpu, count, copies, flow, load, rate, several):  # type: ignore[no-untyped-def]
    """Everything from the slots, with an equal part for each replica."""
    count[:] = 0
    for p in range(slot.shape[0]):
        expert = slot[p]
        copies[expert, count[expert]] = p
        count[expert] += 1
    for p in range(slot.shape[0]):
        for r in range(weight.shape[1]):
            flow[p, r] = weight[slot[p], r] / count[slot[p]]
    list_several(count, several)
    add_up(slot, gpu, flow, load, rate)


@jit
def change_loads(weight, fresh, count, copies, flow):  # type: ignore[no-untyped-def]
    """Other loads on the same placement; every expert keeps the parts of its split."""
    for expert in range(weight.shape[0]):
        num = count[expert]
        for r in range(weight.shape[1]):
            old = 0.0
            for i in range(num):
                old += flow[copies[expert, i], r]
            for i in range(num):
                part = flow[copies[expert, i], r] / old if old > 0.0 else 1.0 / num
                flow[copies[expert, i], r] = part * fresh[expert, r]
            weight[expert, r] = fresh[expert, r]
