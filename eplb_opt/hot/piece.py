"""Numba's decorator for the parts of the hot kernels; importing this loads numba."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb_opt.errors import MissingDependency

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    import numba
except ImportError as error:
    raise MissingDependency("numba", "search") from error


def piece(function: Callable[..., Any]) -> Any:
    """Compile as a part of the kernel that calls it.

    No wrapper for the interpreter and no file of its own: both take compile time, and the kernel's
    file holds the machine code of its parts. Nor a check of every divisor.
    """
    return numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")(function)


@piece
def draw(state, below):  # type: ignore[no-untyped-def]
    """A pseudo-random integer in 0..below - 1 (xorshift64*, Vigna 2016) from int64 state[0]."""
    x = state[0]
    x ^= (x >> 12) & 0x000FFFFFFFFFFFFF
    x ^= x << 25
    x ^= (x >> 27) & 0x0000001FFFFFFFFF
    state[0] = x
    return ((x * 2685821657736338717) >> 33 & 0x3FFFFFFF) % below
