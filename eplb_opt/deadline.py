"""One time budget, fixed at the call."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """A point in time that every stage of a call works against.

    Parameters
    ----------
    at
        In seconds of `time.monotonic`; infinity for none.
    """

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The deadline `seconds` from now; None for none."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, not below 0; infinity without a deadline."""
        return max(self.at - time.monotonic(), 0.0)

    @property
    def expired(self) -> bool:
        return self.remaining <= 0

    def earlier(self, seconds: float) -> Deadline:
        """The deadline that leaves `seconds` for what comes after."""
        return Deadline(self.at - seconds)
