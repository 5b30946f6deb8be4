"""Numba's decorator with a cache on disk that may be absent; importing this loads numba."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb_opt.errors import MissingDependency
from heuristics.compiled import warn_once

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    import numba
except ImportError as error:
    raise MissingDependency("numba", "search") from error


def jit(function: Callable[..., Any]) -> Any:
    """Compile at the first call; the machine code is kept on disk where that is possible.

    The compiled function releases the interpreter lock.
    """
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no directory can be written; compiling needs none
        warn_once("the cache directory cannot be used")
        return numba.njit(nogil=True)(function)
