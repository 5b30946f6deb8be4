"""Kicks: small random changes that lead out of a local optimum."""

from __future__ import annotations

from eplb_opt.search.jit import jit

#: Draws after which a kick that cannot be made is given up.
MAX_DRAWS = 50


@jit
def draw(state, below):  # type: ignore[no-untyped-def]
    """A pseudo-random integer in 0..below - 1 (xorshift64*, Vigna 2016); `state` is int64 [1]."""
    x = state[0]
    x ^= (x >> 12) & 0x000FFFFFFFFFFFFF
    x ^= x << 25
    x ^= (x >> 27) & 0x0000001FFFFFFFFF
    state[0] = x
    return ((x * 2685821657736338717) >> 33 & 0x3FFFFFFF) % below


@jit
def on_gpu(slot, gpu, slots_per_gpu, expert):  # type: ignore[no-untyped-def]
    """Whether an expert stands on a GPU."""
    for k in range(slots_per_gpu):
        if slot[gpu * slots_per_gpu + k] == expert:
            return True
    return False


@jit
def transfer(slot, size, load, weight, count, slots_per_gpu, apart, ceiling, random):  # type: ignore[no-untyped-def]
    """Give a random replica's slot to another expert; both experts' replicas change their size.

    Parameters
    ----------
    slot, size, load, count
        The layer; written.
    weight
        int64 [num_experts], fixed-point loads.
    ceiling
        No replica may grow to this load.
    random
        State of `draw`.

    Returns
    -------
    Whether such a pair was drawn.
    """
    for _ in range(MAX_DRAWS):
        p = draw(random, slot.shape[0])
        old = slot[p]
        if count[old] < 2 or weight[old] // (count[old] - 1) >= ceiling:
            continue
        new = slot[draw(random, slot.shape[0])]
        if new == old or (apart and on_gpu(slot, p // slots_per_gpu, slots_per_gpu, new)):
            continue
        slot[p] = new
        count[old] -= 1
        count[new] += 1
        for q in range(slot.shape[0]):
            if slot[q] == old or slot[q] == new:
                fresh = weight[slot[q]] // count[slot[q]]
                load[q // slots_per_gpu] += fresh - size[q]
                size[q] = fresh
        return True
    return False


@jit
def shuffle(slot, size, load, slots_per_gpu, apart, swaps, random):  # type: ignore[no-untyped-def]
    """Swap random pairs of replicas between GPUs."""
    for _ in range(swaps):
        p = draw(random, slot.shape[0])
        q = draw(random, slot.shape[0])
        g, h = p // slots_per_gpu, q // slots_per_gpu
        if g == h or slot[p] == slot[q]:
            continue
        if apart and (
            on_gpu(slot, h, slots_per_gpu, slot[p]) or on_gpu(slot, g, slots_per_gpu, slot[q])
        ):
            continue
        moved = size[p] - size[q]
        slot[p], slot[q] = slot[q], slot[p]
        size[p], size[q] = size[q], size[p]
        load[g] -= moved
        load[h] += moved
