"""The configuration LP of one target load after the other, by column generation."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.models.config_lp_fronts import FULL
from eplb_opt.models.config_lp_master import Master
from eplb_opt.models.config_lp_pricing import Pricer, Window, spread

if TYPE_CHECKING:
    from eplb_opt.deadline import Deadline

FEASIBLE, INFEASIBLE, OPEN = "feasible", "infeasible", "open"

#: Share of the best dual values so far in those that are priced: LP duals alone jump about.
SMOOTHING = 0.3
#: Rows of a front: few while columns are found, many when none is left.
COARSE, FINE = 800, 1000
#: Pivots between two rounds of pricing; to optimality is not worth it.
MAX_PIVOTS = 40
#: Patterns looked at for columns in one round.
MAX_PATTERNS = 4000
#: A column must improve the LP by so much a GPU.
GAIN = 1e-7
#: Float bounds above the GPUs by less prove nothing in integers.
MARGIN = 1e-8


@dataclass(eq=False)
class Targets:
    """Decides whether the LP is feasible at a load; keeps columns, basis and duals in between.

    Parameters
    ----------
    load
        int64 [num_experts].
    num_slots, num_gpus
        Of the node.
    start
        int64 [num_slots], a plan whose GPUs are the first columns, or None.

    Attributes
    ----------
    centre
        float64 [num_experts], the dual values of the best bound at the last target.
    rounds
        So far.
    """

    load: np.ndarray
    num_slots: int
    num_gpus: int
    start: np.ndarray | None
    centre: np.ndarray = field(init=False)
    rounds: int = 0
    _master: Master | None = None
    _best: float = 0.0
    _slowest: float = 0.0
    _deadline: Deadline | None = None
    _last_round: int | None = None

    def begin(self, deadline: Deadline, effort: int | None) -> None:
        """A new budget: a deadline, not looked at where rounds of pricing are counted."""
        self._deadline = deadline if effort is None else None
        self._last_round = None if effort is None else self.rounds + effort

    @property
    def slots_per_gpu(self) -> int:
        return self.num_slots // self.num_gpus

    def decide(self, target: float, window: Window, centre: np.ndarray | None = None) -> str:
        """Whether fractions of patterns of at most `target` fit the GPUs.

        INFEASIBLE and OPEN leave the best dual values in `centre`.

        Parameters
        ----------
        target
            Load of a GPU.
        window
            Counts that experts may have.
        centre
            Dual values to begin with, float64 [num_experts].
        """
        pricer = Pricer(self.load / target, self.num_slots, self.slots_per_gpu, window)
        if not pricer.has_counts:
            self.centre = pricer.fewest.astype(float)
            return INFEASIBLE
        master = self._ready_master(pricer)
        self._recentre(pricer, centre)
        while not self._is_over():
            if self._best > self.num_gpus * (1 + MARGIN):
                return INFEASIBLE
            begin = time.monotonic()
            self.rounds += 1
            master.forget()
            master.optimise(MAX_PIVOTS)
            if not np.isfinite(master.dual).all():
                return OPEN
            if master.value <= self.num_gpus * (1 + GAIN) and master.fits():
                return FEASIBLE
            if not self._add_columns(pricer, master) and not master.optimise(MAX_PIVOTS):
                return INFEASIBLE
            self._slowest = max(self._slowest, time.monotonic() - begin)
        return OPEN

    def _is_over(self) -> bool:
        if self._last_round is not None:
            return self.rounds >= self._last_round
        # A round that may not end in time is not begun.
        return self._deadline is not None and self._deadline.remaining <= self._slowest

    def counts(self) -> np.ndarray:
        """How often the LP takes each expert with each count, float64 [num_experts, most + 1]."""
        master = self._master
        if master is None:
            return np.zeros((len(self.load), 1))
        used = np.flatnonzero(master.basis >= 0)
        column = master.basis[used]
        expert, count = master.expert[column], master.count[column]
        on = (expert >= 0) & (master.level[used] > 0)[:, None]
        taken = np.zeros((len(self.load), int(count.max(initial=0)) + 1))
        level = (master.level[used][:, None] * master.share[column])[on]
        np.add.at(taken, (expert[on], count[on]), level)
        return taken

    def _ready_master(self, pricer: Pricer) -> Master:
        """Without the columns that do not fit; those in the basis leave it by and by."""
        if self._master is None:
            self._master = self._first_master(pricer)
        master = self._master
        held = np.maximum(master.expert, 0)
        unfit = (pricer.load[held] * master.share).sum(axis=1) > FULL
        other = (master.count < pricer.fewest[held]) | (master.count > pricer.most[held])
        master.expel(unfit | (other & (master.expert >= 0)).any(axis=1))
        return master

    def _first_master(self, pricer: Pricer) -> Master:
        """Each expert alone, as often as it fits, and the start's GPUs."""
        size = pricer.load / pricer.fewest
        times = np.clip(FULL / np.maximum(size, 1e-9), 1, self.slots_per_gpu).astype(np.int64)
        master = Master(len(self.load), self.slots_per_gpu, np.stack([pricer.fewest, times], 1))
        if self.start is not None:
            counts = np.bincount(self.start, minlength=len(self.load))
            expert = self.start.reshape(self.num_gpus, -1)
            master.add(expert, counts[expert])
        return master

    def _recentre(self, pricer: Pricer, last: np.ndarray | None) -> None:
        """The best of the values that give the mean, the water level, and a known bound.

        Those of the former two weigh at most 1 in any pattern, by what a target load means.
        """
        self._best = 0.0
        self._look(pricer.load, 1.0)
        self._look(pricer.fewest / self.slots_per_gpu, 1.0)
        if last is not None:
            self._look(last, pricer.price(last, FINE, 0, exact=True).heaviest)

    def _look(self, value: np.ndarray, heaviest: float) -> None:
        """Keep the values if their bound, a weight a GPU at most `heaviest`, is the best."""
        if heaviest > 0 and value.sum() / heaviest > self._best:
            self._best, self.centre = float(value.sum() / heaviest), value / heaviest

    def _add_columns(self, pricer: Pricer, master: Master) -> bool:
        """Price between centre and duals, then at the duals, first coarsely; whether any came."""
        dual = np.maximum(master.dual, 0)
        for length in (COARSE, FINE):
            for smoothing in (SMOOTHING, 0.0):
                value = smoothing * self.centre + (1 - smoothing) * dual
                priced = pricer.price(value, length, self.rounds, exact=length == FINE)
                if length == FINE:
                    self._look(value, priced.heaviest)
                expert, count = priced.patterns(0, MAX_PATTERNS)
                worth = np.where(expert >= 0, dual[expert] / np.maximum(count, 1), 0).sum(axis=1)
                expert, count = expert[worth > 1 + GAIN], count[worth > 1 + GAIN]
                rows = spread(expert, len(self.load))
                if len(rows):
                    master.add(expert[rows], count[rows])
                    return True
        return False
