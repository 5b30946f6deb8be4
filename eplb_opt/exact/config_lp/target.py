"""The configuration LP of one target load after the other: the compiled work, and its budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eplb_opt.core import config_lp

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline


class Window(NamedTuple):
    """Counts that experts may have, from `low` to `high`, int64 [num_experts] each."""

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def open(cls, num_experts: int, num_slots: int) -> Window:
        """All counts."""
        return cls(np.ones(num_experts, np.int64), np.full(num_experts, num_slots, np.int64))

    def below(self, expert_idx: int, count: int) -> Window:
        """At most so many of an expert."""
        high = self.high.copy()
        high[expert_idx] = count
        return Window(self.low, high)

    def above(self, expert_idx: int, count: int) -> Window:
        """More than so many of an expert."""
        low = self.low.copy()
        low[expert_idx] = count + 1
        return Window(low, self.high)


@dataclass(eq=False)
class Targets:
    """Decides whether the LP is feasible at a load, within a budget.

    Parameters
    ----------
    load
        int64 [num_experts].
    num_slots, num_gpus
        Of the node.
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
        """Rounds of pricing so far."""
        return 0 if self._work is None else int(self._work.rounds)

    def begin(self, deadline: Deadline, effort: int | None) -> None:
        """A new budget: a deadline, not looked at where rounds of pricing are counted."""
        self._deadline = deadline if effort is None else None
        self._last_round = None if effort is None else self.rounds + effort

    def decide(
        self, target: float, window: Window, centre: np.ndarray | None = None
    ) -> config_lp.Verdict:
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
        if self._work is None:
            self._work = config_lp.ColumnGeneration(
                self.load, self.num_slots, self.num_gpus, self.start
            )
        verdict = self._work.decide(
            target,
            window.low,
            window.high,
            centre,
            seconds=np.inf if self._deadline is None else self._deadline.remaining,
            rounds=None if self._last_round is None else self._last_round - self.rounds,
        )
        self.centre = self._work.centre
        return verdict

    def counts(self) -> np.ndarray:
        """How often the LP takes each expert with each count, float64 [num_experts, most + 1]."""
        if self._work is None:
            return np.zeros((len(self.load), 1))
        taken: np.ndarray = self._work.division()
        return taken
