"""What is said once about a cache on disk that is absent, read-only or broken."""

from __future__ import annotations

import functools
import logging

LOGGER = logging.getLogger("heuristics")


@functools.cache
def warn_once(reason: str) -> None:
    LOGGER.warning("compiled kernels are not kept on disk, each process compiles: %s", reason)
