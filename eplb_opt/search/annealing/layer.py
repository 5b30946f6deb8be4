"""Annealing of one layer whose tokens are split evenly: how it cools, and when it stops."""

from __future__ import annotations

import math
import time
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.core import annealing
from eplb_opt.search.annealing.machine import machine_of, speeds_fit
from eplb_opt.search.seeds import SALT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

#: The first temperature of a run, as a share of the best plan's distance from balance (largest load
#: over mean, less 1); a run cools to 0.
HEAT = 0.03
#: The factors of that temperature in the first, second, ... run of a turn, repeated.
HEAT_FACTORS = (1.0, 10.0, 100.0, 3.0)
#: The most slices of a run, over the square of the number of slots; and the least number of them.
RUN_SLICES, MIN_RUN_SLICES = 1, 16
#: The search minimises a p-norm of loads with p = 2**doublings; as a run cools, the norm comes ever
#: closer to the largest load.
FIRST_DOUBLINGS, DOUBLINGS = 5, (6, 7, 8)
#: The number of thresholds of the core, and of equal chances that it draws from.
FINE = 1024
#: The proposals among FINE that transfer a replica; one costs as much as four swaps.
TRANSFERS = 100
#: Where the largest load is this many times the mean, the counts must change: the search makes more
#: transfers, in a norm under which they cost less.
WIDE, WIDE_DOUBLINGS, WIDE_TRANSFERS = 1.1, (5, 6, 7), 300
#: There a slice is a transfer that is repaired by swaps; one in this many is a slice of proposals.
MENDED_PER_SLICE = 8
#: There runs are shorter and cooler: the slices for each slot, and the factor of HEAT.
WIDE_RUN_SLICES, WIDE_COOLER = 4, 0.03
#: Seconds that a call of the core takes before the clock is looked at.
CALL_SECONDS = 0.001
MAX_CALL_SLICES = 64
#: The slices of a call where work is counted.
COUNTED_SLICES = 4
#: The slices of a turn that neither a clock nor counted work ends.
OPEN_TURN_SLICES = 4096
#: The largest power of two of a norm; float64 ends at 2**1024.
LARGEST_EXPONENT = 1000

#: Quantiles of the exponential distribution, on a grid that hides how a machine rounds logarithms.
THRESHOLDS = np.rint(-np.log((np.arange(FINE) + 0.5) / FINE) * 2**20) / 2**20


class AnnealSearch:
    """Anytime search on one layer under any number of loads.

    Parameters
    ----------
    problem
        A problem of one layer, with or without scenarios and GPU rules.
    start
        int64 [num_slots], a valid plan, -1 in closed slots; groups of experts stay on the nodes
        that they have in it.
    seed
        The seed of the random numbers; it decides the plan after any number of slices.
    held
        bool [num_gpus, num_experts], what the plan in force has on a GPU; then the best plan is
        kept for every number of moved slots.
    """

    def __init__(
        self, problem: Problem, start: np.ndarray, seed: int, held: np.ndarray | None = None
    ) -> None:
        self.problem = problem
        self.weight, self.share = relative_loads(problem)
        # Only slots that can hold an expert take part: the core has no empty slots.
        used = problem.open_slots > 0
        self.is_trivial = (
            self.weight.shape[1] == 0 or int(used.sum()) == 1 or not speeds_fit(problem)
        )
        self.counts_moves = held is not None
        self.num_slots = int(problem.is_open.sum())
        self.call_slices = COUNTED_SLICES
        nothing = np.zeros((0, problem.num_experts), dtype=bool)
        self._search = annealing.ScenarioSearch(
            machine_of(problem, problem.colocation == "forbid"),
            self.weight,
            self.share,
            problem.has_scenarios and problem.objective == "max",
            np.array(start[problem.is_open], dtype=np.int64),
            nothing if held is None else held[used],
            annealing.Chance(THRESHOLDS, SALT + 1 + seed),
        )

    @property
    def best_value(self) -> np.ndarray:
        """The best objective with each number of moved slots; one where moves do not count."""
        return self._search.values()

    @property
    def best(self) -> float:
        """The best plan's objective, relative to the mean GPU load."""
        return self._search.best

    @property
    def largest_load(self) -> float:
        """The largest GPU load of the current plan under any load, relative to the mean."""
        return self._search.largest_load

    def placed(self) -> np.ndarray:
        """The best plan, int64 [num_slots]."""
        return self.plan_with_moves(int(self.best_value.argmin()))

    def plan_with_moves(self, num_moves: int) -> np.ndarray:
        """The best plan with that number of moved slots, int64 [num_slots]; -1 in closed slots."""
        placed = np.full(self.problem.num_slots, -1, dtype=np.int64)
        placed[self.problem.is_open] = self._search.plan(num_moves)
        return placed

    def restart(self, start: np.ndarray) -> None:
        """Go on from another plan; the best ones are kept."""
        self._search.restart(np.asarray(start[self.problem.is_open], dtype=np.int64))

    def settle(self, price: float = 0.0) -> None:
        """Descend from the current plan until few proposals improve it."""
        self._advance(FIRST_DOUBLINGS, 0.0, price, max(self.num_slots // 4, 8))

    def look(self) -> None:
        """Note the current plan where it is the best with its number of moves."""
        self._advance(FIRST_DOUBLINGS, 0.0, 0.0, 1)

    def run_until(
        self, deadline: Deadline, price: float = 0.0, hottest: float | None = None
    ) -> None:
        """Anneal until the deadline: one run from the given temperature, or several runs."""
        if math.isinf(deadline.at):
            self.run_slices(OPEN_TURN_SLICES, price, hottest)
            return
        runs = self._runs(hottest)
        while True:
            longest, heat = next(runs)
            self._run_until(deadline, longest, heat, price)
            if time.monotonic() >= deadline.at:
                return

    def run_slices(self, slices: int, price: float = 0.0, hottest: float | None = None) -> None:
        """Anneal for a number of slices."""
        runs = self._runs(hottest)
        while slices > 0:
            longest, heat = next(runs)
            length = slices if longest is None else min(longest, slices)
            for done in range(0, length, COUNTED_SLICES):
                self._cooled(done / length, heat, price, min(COUNTED_SLICES, length - done))
            slices -= length

    def _runs(self, hottest: float | None) -> Iterator[tuple[int | None, float]]:
        """The most slices of each run to come (None for no limit) and its first temperature.

        A run on a small layer ends early; runs from other temperatures then find more.
        """
        while hottest is not None:
            yield None, hottest
        if self.best == np.inf:
            self.settle()
        for factor in cycle(HEAT_FACTORS):
            longest = max(self.num_slots**2 * RUN_SLICES, MIN_RUN_SLICES)
            if self._is_wide:
                longest, factor = self.num_slots * WIDE_RUN_SLICES, WIDE_COOLER
            yield longest, factor * HEAT * max(self.best - 1.0, 0.0)
            self.restart(self.placed())

    @property
    def _is_wide(self) -> bool:
        """Whether the counts must change; not asked where moves have a price."""
        return self.best > WIDE and not self.counts_moves

    def _run_until(
        self, deadline: Deadline, longest: int | None, hottest: float, price: float
    ) -> None:
        """Anneal in one run that ends with the deadline, or after its most slices."""
        began = last = time.monotonic()
        length, done = max(deadline.at - began, 1e-9), 0
        while last < deadline.at and (longest is None or done < longest):
            passed = (last - began) / length
            if longest is not None:
                passed = max(passed, done / longest)
            self._cooled(passed, hottest, price, self.call_slices, deadline.at - last)
            done += self.call_slices
            now = time.monotonic()
            faster = now - last < CALL_SECONDS
            slices = self.call_slices * 2 if faster else self.call_slices // 2
            self.call_slices = min(max(slices, 1), MAX_CALL_SLICES)
            last = now

    def _cooled(
        self, passed: float, hottest: float, price: float, slices: int, seconds: float = math.inf
    ) -> None:
        """Anneal some slices at the temperature and the norm of that part of a run."""
        table = WIDE_DOUBLINGS if self.best > WIDE else DOUBLINGS
        doublings = table[min(int(passed * len(table)), len(table) - 1)]
        left = 1.0 - passed
        self._advance(doublings, hottest * left * left, price, slices, seconds)

    def _advance(
        self,
        doublings: int,
        temperature: float,
        price: float,
        slices: int,
        seconds: float = math.inf,
    ) -> None:
        # A swap can double a GPU's load, and its power must stay a number.
        digits = math.frexp(self.largest_load)[1] + 1
        while digits << doublings > LARGEST_EXPONENT:
            doublings -= 1
        transfers = WIDE_TRANSFERS if self.best > WIDE else TRANSFERS
        if self._is_wide:
            self._search.anneal_mended(doublings, temperature, slices, seconds)
            slices = -(-slices // MENDED_PER_SLICE)
        self._search.anneal(doublings, temperature, price, transfers, slices, seconds)


def relative_loads(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Loads of one layer over the mean GPU load of each scenario, and the scenarios' weights.

    Where GPUs differ, the mean is that of the fastest GPUs.

    Returns
    -------
    The loads, float64 [num_experts, num_scenarios], and the weights, float64 [num_scenarios];
    scenarios without load or weight are left out.
    """
    rows = problem.load.reshape(-1, problem.num_experts)
    shares = np.array([float(share) for share in problem.shares])
    counts = (rows.sum(axis=1) > 0) & (shares > 0)
    totals = rows[counts].sum(axis=1, keepdims=True)
    relative = rows[counts] / totals * float(problem.capacity / problem.fastest)
    return np.ascontiguousarray(relative.T), shares[counts]
