"""One time budget, fixed at the call."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threading import Event


@dataclass(frozen=True)
class Deadline:
    """A point in time that every stage of a call works against, or a wish that comes before it.

    Parameters
    ----------
    at
        In seconds of `time.monotonic`; infinity for none.
    stop
        Once it is set, nothing is left, whatever the clock says; None where nobody can stop the
        call.
    """

    at: float = math.inf
    stop: Event | None = None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The deadline `seconds` from now; None for none."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, not below 0; infinity without a deadline."""
        return 0.0 if self.is_stopped else max(self.at - time.monotonic(), 0.0)

    @property
    def is_stopped(self) -> bool:
        """Whether the caller asked for the end."""
        return self.stop is not None and self.stop.is_set()

    @property
    def expired(self) -> bool:
        return self.remaining <= 0

    def earlier(self, seconds: float) -> Deadline:
        """The deadline that leaves `seconds` for what comes after."""
        return Deadline(self.at - seconds, self.stop)

    def sooner(self, seconds: float) -> Deadline:
        """The deadline `seconds` from now, or this one where it comes first."""
        return Deadline(min(self.at, time.monotonic() + seconds), self.stop)
