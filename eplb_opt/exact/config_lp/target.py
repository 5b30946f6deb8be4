"""The configuration LP at one target load after the other, solved in the core within limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eplb_opt.core import config_lp

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline


class CountRange(NamedTuple):
    """The range of counts that each expert may have.

    Parameters
    ----------
    low, high
        int64 [num_experts], the smallest and the largest count of each expert.
    """

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def open(cls, num_experts: int, num_slots: int) -> CountRange:
        """The range of all counts."""
        return cls(np.ones(num_experts, np.int64), np.full(num_experts, num_slots, np.int64))

    def below(self, expert_idx: int, count: int) -> CountRange:
        """The part of the range with at most `count` replicas of an expert."""
        high = self.high.copy()
        high[expert_idx] = count
        return CountRange(self.low, high)

    def above(self, expert_idx: int, count: int) -> CountRange:
        """The part of the range with more than `count` replicas of an expert."""
        low = self.low.copy()
        low[expert_idx] = count + 1
        return CountRange(low, self.high)


@dataclass(eq=False)
class TargetLp:
    """Decides whether the LP is feasible at a target load, within limits of time or work.

    Parameters
    ----------
    load
        int64 [num_experts], the loads in the problem's integer units.
    num_slots, num_gpus
        The slots and GPUs of the flat problem.
    start
        int64 [num_slots], a plan whose GPUs are the first columns, or None.
    """

    load: np.ndarray
    num_slots: int
    num_gpus: int
    start: np.ndarray | None
    _work: config_lp.ColumnGeneration | None = None
    _deadline: Deadline | None = None
    _last_round: int | None = None
    centre: np.ndarray = field(init=False)

    @property
    def rounds(self) -> int:
        """The rounds of pricing so far."""
        return 0 if self._work is None else int(self._work.rounds)

    def begin(self, deadline: Deadline, effort: int | None) -> None:
        """Set new limits: a deadline, or the rounds of pricing that `effort` allows."""
        self._deadline = deadline if effort is None else None
        self._last_round = None if effort is None else self.rounds + effort

    def decide(
        self, target: float, count_range: CountRange, centre: np.ndarray | None = None
    ) -> config_lp.Verdict:
        """Whether fractions of patterns of at most `target` fit the GPUs.

        INFEASIBLE and OPEN leave the best dual values in `centre`.

        Parameters
        ----------
        target
            The load of a GPU.
        count_range
            The counts that experts may have.
        centre
            float64 [num_experts], the dual values to begin with, or None.
        """
        if self._work is None:
            self._work = config_lp.ColumnGeneration(
                self.load, self.num_slots, self.num_gpus, self.start
            )
        verdict = self._work.decide(
            target,
            count_range.low,
            count_range.high,
            centre,
            seconds=np.inf if self._deadline is None else self._deadline.remaining,
            rounds=None if self._last_round is None else self._last_round - self.rounds,
        )
        self.centre = self._work.centre
        return verdict

    def counts(self) -> np.ndarray:
        """How the LP mixes the counts of each expert, float64 [num_experts, largest count + 1]."""
        if self._work is None:
            return np.zeros((len(self.load), 1))
        taken: np.ndarray = self._work.division()
        return taken
