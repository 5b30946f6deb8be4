"""A file that is written piece by piece into whatever takes the pieces."""

from __future__ import annotations

import io
from typing import Any


class Drain(io.RawIOBase):
    """Keeps what is written until it is taken; it cannot be read or sought."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        """Whether bytes can be written: always."""
        return True

    def write(self, piece: Any) -> int:
        """Keep a copy of the bytes."""
        content = bytes(piece)
        self._pieces.append(content)
        return len(content)

    def take(self) -> bytes:
        """What came since the last time."""
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content
