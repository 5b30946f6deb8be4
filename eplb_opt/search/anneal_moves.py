"""Moves of the annealing: swaps and copy transfers; arrays as in `anneal`."""

from __future__ import annotations

from eplb_opt.search.jit import jit


@jit
def power(value, doublings):  # type: ignore[no-untyped-def]
    """Value to the power of 2**doublings."""
    for _ in range(doublings):
        value = value * value
    return value


@jit
def cost_after(load, share, slope, rate, g, old, new, doublings):  # type: ignore[no-untyped-def]
    """The cost of GPU g, of that rate, with a replica of `old` replaced by one of `new`."""
    num_scenarios = slope.shape[0]
    # Four sums side by side: one chain of operations would take several times as long.
    s0 = s1 = s2 = s3 = 0.0
    last = num_scenarios & ~3
    for r in range(0, last, 4):
        y0 = (load[g, r] - share[old, r] + share[new, r]) * rate
        y1 = (load[g, r + 1] - share[old, r + 1] + share[new, r + 1]) * rate
        y2 = (load[g, r + 2] - share[old, r + 2] + share[new, r + 2]) * rate
        y3 = (load[g, r + 3] - share[old, r + 3] + share[new, r + 3]) * rate
        for _ in range(doublings):
            y0 *= y0
            y1 *= y1
            y2 *= y2
            y3 *= y3
        s0 += slope[r] * y0
        s1 += slope[r + 1] * y1
        s2 += slope[r + 2] * y2
        s3 += slope[r + 3] * y3
    for r in range(last, num_scenarios):
        y0 = (load[g, r] - share[old, r] + share[new, r]) * rate
        s0 += slope[r] * power(y0, doublings)
    return (s0 + s1) + (s2 + s3)


@jit
def is_new(held, g, expert):  # type: ignore[no-untyped-def]
    """1 where the plan in force has no such expert on the GPU, else 0."""
    return 0 if held[g, expert] else 1


@jit
def num_moves(slot, gpu, held):  # type: ignore[no-untyped-def]
    """Slots whose expert is new on its GPU; 0 without a plan in force."""
    if held.shape[0] == 0:
        return 0
    moves = 0
    for p in range(slot.shape[0]):
        moves += is_new(held, gpu[p], slot[p])
    return moves


@jit
def fresh_by_swap(held, g, h, a, b):  # type: ignore[no-untyped-def]
    """Moved slots that an exchange of a on GPU g for b on GPU h adds."""
    after = is_new(held, g, b) + is_new(held, h, a)
    return after - is_new(held, g, a) - is_new(held, h, b)


@jit
def exchange(slot, share, load, p, q, g, h):  # type: ignore[no-untyped-def]
    """Exchange the replicas of slot p on GPU g and slot q on GPU h."""
    a, b = slot[p], slot[q]
    slot[p], slot[q] = b, a
    for r in range(load.shape[1]):
        moved = share[a, r] - share[b, r]
        load[g, r] -= moved
        load[h, r] += moved


@jit
def loads_after_transfer(weight, slot, gpu, count, share, load, q, new, buffer, touched):  # type: ignore[no-untyped-def]
    """Loads of the GPUs that a transfer touches, into the buffer from row 1 on; how many.

    Slots of a GPU are consecutive, so a GPU's slots come one after the other.
    """
    old = slot[q]
    more, fewer = 1.0 / (count[new] + 1), 1.0 / (count[old] - 1)
    num = 0
    for p in range(slot.shape[0]):
        e = slot[p]
        if e != new and e != old:
            continue
        if num == 0 or touched[num - 1] != gpu[p]:
            touched[num] = gpu[p]
            num += 1
            for r in range(load.shape[1]):
                buffer[num, r] = load[gpu[p], r]
        kept, part = (new, more) if p == q or e == new else (old, fewer)
        for r in range(load.shape[1]):
            buffer[num, r] += weight[kept, r] * part - share[e, r]
    return num


@jit
def transfer(  # type: ignore[no-untyped-def]
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
    new,
    doublings,
    limit,
    price,
    buffer,
    touched,
):
    """Give a slot to another expert where that raises the cost by less than the limit.

    The caller has looked at the rules, and that the slot's expert has another replica.
    """
    old = slot[q]
    if price > 0.0:
        limit -= price * (is_new(held, gpu[q], new) - is_new(held, gpu[q], old))
    num = loads_after_transfer(weight, slot, gpu, count, share, load, q, new, buffer, touched)
    raised = 0.0
    for i in range(num):
        total = 0.0
        for r in range(slope.shape[0]):
            total += slope[r] * power(buffer[i + 1, r] * rate[touched[i]], doublings)
        buffer[0, i] = total
        raised += total - cost[touched[i]]
    if not raised < limit:
        return
    slot[q] = new
    count[old] -= 1
    count[new] += 1
    for r in range(slope.shape[0]):
        share[old, r] = weight[old, r] / count[old]
        share[new, r] = weight[new, r] / count[new]
    for i in range(num):
        cost[touched[i]] = buffer[0, i]
        for r in range(slope.shape[0]):
            load[touched[i], r] = buffer[i + 1, r]
