"""Memory that a thread keeps between calls.

Fresh megabytes come from the system page by page, which takes longer than filling them.
"""

from __future__ import annotations

import threading
from math import prod

import numpy as np

#: Larger arrays are not kept.
MOST_ITEMS = 1 << 22


class Arena(threading.local):
    """Scratch arrays of one thread, handed out in the order they are asked for."""

    def __init__(self) -> None:
        self.kept: list[np.ndarray] = []
        self.taken = 0

    def begin(self) -> None:
        """A new call: what the last one took is free."""
        self.taken = 0

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """An int64 array with any content, this thread's until its next `begin`."""
        items = prod(shape)
        if items > MOST_ITEMS:
            return np.empty(shape, dtype=np.int64)
        if self.taken == len(self.kept):
            self.kept.append(np.empty(0, dtype=np.int64))
        if self.kept[self.taken].size < items:
            self.kept[self.taken] = np.empty(items, dtype=np.int64)
        array = self.kept[self.taken][:items].reshape(shape)
        self.taken += 1
        return array


ARENA = Arena()
