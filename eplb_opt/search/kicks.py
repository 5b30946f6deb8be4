"""Pseudo-random integers for compiled code."""

from __future__ import annotations

from eplb_opt.search.jit import jit


@jit
def draw(state, below):  # type: ignore[no-untyped-def]
    """A pseudo-random integer in 0..below - 1 (xorshift64*, Vigna 2016); `state` is int64 [1]."""
    x = state[0]
    x ^= (x >> 12) & 0x000FFFFFFFFFFFFF
    x ^= x << 25
    x ^= (x >> 27) & 0x0000001FFFFFFFFF
    state[0] = x
    return ((x * 2685821657736338717) >> 33 & 0x3FFFFFFF) % below
