"""Compiled work on many layers, in parts on several cores."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def in_parts(work: Callable[[slice], T], num: int, least: int) -> list[T]:
    """What the work makes of 0..num - 1 in consecutive parts, in their order.

    The parts run at the same time where the work lets other threads run, as the compiled core
    does. The answer must not depend on where the parts end.

    Parameters
    ----------
    work
        Called with a part as a slice.
    num
        How many there are to work on.
    least
        So many are worth a thread.
    """
    parts = max(min(cores(), num // least), 1)
    ends = [num * part // parts for part in range(parts + 1)]
    slices = [slice(first, end) for first, end in pairwise(ends)]
    if parts == 1:
        return [work(slices[0])]
    from concurrent.futures import ThreadPoolExecutor  # scoring is loaded where that is not

    with ThreadPoolExecutor(parts, thread_name_prefix="eplb-opt") as pool:
        return list(pool.map(work, slices))


def cores() -> int:
    """Cores that this process may use; where the system does not tell, all there are."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
