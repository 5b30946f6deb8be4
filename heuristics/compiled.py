"""Compiling kernels, with a cache on disk that may be absent, read-only or broken."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from heuristics.errors import require

if TYPE_CHECKING:
    from collections.abc import Callable

LOGGER = logging.getLogger("heuristics")


@functools.cache
def warn_once(reason: str) -> None:
    LOGGER.warning("compiled kernels are not kept on disk, each process compiles: %s", reason)


def compile_kernel(function: Callable[..., None], signature: str) -> Callable[..., None]:
    """Compile a kernel for one signature, from the cache on disk where that works.

    Parameters
    ----------
    function
        A kernel.
    signature
        Its numba types; fixed, so that all of the compiling and all of the
        cache's trouble happens here and not in a later call.

    Returns
    -------
    callable
        The compiled kernel, which releases the interpreter lock.

    Raises
    ------
    MissingDependency
        If numba is not installed.
    """
    numba = require("numba")
    try:
        kernel: Any = numba.njit(signature, cache=True, nogil=True, error_model="numpy")(function)
    except Exception as error:  # whatever a bad cache raises, compiling needs none
        warn_once("the cache directory cannot be used")
        LOGGER.debug("cache of %s: %r", function.__name__, error)
        kernel = numba.njit(signature, nogil=True, error_model="numpy")(function)
    result: Callable[..., None] = kernel
    return result
