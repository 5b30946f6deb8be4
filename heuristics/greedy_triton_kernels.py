"""The loops of the GPU greedy: one Triton program a row, one more an expert for the maps.

Importing needs triton. Shares are IEEE float32 quotients, as on the CPU, and a
load, its index and what rides along share one int64 (float32 bits above;
non-negative floats order like their bits): one integer reduction decides by
load and then by index, and every run of every compiler decides alike.

A program writes to memory what its other threads read later; a barrier stands
between the two. Triton reads the annotations of a kernel itself, so only its
own are there.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

FIELD = tl.constexpr(16)  # bits for an index; the host refuses more slots than fit
MASK = tl.constexpr(0xFFFF)
FULL = tl.constexpr(0x7FFFFFFFFFFFFFFF)
LARGEST = tl.constexpr(float(2**127))  # in place of inf, whose differences are no numbers
# A swap must gain more than float64 could have got wrong.
KEEP = tl.constexpr(1 - 1e-9)


def jit(function: Any) -> Any:
    """Do what triton's decorator does, under a type that the checker can see."""
    return triton.jit(function)


@jit
def as_key(load, high, low):
    """(load, high, low) in one int64, compared in that order."""
    bits = load.to(tl.int32, bitcast=True).to(tl.int64)
    return (bits << 32) | (high.to(tl.int64) << FIELD) | low.to(tl.int64)


@jit
def load_of(key):
    """Load that a key holds, float32."""
    return (key >> 32).to(tl.int32).to(tl.float32, bitcast=True)


@jit
def read_loads(weight, index, real):
    """Loads at some indices, NaN and negative ones as 0, so that every map is valid."""
    load = tl.load(weight + index, mask=real, other=0.0)
    return tl.where(load > 0, tl.minimum(load, LARGEST), 0.0)


@jit
def replicate(weight, counts, owner, num_experts, num_slots, EXPERTS: tl.constexpr):
    """Give one slot after the other to the largest weight / count, first of equals.

    Writes the counts, int32 [num_experts], and the expert of every replica,
    int64 [num_slots].
    """
    expert = tl.arange(0, EXPERTS)
    real = expert < num_experts
    load = read_loads(weight, expert, real)
    count = tl.full([EXPERTS], 1, tl.int32)
    key = tl.where(real, as_key(load, expert ^ MASK, expert), -1)
    tl.store(owner + expert, expert.to(tl.int64), mask=real)
    for slot in range(num_experts, num_slots):
        best = tl.max(key, 0)
        chosen = key == best
        count += chosen.to(tl.int32)
        share = tl.div_rn(load, count.to(tl.float32))
        key = tl.where(chosen, as_key(share, expert ^ MASK, expert), key)
        tl.store(owner + slot, best & MASK)
    tl.store(counts + expert, count, mask=real)


@jit
def pack(
    weight,
    counts,
    placed,
    num_slots,
    num_gpus,
    SLOTS: tl.constexpr,
    GPUS: tl.constexpr,
):
    """Place replicas heaviest first, each on the lightest GPU with room.

    `placed` comes with the expert of every replica and leaves with the expert
    of every slot, int64 [num_slots].
    """
    room = num_slots // num_gpus
    replica = tl.arange(0, SLOTS)
    real = replica < num_slots
    expert = tl.load(placed + replica, mask=real, other=0)
    count = tl.load(counts + expert, mask=real, other=1)
    share = tl.div_rn(read_loads(weight, expert, real), count.to(tl.float32))
    items = tl.where(real, as_key(share, replica ^ MASK, expert), -1)
    gpu = tl.arange(0, GPUS).to(tl.int64)
    gpus = tl.where(gpu < num_gpus, gpu << FIELD, FULL)
    tl.debug_barrier()  # all have read before the first slot is overwritten
    for _ in range(num_slots):
        item = tl.max(items, 0)
        items = tl.where(items == item, -1, items)
        lightest = tl.min(gpus, 0)
        chosen, rank = (lightest >> FIELD) & MASK, lightest & MASK
        tl.store(placed + chosen * room + rank, item & MASK)
        key = as_key(load_of(lightest) + load_of(item), chosen, rank + 1)
        gpus = tl.where(gpu == chosen, tl.where(rank + 1 == room, FULL, key), gpus)


@jit
def best_swap(share, load, gpu, slot, real, heavy, top, room):
    """Look at every swap of the heaviest GPU's replicas with all others.

    Returns
    -------
    after, pick
        For every other slot, the larger of the two GPUs' loads after its best
        swap (`top` where none lowers it) and the rank of the replica it is
        swapped with, float64 and int32 [GPUS, ROOM].
    """
    after = tl.zeros_like(share) + top
    pick = tl.zeros_like(slot)
    for rank in range(room):
        gain = tl.sum(tl.where(slot == heavy * room + rank, share, 0.0)) - share
        peak = tl.maximum(top - gain, load[:, None] + gain)
        better = (peak < after) & real & (gpu != heavy)
        after = tl.where(better, peak, after)
        pick = tl.where(better, rank, pick)
    return after, pick


@jit
def swap(
    weight,
    counts,
    placed,
    num_slots,
    num_gpus,
    num_swaps,
    GPUS: tl.constexpr,
    ROOM: tl.constexpr,
):
    """Make the best swap of the heaviest GPU, again and again while one helps.

    Loads are float64 here. A swap is made where both GPUs end below the
    heaviest by more than rounding, so the largest load never rises.
    """
    room = num_slots // num_gpus
    gpu = tl.arange(0, GPUS)[:, None]
    rank = tl.arange(0, ROOM)[None, :]
    real = (gpu < num_gpus) & (rank < room)
    slot = tl.where(real, gpu * room + rank, -1)
    expert = tl.load(placed + slot, mask=real, other=0)
    count = tl.load(counts + expert, mask=real, other=1)
    share = read_loads(weight, expert, real).to(tl.float64) / count.to(tl.float64)
    load = tl.sum(share, 1)
    index = tl.arange(0, GPUS)
    left = num_swaps
    while left > 0:
        top, heavy = tl.max(load, 0), tl.argmax(load, 0)
        after, pick = best_swap(share, load, gpu, slot, real, heavy, top, room)
        least = tl.min(after)
        helps = least < top * KEEP
        there = tl.max(tl.where((after == least) & (after < top), slot, -1))
        here = heavy * room + tl.sum(tl.where(slot == there, pick, 0))
        u = tl.sum(tl.where(slot == here, share, 0.0))
        v = tl.sum(tl.where(slot == there, share, 0.0))
        a = tl.sum(tl.where(slot == here, expert, 0))
        b = tl.sum(tl.where(slot == there, expert, 0))
        if helps:
            share = tl.where(slot == here, v, tl.where(slot == there, u, share))
            expert = tl.where(slot == here, b, tl.where(slot == there, a, expert))
            gain = tl.where(index == there // room, u - v, 0.0)
            load += tl.where(index == heavy, v - u, gain)
        left = tl.where(helps, left - 1, 0)
    tl.store(placed + slot, expert, mask=real)


@jit
def plan_rows(
    weight,
    counts,
    placed,
    num_experts,
    num_slots,
    num_gpus,
    num_swaps,
    EXPERTS: tl.constexpr,
    SLOTS: tl.constexpr,
    GPUS: tl.constexpr,
    ROOM: tl.constexpr,
    SWAPS: tl.constexpr,
):
    """Replicate, pack and swap one row: the whole plan of a layer or of its node.

    Parameters
    ----------
    weight
        Loads, float32 [num_rows, num_experts].
    counts
        Room to work in: int32 [num_rows, num_experts].
    placed
        Written: expert of every slot, int64 [num_rows, num_slots].
    num_experts, num_slots, num_gpus
        Sizes of a row.
    num_swaps
        Most swaps of a row; read where SWAPS is set.
    EXPERTS, SLOTS, GPUS, ROOM
        Experts, slots, GPUs and slots of a GPU, rounded up to powers of two; ROOM is 1 exactly
        where a GPU has one slot.
    SWAPS
        1 where there are swaps after the greedy, else 0.
    """
    row = tl.program_id(0).to(tl.int64)
    weight += row * num_experts
    counts += row * num_experts
    placed += row * num_slots
    replicate(weight, counts, placed, num_experts, num_slots, EXPERTS)
    if ROOM > 1:  # else replica i goes to GPU i
        tl.debug_barrier()
        pack(weight, counts, placed, num_slots, num_gpus, SLOTS, GPUS)
        if SWAPS:
            tl.debug_barrier()
            swap(weight, counts, placed, num_slots, num_gpus, num_swaps, GPUS, ROOM)


@jit
def write_maps(
    phy2log,
    log2phy,
    logcnt,
    num_experts,
    num_slots,
    width,
    SLOTS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Write one expert's line of log2phy, ascending, padded with -1, and its count."""
    layer, expert = tl.program_id(0).to(tl.int64), tl.program_id(1)
    slot = tl.arange(0, SLOTS)
    real = slot < num_slots
    owner = tl.load(phy2log + layer * num_slots + slot, mask=real, other=-1)
    mine = (owner == expert).to(tl.int32)
    count = tl.sum(mine, 0)
    line = layer * num_experts + expert
    # The two stores meet no cell twice, so neither need wait for the other.
    tl.store(log2phy + line * width + tl.cumsum(mine, 0) - 1, slot.to(tl.int64), mask=mine > 0)
    column = tl.arange(0, WIDTH)
    padding = (column >= count) & (column < width)
    tl.store(log2phy + line * width + column, tl.full([WIDTH], -1, tl.int64), mask=padding)
    tl.store(logcnt + line, count.to(tl.int64))


# TRITON_INTERPRET=1, read when triton decorates: the kernels then run on the host's arrays.
INTERPRETED = not isinstance(plan_rows, triton.JITFunction)
