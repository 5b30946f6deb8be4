"""The compiled entry points, and whether they are there; importing this loads numpy alone."""

from __future__ import annotations

import functools
import logging
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heuristics import greedy
from heuristics.compiled import compile_kernel

if TYPE_CHECKING:
    from collections.abc import Callable

LOGGER = logging.getLogger("eplb_opt")

TABLE, ROW = "int64[:,::1]", "int64[::1]"
READ = f"void({TABLE},{TABLE},int64,{TABLE},{TABLE})"
WRITE = f"void({TABLE},{TABLE},{TABLE},{ROW},int64,{TABLE},{TABLE})"
PARTITION = f"void({TABLE},int64,int64,{ROW},{ROW},{ROW},{TABLE})"
REFINE = (
    f"void({TABLE},{TABLE},{TABLE},{TABLE},int64,int64,{TABLE},{ROW},float64[:,::1],"
    "int32[:,::1],int32[:,::1],int64,int64)"
)


@dataclass(frozen=True)
class Kernels:
    """The greedy's kernels and our own."""

    greedy: greedy.Kernels
    read: Callable[..., None]
    write: Callable[..., None]
    partition: Callable[..., None]
    refine: Callable[..., None]
    now_ns: Callable[[], int | None]


_lock = threading.Lock()


@functools.cache
def _compile() -> Kernels:
    greedy_kernels = greedy.warmup()
    from eplb_opt.hot import clock, nodes, refine, rows

    return Kernels(
        greedy_kernels,
        compile_kernel(rows.read.py_func, READ),
        compile_kernel(rows.write.py_func, WRITE),
        compile_kernel(nodes.partition.py_func, PARTITION),
        compile_kernel(refine.refine.py_func, REFINE),
        clock.now_ns,
    )


def warm_kernels() -> Kernels:
    """Load or compile the kernels, seconds when they are cold; later calls are free.

    Raises
    ------
    MissingDependency
        Without numba.
    """
    if is_warm():
        return _compile()
    with _lock:  # two threads would compile everything twice
        return _compile()


def is_warm() -> bool:
    """Whether a call would start at once, without compiling."""
    return _compile.cache_info().currsize > 0


def warm_in_background() -> None:
    """Start one thread that loads or compiles the kernels, unless one is at it already."""
    global _thread
    with _start_lock:
        if _thread is None:
            _thread = threading.Thread(target=_try_to_warm, name="eplb-opt-warmup", daemon=True)
            _thread.start()


_thread: threading.Thread | None = None
_start_lock = threading.Lock()


def _after_fork() -> None:
    """A child has neither the parent's threads nor, for sure, its locks unlocked."""
    global _thread, _lock, _start_lock
    _thread, _lock, _start_lock = None, threading.Lock(), threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


def _try_to_warm() -> None:
    try:
        warm_kernels()
    except Exception as error:  # the caller has an answer; nobody waits for this one
        LOGGER.warning("the kernels cannot be loaded, plans come from numpy: %s", error)
