"""The rows that a call with a plan in force answers with, whatever fails on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.migration.naming import in_kept_slots, renamed
from eplb_opt.migration.near_plans import Faults, FrontPoint, find_frontiers, frontier_ends

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from eplb_opt.clock import Budget
    from eplb_opt.migration.limits import MoveLimits
    from eplb_opt.placement.plan import Plan
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class NearAnswer:
    """Near plans as the limits ask, or the best plan under the names of the one in force.

    Parameters
    ----------
    problem, current, limits
        The problem, the plan in force and the limits on moves; the plan in force is valid where a
        limit is given.
    best
        int64 [num_layers, num_slots], the best plan found without limits.
    worth
        [num_layers], the exact objectives of the plan in force and of the best; where they are
        known.
    naming
        Seconds that renaming all GPUs takes.
    """

    problem: Problem
    current: Plan
    limits: MoveLimits
    best: np.ndarray
    worth: Sequence[tuple[Fraction, Fraction]] | None
    naming: float

    def rows(self, budget: Budget) -> tuple[np.ndarray, list[str]]:
        """Rows that keep the limits, int64 [num_layers, num_slots], and what went wrong.

        Where the search for near plans fails, each layer has the plan in force or the best one.
        """
        messages: list[str] = []
        for find in self._near, self._ends_alone:
            try:
                return find(budget, messages), messages
            except Exception as error:  # what fails here never costs the caller the answer
                messages.append(f"near plans failed: {type(error).__name__}: {error}")
        held = self.current.physical_to_logical
        must_stay = self.limits.max_moves is not None or self.limits.cost is not None
        return (held if must_stay else self.best).copy(), messages

    def _near(self, budget: Budget, messages: list[str]) -> np.ndarray:
        if not self.limits.is_given:
            ends = self.current, self.best
            return renamed(self.problem, *ends, budget.deadline, self.worth, self.limits.price)
        faults = Faults()
        frontiers = find_frontiers(
            self.problem,
            self.current,
            self.best,
            budget,
            self.worth,
            self.naming,
            faults,
            self.limits.tolerance,
            self.limits.price,
        )
        messages += faults.messages
        return self._chosen(frontiers)

    def _ends_alone(self, budget: Budget, messages: list[str]) -> np.ndarray:
        if not self.limits.is_given:
            return in_kept_slots(self.problem, self.current, self.best)
        ends = self.current, self.best, self.worth
        return self._chosen(frontier_ends(self.problem, *ends, self.limits.price))

    def _chosen(self, frontiers: Sequence[list[FrontPoint]]) -> np.ndarray:
        return np.array([point.placed for point in self.limits.choose(self.problem, frontiers)])
