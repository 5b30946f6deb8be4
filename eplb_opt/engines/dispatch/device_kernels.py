"""The sweeps on a GPU: one Triton program a layer and scenario. Importing needs triton.

A program writes to memory what its other threads read later; a barrier stands between the two.
Triton reads the annotations of a kernel itself, so only its own are there.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl


def jit(function: Any) -> Any:
    """Do what triton's decorator does, under a type that the checker can see."""
    return triton.jit(function)


@jit
def level_experts(
    load,
    speed,
    many,
    hosts,
    level,
    flow,
    num_layers,
    num_experts,
    num_gpus,
    most_many,
    width,
    num_sweeps,
    still,
    WIDTH: tl.constexpr,
):
    """Level the experts with several hosts in turn, sweep by sweep, until nothing moves.

    Parameters
    ----------
    load
        float64 [num_scenarios, num_layers, num_experts].
    speed
        float64 [num_gpus].
    many
        int32 [num_layers, most_many], those experts in order; any behind the last.
    hosts
        int32 [num_layers, most_many, width], their GPUs; -1 behind the last.
    level
        float64 [num_scenarios, num_layers, num_gpus]; comes with what experts with one host put
        there; changed.
    flow
        float64 [num_scenarios, num_layers, most_many, width]; comes with zeros; written.
    num_layers, num_experts, num_gpus
        Sizes of the loads and the placement.
    most_many, width
        Experts with several hosts in a layer, and hosts of an expert, at most.
    num_sweeps
        Most sweeps of a layer.
    still
        A sweep that moves no more than this share of the largest level ends it.
    WIDTH
        The next power of two of width.
    """
    program = tl.program_id(0).to(tl.int64)
    layer = program % num_layers
    load += program * num_experts
    level += program * num_gpus
    flow += program * most_many * width
    many += layer * most_many
    hosts += layer * most_many * width
    lane = tl.arange(0, WIDTH)
    left = num_sweeps
    while left > 0:
        moved = tl.full([], 0.0, tl.float64)
        top = tl.full([], 0.0, tl.float64)
        for i in range(most_many):
            expert = tl.load(many + i)
            gpu = tl.load(hosts + i * width + lane, mask=lane < width, other=-1)
            real = gpu >= 0
            tokens = tl.load(load + expert)
            rate = tl.load(speed + gpu, mask=real, other=1.0)
            held = tl.load(flow + i * width + lane, mask=real, other=0.0)
            rest = tl.load(level + gpu, mask=real, other=0.0) - held
            wet = real
            water = tl.full([], 0.0, tl.float64)
            for _ in range(WIDTH):  # leave out the GPUs above the water, which only sinks by that
                volume = tokens + tl.sum(tl.where(wet, rest, 0.0))
                surface = tl.sum(tl.where(wet, rate, 0.0))
                water = tl.where(surface > 0, volume / tl.where(surface > 0, surface, 1.0), water)
                wet = wet & (rest < water * rate)
            share = tl.where(real, tl.maximum(water * rate - rest, 0.0), 0.0)
            moved = tl.maximum(moved, tl.max(tl.abs(share - held)))
            top = tl.maximum(top, water)
            tl.debug_barrier()  # all have read before a level is overwritten
            tl.store(flow + i * width + lane, share, mask=real)
            tl.store(level + gpu, rest + share, mask=real)
            tl.debug_barrier()
        left = tl.where(moved <= still * top, 0, left - 1)
