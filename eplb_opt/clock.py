"""One time budget, fixed at the call. Time is divided here and nowhere else."""

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
        The time, in seconds of `time.monotonic`; infinity for none.
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
    def is_open(self) -> bool:
        """Whether no clock ends the work."""
        return math.isinf(self.at)

    @property
    def is_stopped(self) -> bool:
        """Whether the caller asked for the end."""
        return self.stop is not None and self.stop.is_set()

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining <= 0

    def earlier(self, seconds: float) -> Deadline:
        """The deadline that leaves `seconds` for what comes after."""
        return Deadline(self.at - seconds, self.stop)

    def sooner(self, seconds: float) -> Deadline:
        """The deadline `seconds` from now, or this one where it comes first."""
        return Deadline(min(self.at, time.monotonic() + seconds), self.stop)

    def part(self, share: float) -> Deadline:
        """The end of the next `share` (0 to 1) of the time left; without a deadline there is none.

        Equal parts are ``part(1 / left)``, where ``left`` counts the parts that are still to come.
        """
        return self if self.is_open else self.sooner(self.remaining * share)


@dataclass(frozen=True)
class Pace:
    """How long the turns of a solver take under a clock, and how many it gets.

    Parameters
    ----------
    share
        The part of a layer's even share of the time left that a turn takes.
    shortest, longest
        Seconds that a turn takes at least and at most.
    growth
        How many times longer the shortest turn becomes with each turn.
    in_a_row
        Turns that a layer gets from this solver before the next solver has one.
    most
        Turns that a layer gets in all.
    in_rounds
        Whether the even share is taken among the layers that have not had this turn yet, so that
        the last of them gets as much as the first.
    with_effort
        Whether the solver has turns in a call with counted work.
    """

    share: float = 1.0
    shortest: float = 1.0
    longest: float = math.inf
    growth: float = 2.0
    in_a_row: int = 1
    most: int = 4
    in_rounds: bool = False
    with_effort: bool = True


@dataclass(frozen=True)
class Budget:
    """What a call may spend.

    Parameters
    ----------
    deadline
        The end of the call, less what the output takes.
    effort
        Counted work for each layer, or None.
    target_gap
        The gap at or below which a layer is left alone.
    workers
        The number of layers worked on at a time.
    seed
        Seed of every solver's randomness.
    """

    deadline: Deadline
    effort: int | None = None
    target_gap: float = 0.0
    workers: int = 1
    seed: int = 0

    def turn_end(self, pace: Pace, attempt: int, num_waiting: int) -> Deadline:
        """When a turn ends: by the solver's share of the time left, never past the call's end.

        Parameters
        ----------
        pace
            The solver's pace.
        attempt
            The number of turns that the solver has had on this layer.
        num_waiting
            The number of layers that the time left is for, this one among them.
        """
        if self.effort is not None:
            return self.deadline
        left = self.deadline.remaining
        even = 0.0 if math.isinf(left) else left * self.workers / max(num_waiting, 1)
        least = min(pace.shortest * pace.growth**attempt, pace.longest)
        return self.deadline.sooner(min(max(pace.share * even, least), pace.longest))

    def even_part(self, num_left: int, share: float = 1.0) -> Deadline:
        """The end of one layer's part of the time, where workers take up layers as they get free.

        Parameters
        ----------
        num_left
            The number of layers not yet begun, this one among them.
        share
            The part of the time left that all of them may take.
        """
        rounds = -(-num_left // self.workers)
        return self.deadline.part(share / rounds)


def core_wait() -> float:
    """Seconds that this thread was ready to run without a core; 0 where the system is silent."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1]) * 1e-9
    except OSError:
        return 0.0
