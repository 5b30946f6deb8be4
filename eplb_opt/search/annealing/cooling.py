"""Runs of annealing that cool by a constant factor, under a clock or counted."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from eplb_opt.search.annealing.layer import LARGEST_EXPONENT

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline

#: Slices of a call of the core: where work is counted, and the most under a clock.
COUNTED_SLICES, MAX_CALL_SLICES = 8, 256
#: Seconds that a call of the core takes before the clock is looked at.
CALL_SECONDS = 0.002
#: Slices for one unit of effort, and of a turn that neither a clock nor counted work ends.
SLICES_PER_EFFORT, OPEN_TURN_SLICES = 16, 20_000


@dataclass(frozen=True)
class Cooling:
    """How runs cool.

    Parameters
    ----------
    first_heat, last_heat
        The temperature at the beginning and at the end of a run, in units of the objective; between
        them it falls by the same factor in equal parts of the run.
    doublings
        The search minimises a p-norm of loads with p = 2**doublings, one after the other.
    run_slices
        The most slices of a run for each slot; a longer turn has several runs.
    """

    first_heat: float
    last_heat: float
    doublings: tuple[int, ...] = (5, 6, 7, 8, 9)
    run_slices: int = 200


class Search(Protocol):
    """What a run needs of a search on one layer."""

    @property
    def largest_load(self) -> float:
        """The largest GPU load now, relative to the mean."""
        ...

    def advance(self, doublings: int, temperature: float, slices: int, seconds: float) -> None:
        """Anneal some slices, fewer where the seconds are over."""
        ...

    def go_on(self) -> None:
        """Go on from the best plan."""
        ...


class Runs:
    """Runs of one search, one after the other.

    Parameters
    ----------
    search
        The search on one layer.
    cooling
        How its runs cool.
    num_slots
        The slots of the layer.
    """

    def __init__(self, search: Search, cooling: Cooling, num_slots: int) -> None:
        self.search, self.cooling = search, cooling
        self.longest = cooling.run_slices * num_slots
        self.call_slices = COUNTED_SLICES

    def until(self, deadline: Deadline) -> None:
        """Anneal until the deadline: one run that cools, or several where there is time."""
        if math.isinf(deadline.at):
            self.counted(OPEN_TURN_SLICES)
            return
        while time.monotonic() < deadline.at:
            self.once(deadline)
            self.search.go_on()

    def once(self, deadline: Deadline) -> None:
        """One run that cools and ends by the deadline, or sooner where it has its most slices."""
        began = last = time.monotonic()
        length, done = max(deadline.at - began, 1e-9), 0
        while last < deadline.at and done < self.longest:
            passed = max((last - began) / length, done / self.longest)
            self.step(passed, self.call_slices, deadline.at - last)
            done += self.call_slices
            now = time.monotonic()
            faster = now - last < CALL_SECONDS
            slices = self.call_slices * 2 if faster else self.call_slices // 2
            self.call_slices = min(max(slices, 1), MAX_CALL_SLICES)
            last = now

    def counted(self, slices: int) -> None:
        """Anneal for a number of slices in runs that cool."""
        while slices > 0:
            length = min(slices, self.longest)
            for done in range(0, length, COUNTED_SLICES):
                self.step(done / length, min(COUNTED_SLICES, length - done))
            slices -= length
            if slices > 0:
                self.search.go_on()

    def step(self, passed: float, slices: int, seconds: float = math.inf) -> None:
        """Anneal some slices at the temperature and the norm of that part of a run."""
        cooling = self.cooling
        # Rounded, because machines differ in how they round powers.
        ratio = cooling.last_heat / cooling.first_heat
        heat = float(f"{cooling.first_heat * ratio**passed:.9e}")
        self.step_at(heat, passed, slices, seconds)

    def step_at(self, heat: float, passed: float, slices: int, seconds: float = math.inf) -> None:
        """Anneal some slices at a temperature of its own."""
        table = self.cooling.doublings
        doublings = table[min(int(passed * len(table)), len(table) - 1)]
        # A swap can double a GPU's load, and its power must stay a number.
        digits = math.frexp(self.search.largest_load)[1] + 1
        while digits << doublings > LARGEST_EXPONENT:
            doublings -= 1
        self.search.advance(doublings, heat, slices, seconds)
