"""Annealing of a placement for optimal dispatch: its loads, how it cools, and when it stops."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from itertools import cycle, repeat
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.core import annealing
from eplb_opt.search.annealing.layer import THRESHOLDS, relative_loads
from eplb_opt.search.annealing.machine import machine_of, speeds_fit
from eplb_opt.search.annealing.noise import noisy_copies
from eplb_opt.search.annealing.starts import level_nodes, nodes_of, start_on_nodes
from eplb_opt.search.seeds import SALT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True)
class DesignParams:
    """Settings of the annealing for optimal dispatch.

    Parameters
    ----------
    heat
        The first temperature of a run, in mean GPU loads.
    heat_factors
        The factors of that temperature in the first, second, ... run of a turn, repeated.
    slots_per_slice, least_slices
        The most slices of a run: the square of the number of slots over `slots_per_slice`, and at
        least `least_slices`.
    first_doublings, last_doublings
        The search minimises a p-norm of loads; p is 2 to these powers at the beginning and at the
        end of a run.
    transfers
        The proposals among 1024 that give a replica of one expert to another expert.
    max_loads
        The most known loads that are looked at together; of more, a sample is drawn repeatedly.
    noisy
        The number of noisy copies of loads beside them.
    first_share, most_share, last_share
        The weight of the noisy copies among all loads: at the beginning of a run it is
        `first_share` plus the size of the noise, at most `most_share`; at its end, `last_share`
        times the size of the noise.
    frozen
        The part of a run after which no loads are drawn, so that the plan settles.
    redraw
        The slices between two draws of loads.
    level, growth, most_noise
        While the mean of the largest GPU loads, under the known loads, is at most `level`, the
        noise grows at every draw by the factor `growth`, up to `most_noise`; else it falls back
        towards the size asked for. Layers with replicas to spare withstand more noise.
    slack
        Where there is noise, an expert gives a replica to another one only if its own replicas are
        then at most this many times as heavy as the other's are now. Other loads are worst where a
        heavy expert has lost replicas to fit the known loads.
    """

    heat: float = 1e-3
    heat_factors: tuple[float, ...] = (1.0, 10.0, 100.0, 3.0)
    slots_per_slice: int = 16
    least_slices: int = 32
    first_doublings: int = 4
    last_doublings: int = 6
    transfers: int = 200
    max_loads: int = 24
    noisy: int = 19
    first_share: float = 0.2
    most_share: float = 0.7
    last_share: float = 0.6
    frozen: float = 0.75
    redraw: int = 1
    level: float = 1.001
    growth: float = 1.03
    most_noise: float = 0.6
    slack: float = 1.1


#: Proposals between two looks at the whole placement, or a multiple of them.
SLICE = 512
#: Seconds that a call of the core takes before loads are drawn again.
CALL_SECONDS = 0.01
MOST_SLICES = 2**40


class DesignSearch:
    """Anytime search for a placement that optimal dispatch keeps level.

    Parameters
    ----------
    problem
        A problem of one layer under optimal dispatch.
    start
        int64 [num_slots], a valid plan; -1 in closed slots.
    seed
        The seed of the random numbers; it decides the plan after any number of slices.
    noise
        The size of the noise that the plan is to withstand; 0 plans for the known loads alone.
    held
        bool [num_gpus, num_experts], what the plan in force has on a GPU; then the best plan is
        kept for every number of moved slots.
    """

    def __init__(
        self,
        problem: Problem,
        start: np.ndarray,
        seed: int,
        noise: float = 0.0,
        held: np.ndarray | None = None,
        params: DesignParams | None = None,
    ) -> None:
        self.problem, self.noise, self.least_noise = problem, noise, noise
        self.seed = seed
        self.params = params or DesignParams()
        self.known, self.share = relative_loads(problem)
        self.random = np.random.default_rng([SALT, seed])
        num_known = min(self.known.shape[1], self.params.max_loads)
        self.num_known = num_known
        used = problem.open_slots > 0
        self.is_trivial = num_known == 0 or int(used.sum()) == 1 or not speeds_fit(problem)
        self.start = np.array(start[problem.is_open], dtype=np.int64)
        if not self.is_trivial:
            self._search = self._begin(used, held)
            self.weigh(0.0)

    def _begin(self, used: np.ndarray, held: np.ndarray | None) -> annealing.DesignSearch:
        problem = self.problem
        nothing = np.zeros((0, problem.num_experts), dtype=bool)
        return annealing.DesignSearch(
            machine_of(problem, forbids_colocation=True),
            annealing.DesignLoads(
                self._drawn_loads(),
                problem.has_scenarios and problem.objective == "max",
                self.known.max(axis=1),
                self.params.slack if self.noise > 0 else math.inf,
            ),
            self.start,
            nothing if held is None else np.ascontiguousarray(held[used]),
            annealing.Chance(THRESHOLDS, SALT + 1 + self.seed),
        )

    def adapt_noise(self) -> None:
        """Grow the noise while the known loads stay level, as `DesignParams` describes."""
        params, least = self.params, self.least_noise
        share = self.load_shares[: self.num_known]
        peaks = self._search.peaks()[: self.num_known]
        is_level = float(peaks @ share) <= params.level * float(share.sum())
        factor = params.growth if is_level else 1.0 / params.growth
        self.noise = min(max(self.noise * factor, least), max(params.most_noise, least))

    def draw_loads(self) -> None:
        """Draw other noisy copies, and another sample of known loads where these are too many."""
        self._search.change_loads(self._drawn_loads())

    def _drawn_loads(self) -> np.ndarray:
        """The loads that are looked at together, float64 [num_experts, num_loads]."""
        known, num = self.known, self.num_known
        if known.shape[1] > num:
            known = known[:, np.sort(self.random.permutation(known.shape[1])[:num])]
        copies = np.zeros((len(known), 0))
        if self.noise > 0:
            num_noisy = self.params.noisy
            copies = noisy_copies(self.known, self.share, self.noise, num_noisy, self.random)
        self.weight = np.ascontiguousarray(np.concatenate([known, copies], axis=1))
        return self.weight

    def settle(self) -> None:
        """Go on from the best start: the given one, or one with groups levelled over the nodes."""
        self.look()
        if self.problem.is_hierarchical and not self.problem.has_gpu_rules:
            nodes = level_nodes(self.problem, nodes_of(self.problem, self.placed()))
            start = start_on_nodes(self.problem, nodes)
            if start is not None:
                self.restart(start)
                self.look()
        self.restart(self.placed())
        self.forget_best()

    def weigh(self, noisy_share: float) -> None:
        """Set the weights of the loads, with that share for the noisy copies together."""
        num, noisy = self.num_known, self.params.noisy if self.least_noise > 0 else 0
        known = self.share if len(self.share) == num else np.full(num, 1.0 / num)
        self.load_shares = np.full(num + noisy, noisy_share / max(noisy, 1))
        self.load_shares[:num] = known * (1.0 - noisy_share if noisy else 1.0)
        self._search.set_shares(self.load_shares)

    def restart(self, start: np.ndarray) -> None:
        """Go on from another plan; the best ones are kept."""
        if not self.is_trivial:
            self._search.restart(np.ascontiguousarray(start[self.problem.is_open], dtype=np.int64))

    def forget_best(self) -> None:
        """Forget the values of the best plans: under other loads or weights they do not compare."""
        if not self.is_trivial:
            self._search.forget_best()

    def placed(self) -> np.ndarray:
        """The best plan, int64 [num_slots]."""
        return self.plan_with_moves(int(self.best_value.argmin()))

    def plan_with_moves(self, num_moves: int) -> np.ndarray:
        """The best plan with that number of moved slots, int64 [num_slots]; -1 in closed slots."""
        placed = np.full(self.problem.num_slots, -1, dtype=np.int64)
        placed[self.problem.is_open] = (
            self.start if self.is_trivial else self._search.plan(num_moves)
        )
        return placed

    @property
    def best_value(self) -> np.ndarray:
        """The best objective with each number of moved slots; one entry where moves do not count.

        It is relative to the mean GPU load, and noisy copies are included.
        """
        return np.full(1, math.inf) if self.is_trivial else np.asarray(self._search.values())

    @property
    def best(self) -> float:
        """The best plan's objective, as in `best_value`."""
        return float(self.best_value.min())

    def look(self) -> None:
        """Note the current plan where it is the best with its number of moves."""
        self.advance(self.params.first_doublings, 0.0, 0.0, 0)

    def run_until(self, deadline: Deadline, price: float = 0.0, heat: float | None = None) -> None:
        """Anneal in one run that cools to the deadline; small layers have several until then."""
        for run, longest in self._runs(price, heat):
            began = last = time.monotonic()
            length, slices = max(deadline.at - began, 1e-9), 1
            while last < deadline.at and run.slices < longest:
                passed = max((last - began) / length, run.slices / longest)
                run.advance(passed, slices, deadline.at - last)
                now = time.monotonic()
                slices = max(slices * 2 if now - last < CALL_SECONDS else slices // 2, 1)
                slices, last = min(slices, longest), now
            if last >= deadline.at:
                return

    def run_slices(self, num: int, price: float = 0.0, heat: float | None = None) -> None:
        """Anneal for a number of slices of SLICE proposals each."""
        for run, longest in self._runs(price, heat):
            length = min(longest, num)
            for done in range(length):
                run.advance(done / length, 1)
            num -= length
            if not num:
                return

    def _runs(self, price: float, heat: float | None) -> Iterator[tuple[_Run, int]]:
        """The runs to come, each with the most slices that it has.

        A run on a small layer ends early; runs from other temperatures then find more. Where the
        caller sets a temperature there is a single run. The best plan of earlier runs is evaluated
        again under the loads of each run.
        """
        params = self.params
        longest = max(len(self.start) ** 2 // params.slots_per_slice, params.least_slices)
        factors = cycle(params.heat_factors) if heat is None else repeat(1.0)
        if heat is not None:
            longest = MOST_SLICES
        for factor in factors:
            best_plan = self.placed() if self.best < math.inf else None
            yield _Run(self, price, factor * (params.heat if heat is None else heat)), longest
            if best_plan is not None:
                self.restart(best_plan)
                self.look()
            self.restart(self.placed())

    def advance(
        self,
        doublings: int,
        temperature: float,
        price: float,
        slices: int,
        seconds: float = math.inf,
    ) -> None:
        """Anneal some slices at one norm and temperature, fewer where the seconds are over."""
        self._search.anneal(
            doublings, temperature, price, self.params.transfers, slices * SLICE, seconds
        )


class _Run:
    """One run: how temperature, norm and weights change from its beginning to its end."""

    def __init__(self, search: DesignSearch, price: float, heat: float) -> None:
        self.search, self.price, self.heat = search, price, heat
        self.is_frozen = False
        self.slices = self.drawn_at = 0

    def advance(self, passed: float, slices: int, seconds: float = math.inf) -> None:
        """Anneal some slices at that part of the run, fewer where the seconds are over."""
        search, params = self.search, self.search.params
        changes = search.noise > 0 or search.known.shape[1] > search.num_known
        if changes and not self.is_frozen and self.slices - self.drawn_at >= params.redraw:
            search.adapt_noise()
            search.draw_loads()
            self.drawn_at = self.slices
        if passed >= params.frozen and not self.is_frozen:
            self.is_frozen = True
            if changes:  # values under other loads or weights do not compare
                search.forget_best()
        steps = params.last_doublings - params.first_doublings + 1
        doublings = params.first_doublings + min(int(passed * steps), steps - 1)
        begin = min(params.first_share + search.noise, params.most_share)
        end = min(params.last_share * search.noise, begin)
        # The part is the same on every machine where work is counted; the last weight stays.
        noisy_share = end if self.is_frozen else begin + (end - begin) * passed / params.frozen
        left = 1.0 - passed
        search.weigh(noisy_share)
        search.advance(doublings, self.heat * left * left, self.price, slices, seconds)
        self.slices += slices
