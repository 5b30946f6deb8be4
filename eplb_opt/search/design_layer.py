"""The design of one layer: what it is planned for, how it cools, and when it stops."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from itertools import cycle, repeat
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.search.anneal_layer import THRESHOLDS, relative_loads
from eplb_opt.search.anneal_rules import kernel_rules, speeds_fit
from eplb_opt.search.anneal_starts import level_nodes, nodes_of, start_on_nodes
from eplb_opt.search.design import SLICE, design
from eplb_opt.search.design_flow import change_loads, refill
from eplb_opt.search.node import SALT
from eplb_opt.search.noise import noisy_copies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.deadline import Deadline
    from eplb_opt.problem import Problem


@dataclass(frozen=True)
class DesignParams:
    """Settings of the search.

    Parameters
    ----------
    heat, heat_factors
        Temperature at the beginning of a run, loads relative to their means; and so many times that
        in the first, second, ... run of a turn.
    slots_per_slice, least_slices
        A run has no more slices than pairs of slots over the former, or the latter.
    first_doublings, last_doublings
        The norm's p is 2 to these, at the beginning and at the end of a run.
    transfers
        Copy transfers among 1024 proposals.
    max_loads
        Known loads that are looked at side by side; of more a sample, drawn anew now and then.
    noisy
        Noisy copies beside them.
    first_share, most_share, last_share
        What the copies count of all loads together: the size of the noise and the first of these
        at the beginning of a run, no more than the second; the third times the size at its end.
    frozen
        Part of a run after which loads are drawn no more: the last part settles.
    redraw
        Slices between two draws.
    level, growth, most_noise
        While the known loads are level up to the first of these, noise grows at every draw by the
        second, up to the third, and else falls back towards the size asked for: layers with copies
        to spare withstand more.
    slack
        Where there is noise: a copy goes from one expert to another only where the former's
        replicas are then at most so many times as heavy as the latter's are now. Heavy
        experts that lose their copies for a fit to the known loads are what other loads
        punish most.
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


#: A call of the compiled search takes about so long before the clock is looked at.
CALL_SECONDS = 0.01
MOST_SLICES = 2**40


class DesignSearch:
    """Anytime search for a placement that optimal dispatch keeps level.

    Parameters
    ----------
    problem
        Of one layer under optimal dispatch.
    start
        int64 [num_slots], a plan that fits; -1 in closed slots.
    seed
        With it the plan after some number of slices is always the same.
    noise
        Size of the noise that the plan is to withstand; 0 plans for the known loads alone.
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
        self.params = params or DesignParams()
        self.known, self.share = relative_loads(problem)
        self.random = np.random.default_rng([SALT, seed])
        num_known = min(self.known.shape[1], self.params.max_loads)
        self.num_known = num_known
        used = problem.open_slots > 0
        self.is_trivial = num_known == 0 or int(used.sum()) == 1 or not speeds_fit(problem)
        num_loads = num_known + (self.params.noisy if noise > 0 else 0)
        self.slot = np.array(start[problem.is_open], dtype=np.int64)
        num_kept = 1 if held is None else len(self.slot) + 1
        self.best_value = np.full(num_kept, np.inf)
        self.best_slot = np.tile(self.slot, (num_kept, 1))
        self.state = np.array([SALT + 1 + seed, 0], dtype=np.int64)
        if not self.is_trivial:
            self._make_arrays(num_loads, used, held)

    def _make_arrays(self, num_loads: int, used: np.ndarray, held: np.ndarray | None) -> None:
        problem, num_slots = self.problem, len(self.slot)
        num_gpus, num_experts = int(used.sum()), problem.num_experts
        spare = num_slots - num_experts
        rate, first, ties, unit = kernel_rules(problem)
        self.weight = np.zeros((num_experts, num_loads))
        self.omega = np.zeros(num_loads)
        gpu = np.repeat(np.arange(num_gpus), problem.open_slots[used])
        count = np.zeros(num_experts, dtype=np.int64)
        copies = np.zeros((num_experts, spare + 2), dtype=np.int64)
        self._flow = np.zeros((num_slots, num_loads))
        load = np.zeros((num_gpus, num_loads))
        several = np.zeros(num_experts + 1, dtype=np.int64)
        logs = [
            log
            for rows in (num_slots, num_gpus)
            for log in (
                np.zeros(rows, dtype=np.int64),
                np.zeros(rows + 1, dtype=np.int64),
                np.zeros((rows, num_loads)),
            )
        ]
        self._placed = (self.slot, gpu, count, copies, self._flow, load, rate, several)
        self._arrays = (
            *self._placed,
            first,
            ties,
            unit,
            np.zeros((0, 0), dtype=bool) if held is None else held[used],
            np.zeros((num_gpus, num_loads)),
            np.zeros(num_loads),
            np.zeros(num_gpus),
            self.omega,
            problem.has_scenarios and problem.objective == "max",
            self.best_value,
            self.best_slot,
            *logs,
            np.zeros(num_experts, dtype=np.int64),
            np.zeros(num_experts, dtype=np.int64),
            np.zeros((num_gpus, num_loads)),
            np.zeros(num_loads),
            self.state,
            THRESHOLDS,
            num_slots // problem.num_nodes if problem.is_hierarchical else num_slots,
            self.known.max(axis=1),
            self.params.slack if self.noise > 0 else math.inf,
        )
        self._weigh(0.0)
        self.draw_loads()
        refill(self.weight, *self._placed)

    def adapt_noise(self) -> None:
        """More noise where the known loads are level all the same; see `DesignParams`."""
        params, least = self.params, self.least_noise
        _, _, _, _, _, load, *_ = self._placed
        peaks = load[:, : self.num_known].max(axis=0)
        is_level = float(peaks @ self.omega[: self.num_known]) <= params.level * float(
            self.omega[: self.num_known].sum()
        )
        factor = params.growth if is_level else 1.0 / params.growth
        self.noise = min(max(self.noise * factor, least), max(params.most_noise, least))

    def draw_loads(self) -> None:
        """Other noisy copies, and where there are too many known loads another sample of them."""
        known, num = self.known, self.num_known
        if known.shape[1] > num:
            known = known[:, np.sort(self.random.permutation(known.shape[1])[:num])]
        copies = np.zeros((len(known), 0))
        if self.noise > 0:
            num_noisy = self.params.noisy
            copies = noisy_copies(self.known, self.share, self.noise, num_noisy, self.random)
        fresh = np.ascontiguousarray(np.concatenate([known, copies], axis=1))
        _, _, count, places, flow, *_ = self._placed
        change_loads(self.weight, fresh, count, places, flow)

    def settle(self) -> None:
        """Go on from the best of the starts that there are: the one given, and groups levelled."""
        self.look()
        if self.problem.is_hierarchical and not self.problem.has_gpu_rules:
            nodes = level_nodes(self.problem, nodes_of(self.problem, self.placed()))
            start = start_on_nodes(self.problem, nodes)
            if start is not None:
                self.restart(start)
                self.look()
        self.restart(self.placed())
        self.best_value[:] = math.inf

    def _weigh(self, noisy_share: float) -> None:
        """Share the weights out among known loads and noisy copies."""
        num = self.num_known
        known = self.share if len(self.share) == num else np.full(num, 1.0 / num)
        noisy = len(self.omega) - num
        self.omega[:num] = known * (1.0 - noisy_share if noisy else 1.0)
        self.omega[num:] = noisy_share / max(noisy, 1)

    def restart(self, start: np.ndarray) -> None:
        """Go on from another plan; the best ones are kept."""
        self.slot[:] = start[self.problem.is_open]
        if not self.is_trivial:
            refill(self.weight, *self._placed)

    def placed(self) -> np.ndarray:
        """The best plan, int64 [num_slots]."""
        return self.opened(int(self.best_value.argmin()))

    def opened(self, kept: int) -> np.ndarray:
        """The best plan with so many moved slots, int64 [num_slots]; -1 in closed slots."""
        placed = np.full(self.problem.num_slots, -1, dtype=np.int64)
        placed[self.problem.is_open] = self.best_slot[kept]
        return placed

    @property
    def best(self) -> float:
        """The best plan's objective, relative to the mean GPU load, noisy copies included."""
        return float(self.best_value.min())

    def look(self) -> None:
        """Note the current plan where it is the best with so many moves."""
        design(*self._arrays, self.params.first_doublings, 0.0, 0.0, self.params.transfers, 0)

    def run_until(self, deadline: Deadline, price: float = 0.0, heat: float | None = None) -> None:
        """One run that cools to the deadline, or of small layers several; see `_runs`."""
        for run, longest in self._runs(price, heat):
            began = last = time.monotonic()
            length, slices = max(deadline.at - began, 1e-9), 1
            while last < deadline.at and run.slices < longest:
                run.advance(max((last - began) / length, run.slices / longest), slices)
                now = time.monotonic()
                slices = max(slices * 2 if now - last < CALL_SECONDS else slices // 2, 1)
                slices, last = min(slices, longest), now
            if last >= deadline.at:
                return

    def run_slices(self, num: int, price: float = 0.0, heat: float | None = None) -> None:
        """The same over so many slices of SLICE proposals each."""
        for run, longest in self._runs(price, heat):
            length = min(longest, num)
            for done in range(length):
                run.advance(done / length, 1)
            num -= length
            if not num:
                return

    def _runs(self, price: float, heat: float | None) -> Iterator[tuple[_Run, int]]:
        """The runs to come, each with its most slices.

        A small layer is soon where a run ends; then runs from other temperatures find more: but
        not where the caller sets one, for a single run. What
        the runs before have found is looked at again under the loads of each.
        """
        params = self.params
        longest = max(len(self.slot) ** 2 // params.slots_per_slice, params.least_slices)
        factors = cycle(params.heat_factors) if heat is None else repeat(1.0)
        if heat is not None:
            longest = MOST_SLICES
        for factor in factors:
            champion = self.placed() if self.best < math.inf else None
            yield _Run(self, price, factor * (params.heat if heat is None else heat)), longest
            if champion is not None:
                self.restart(champion)
                self.look()
            self.restart(self.placed())

    def advance(
        self, doublings: int, temperature: float, price: float, slices: int, noisy_share: float
    ) -> None:
        """Slices at a norm, a temperature and a weight of the noisy copies."""
        self._weigh(noisy_share)
        transfers = self.params.transfers
        design(*self._arrays, doublings, temperature, price, transfers, slices * SLICE)


class _Run:
    """One cooling: what changes from its beginning to its end."""

    def __init__(self, search: DesignSearch, price: float, heat: float) -> None:
        self.search, self.price, self.heat = search, price, heat
        self.is_frozen = False
        self.slices = self.drawn_at = 0

    def advance(self, passed: float, slices: int) -> None:
        """Slices at that part of the run."""
        search, params = self.search, self.search.params
        changes = search.noise > 0 or search.known.shape[1] > search.num_known
        if changes and not self.is_frozen and self.slices - self.drawn_at >= params.redraw:
            search.adapt_noise()
            search.draw_loads()
            self.drawn_at = self.slices
        if passed >= params.frozen and not self.is_frozen:
            self.is_frozen = True
            if changes:  # values under other loads, or other weights of them, do not compare
                search.best_value[:] = math.inf
        steps = params.last_doublings - params.first_doublings + 1
        doublings = params.first_doublings + min(int(passed * steps), steps - 1)
        begin = min(params.first_share + search.noise, params.most_share)
        end = min(params.last_share * search.noise, begin)
        # In parts that are the same on every machine, and the weight stays once frozen.
        noisy_share = end if self.is_frozen else begin + (end - begin) * passed / params.frozen
        left = 1.0 - passed
        search.advance(doublings, self.heat * left * left, self.price, slices, noisy_share)
        self.slices += slices
