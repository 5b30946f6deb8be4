"""A memory budget, spread over the layers unevenly.

Layers differ in what a slot buys them. Where an engine gives every layer its own number of slots,
the same memory lowers the sum of the largest GPU loads further.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.rounding import round_down, round_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.workloads.sizing.report import SizeReport, SizeRow

#: Sums over the layers stay below 2 to this in fixed point, so that int64 holds them.
SUM_BITS = 60


@dataclass(frozen=True, eq=False)
class Spread:
    """Slots for each layer, within a budget.

    Parameters
    ----------
    budget
        Slots over all layers and GPUs that may be used.
    rows
        [num_layers], the planned size that each layer takes.
    objective
        The layers' largest GPU loads, summed (with scenarios averaged), rounded up. No choice
        among the plans found is better by more than num_layers * 2**-SUM_BITS of it.
    lower_bound
        No spread of the budget over the sizes that were planned is below it, whatever its plans;
        proven, rounded down.
    """

    budget: int
    rows: tuple[SizeRow, ...]
    objective: float
    lower_bound: float

    @property
    def num_slots(self) -> np.ndarray:
        """Slots of each layer, int64 [num_layers]."""
        return np.array([row.size.num_slots for row in self.rows], dtype=np.int64)

    @property
    def physical_to_logical(self) -> list[np.ndarray]:
        """The plan of each layer, [num_layers][its slots]."""
        planned = [row.result for row in self.rows]
        return [
            result.plan.physical_to_logical[layer_idx]
            for layer_idx, result in enumerate(planned)
            if result is not None
        ]


def spread_sizes(report: SizeReport, dispatch: str, num_gpus: int) -> list[Spread]:
    """For every planned size of a GPU count, the best uneven use of the same memory."""
    rows = report.of(dispatch, num_gpus)
    return spread_budgets(rows, [row.size.num_slots * report.num_layers for row in rows])


def spread_budgets(rows: Sequence[SizeRow], budgets: Sequence[int]) -> list[Spread]:
    """The best use of each budget: exact over the plans found, and proven against any plan.

    Parameters
    ----------
    rows
        Planned sizes of one GPU count under one dispatch, the fewest slots first.
    budgets
        Slots over all layers and GPUs, at least one.

    Raises
    ------
    ProblemError
        When nothing was planned, or a budget is below the smallest size in every layer.
    """
    results = [row.result for row in rows if row.result is not None]
    if not results or len(results) != len(rows) or not budgets:
        raise ProblemError("A spread needs a budget and sizes that have been planned.")
    problem, least = results[0].problem, rows[0].size
    if min(budgets) < least.num_slots * problem.num_layers:
        raise ProblemError(
            f"a budget of {min(budgets)} slots does not give {problem.num_layers} layers the "
            f"{least.num_slots} slots that the smallest size has; take "
            f"{least.num_slots * problem.num_layers} or more."
        )
    upper = _fixed(np.array([result.objective for result in results]), np.ceil)
    lower = _fixed(np.array([result.lower_bound for result in results]), np.floor)
    extra = np.array([row.size.slots_per_gpu - least.slots_per_gpu for row in rows])
    most = int(extra[-1]) * problem.num_layers
    steps = [
        min(most, budget // least.num_gpus - least.slots_per_gpu * problem.num_layers)
        for budget in budgets
    ]
    plans, bounds = _Table(upper[0], extra, max(steps)), _Table(lower[0], extra, max(steps))
    part = problem.num_layers if problem.has_scenarios else 1
    spreads = []
    for budget, step in zip(budgets, steps, strict=True):
        chosen = plans.chosen(step)
        found = [Fraction(results[i].objective[layer]) for layer, i in enumerate(chosen)]
        proven = Fraction(int(bounds.best[-1][step])) / Fraction(2) ** lower[1]
        spreads.append(
            Spread(
                budget,
                tuple(rows[i] for i in chosen),
                round_up(sum(found, Fraction(0)) / part),
                round_down(proven / part),
            )
        )
    return spreads


class _Table:
    """The least sum of the first layers' values, for every number of steps that they may take.

    A layer adds the least, over its sizes, of that size's value and the best of the layers before
    with the steps left. That is exact whatever the shape of the curves.

    Parameters
    ----------
    value
        int64 [num_sizes, num_layers], not negative.
    extra
        int64 [num_sizes], steps that each size takes, ascending from 0.
    most
        Steps to look at.
    """

    def __init__(self, value: np.ndarray, extra: np.ndarray, most: int) -> None:
        self.extra = extra
        self.best = [np.zeros(most + 1, dtype=np.int64)]
        self.size_idx: list[np.ndarray] = []
        out_of_reach = np.iinfo(np.int64).max
        for layer_value in value.T:
            candidates = np.full((len(extra), most + 1), out_of_reach)
            for size_idx, taken in enumerate(extra.tolist()):
                if taken <= most:
                    left = self.best[-1][: most + 1 - taken]
                    candidates[size_idx, taken:] = left + layer_value[size_idx]
            self.size_idx.append(candidates.argmin(axis=0))
            self.best.append(candidates.min(axis=0))

    def chosen(self, steps: int) -> list[int]:
        """The size of each layer, [num_layers], where so many steps may be taken."""
        picked = []
        for sizes in reversed(self.size_idx):
            picked.append(int(sizes[steps]))
            steps -= int(self.extra[picked[-1]])
        return picked[::-1]


def _fixed(value: np.ndarray, rounding: np.ufunc) -> tuple[np.ndarray, int]:
    """Values as integers of a power of two, and its exponent; the power itself rounds nothing."""
    total = float(value.max(axis=0).sum())
    shift = SUM_BITS - math.frexp(total)[1]
    return rounding(np.ldexp(value, shift)).astype(np.int64), shift
