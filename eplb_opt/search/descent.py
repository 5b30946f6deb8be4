"""The search on one flat layer or node: polish, re-partition, kick, and keep the best."""

from __future__ import annotations

from eplb_opt.search.exchange import best_exchange, exchange, sort_subsets
from eplb_opt.search.jit import jit
from eplb_opt.search.kicks import draw, shuffle, transfer
from eplb_opt.search.renew import renew
from eplb_opt.search.triples import redeal

#: Kicks in a row without a better plan, after which the search goes back to the best one.
PATIENCE = 30
#: While the gap is larger than one part in so many, the counts are to blame: less patience, and
#: every other time a plan from other counts.
WIDE_GAP, WIDE_PATIENCE = 1000, 8

# Places in `state`; it holds all that a later call needs to go on as if there had been one call.
RANDOM, FAILURES, BEST, KICKS, AT_OPTIMUM = range(5)
STATE_SIZE = 5


@jit
def heaviest(load):  # type: ignore[no-untyped-def]
    """The GPU with the largest load, the first of equals."""
    gpu = 0
    for g in range(load.shape[0]):
        if load[g] > load[gpu]:
            gpu = g
    return gpu


@jit
def redeal_any(  # type: ignore[no-untyped-def]
    slot, size, load, slots_per_gpu, of_three, swaps, of_two, apart, scratch, heavy, state
):
    """Re-partition the heaviest GPU with the first two others that help, from a random one on.

    Returns
    -------
    The two other GPUs, or -1 twice.
    """
    num_gpus = load.shape[0]
    offset = draw(state, num_gpus)
    for i in range(num_gpus):
        g = (i + offset) % num_gpus
        for j in range(i):
            h = (j + offset) % num_gpus
            if heavy in (g, h) or load[heavy] + load[g] + load[h] >= 3 * load[heavy]:
                continue
            if redeal(
                slot,
                size,
                load,
                slots_per_gpu,
                (heavy, g, h),
                of_three,
                swaps,
                of_two,
                apart,
                scratch,
            ):
                return g, h
    return -1, -1


@jit
def is_wide(target, state):  # type: ignore[no-untyped-def]
    """Whether the best plan is so far above the target that its counts are to blame."""
    return state[BEST] - target > target // WIDE_GAP


@jit
def is_promising(reached, target, state):  # type: ignore[no-untyped-def]
    """Whether a plan deserves a re-partition, which costs as much as a hundred exchanges."""
    return not is_wide(target, state) or reached - state[BEST] <= (state[BEST] - target) // 8


@jit
def copy_slots(source, destination):  # type: ignore[no-untyped-def]
    """Copy an array; a loop compiles in a tenth of the time of a slice."""
    for p in range(source.shape[0]):
        destination[p] = source[p]


@jit
def settle(  # type: ignore[no-untyped-def]
    slot,
    size,
    load,
    weight,
    count,
    best_slot,
    slots_per_gpu,
    members,
    first,
    sums,
    apart,
    target,
    state,
):
    """At a local optimum: keep it where it is the best, or go back to the best in time."""
    reached = load[heaviest(load)]
    if reached < state[BEST]:
        state[BEST] = reached
        state[FAILURES] = 0
        copy_slots(slot, best_slot)
        return
    state[FAILURES] += 1
    wide = is_wide(target, state)
    if state[FAILURES] < (WIDE_PATIENCE if wide else PATIENCE):
        return
    state[FAILURES] = 0
    if (
        not wide
        or draw(state, 2) == 0
        or not renew(weight, load.shape[0], slots_per_gpu, apart, target, slot, state)
    ):
        copy_slots(best_slot, slot)
    refill(slot, size, load, weight, count, slots_per_gpu)
    for g in range(load.shape[0]):
        sort_subsets(g, size, slots_per_gpu, members, first, sums)


@jit
def refill(slot, size, load, weight, count, slots_per_gpu):  # type: ignore[no-untyped-def]
    """Counts, replica sizes and GPU loads from the slots."""
    for e in range(count.shape[0]):
        count[e] = 0
    for g in range(load.shape[0]):
        load[g] = 0
    for p in range(slot.shape[0]):
        count[slot[p]] += 1
    for p in range(slot.shape[0]):
        size[p] = weight[slot[p]] // count[slot[p]]
        load[p // slots_per_gpu] += size[p]


@jit
def advance(  # type: ignore[no-untyped-def]
    slot,
    size,
    load,
    weight,
    count,
    best_slot,
    slots_per_gpu,
    members,
    first,
    sums,
    of_three,
    swaps,
    of_two,
    scratch,
    apart,
    only_exchange,
    target,
    state,
    steps,
):
    """Take a number of steps; each is one improvement or one kick.

    Any split of the steps over calls gives the same plan.

    Parameters
    ----------
    slot, size, load, count
        The current plan: expert and fixed-point size of each slot, load of each GPU, replicas of
        each expert; written.
    weight
        int64 [num_experts], fixed-point loads.
    best_slot
        The best plan so far; written.
    slots_per_gpu, members, first, sums
        See `exchange.subsets_of_slots`.
    of_three, swaps, of_two, scratch
        See `triples.deals` and `triples.redeal`.
    apart
        Whether no expert may stand twice on a GPU.
    only_exchange
        Whether to stop where no exchange helps, before re-partitions and kicks.
    target
        A largest load at or below it ends the search.
    state
        int64 [STATE_SIZE]; written.
    steps
        At most so many.

    Returns
    -------
    Steps taken; fewer than `steps` where it stopped by itself.
    """
    for step in range(steps):
        heavy = heaviest(load)
        is_done = load[heavy] <= target or state[BEST] <= target
        other, give, take = -1, 0, 0
        if not is_done:
            other, give, take = best_exchange(
                slot, load, sums, members, first, slots_per_gpu, apart, heavy
            )
        if other >= 0:
            exchange(slot, size, load, slots_per_gpu, members, heavy, give, other, take)
            sort_subsets(heavy, size, slots_per_gpu, members, first, sums)
            sort_subsets(other, size, slots_per_gpu, members, first, sums)
            continue
        may_redeal = of_three.shape[0] > 0 and not only_exchange and not is_done
        if may_redeal and is_promising(load[heavy], target, state):
            g, h = redeal_any(
                slot,
                size,
                load,
                slots_per_gpu,
                of_three,
                swaps,
                of_two,
                apart,
                scratch,
                heavy,
                state,
            )
            if g >= 0:
                sort_subsets(heavy, size, slots_per_gpu, members, first, sums)
                sort_subsets(g, size, slots_per_gpu, members, first, sums)
                sort_subsets(h, size, slots_per_gpu, members, first, sums)
                continue
        settle(
            slot,
            size,
            load,
            weight,
            count,
            best_slot,
            slots_per_gpu,
            members,
            first,
            sums,
            apart,
            target,
            state,
        )
        if is_done or only_exchange:
            return step
        state[KICKS] += 1
        if draw(state, 2) == 0 or not transfer(
            slot, size, load, weight, count, slots_per_gpu, apart, state[BEST], state
        ):
            shuffle(slot, size, load, slots_per_gpu, apart, 2, state)
        for g in range(load.shape[0]):
            sort_subsets(g, size, slots_per_gpu, members, first, sums)
    return steps
