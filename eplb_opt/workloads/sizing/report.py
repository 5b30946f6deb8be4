"""What a sweep over sizes found and proved."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.problem.rounding import round_down, round_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.problem.problem import Problem
    from eplb_opt.result import Result
    from eplb_opt.workloads.sizing.sizes import Size


class TargetStatus(StrEnum):
    """What is known of a size and the balancedness asked for."""

    MEETS = "meets"  # a plan reaches it
    CANNOT = "cannot"  # proven: no plan of this size does
    OPEN = "open"  # no plan found does, and none is proven impossible
    NONE = ""  # nothing was asked for


@dataclass(frozen=True)
class HeldOut:
    """What a size is worth on a workload that its plan was not made for.

    Parameters
    ----------
    name
        The workload's name.
    static
        Balancedness of the plan made for the planned-for loads.
    replanned
        Balancedness of a plan made for this workload itself, in the same time.
    best_possible
        No plan of this size has more on this workload, proven.
    """

    name: str
    static: float
    replanned: float
    best_possible: float


@dataclass(frozen=True, eq=False)
class SizeRow:
    """One size under one dispatch: a plan, and what no plan can undercut.

    Parameters
    ----------
    size
        Slots and GPUs.
    dispatch
        How tokens are split over an expert's replicas.
    result
        The result of planning this size; None where it cannot be planned, and `problem` says why.
    held_out
        Its worth on other workloads.
    problem
        Why there is no result; "" otherwise.
    """

    size: Size
    dispatch: str
    result: Result | None = field(repr=False)
    held_out: tuple[HeldOut, ...] = ()
    problem: str = ""

    @property
    def in_seconds(self) -> bool:
        """Whether the plan was made for the seconds of a step."""
        return self.result is not None and self.result.problem.counts_seconds

    @cached_property
    def objective(self) -> float:
        """The layers' largest GPU loads, summed; with scenarios over the means, averaged.

        With a cost the seconds of the slowest GPUs, summed. NaN without a result, as are the other
        figures.
        """
        return self._summed("objective")

    @cached_property
    def lower_bound(self) -> float:
        """What no plan of this size is below, proven; counted as the objective."""
        return self._summed("lower_bound")

    @cached_property
    def balancedness(self) -> float:
        """Summed mean GPU loads over summed largest ones, rounded down; NaN where costs count.

        More slots raise the mean of the seconds too, so that their balancedness says nothing.
        """
        return self._balance[0]

    @cached_property
    def best_possible(self) -> float:
        """No plan of this size has a higher balancedness, proven; rounded up. NaN with a cost."""
        return self._balance[1]

    def target_status(self, target: float | None) -> TargetStatus:
        """Whether the size reaches a balancedness."""
        if target is None or self.result is None:
            return TargetStatus.NONE
        if self.balancedness >= target:
            return TargetStatus.MEETS
        return TargetStatus.CANNOT if self.best_possible < target else TargetStatus.OPEN

    @cached_property
    def _balance(self) -> tuple[float, float]:
        if self.result is None or self.result.problem.has_cost:
            return np.nan, np.nan
        return balance(self.result)

    def _summed(self, name: str) -> float:
        if self.result is None:
            return np.nan
        values = getattr(self.result, name)
        return float(values.mean() if self.result.problem.has_scenarios else values.sum())


@dataclass(frozen=True, eq=False)
class SizeReport:
    """The sizes swept.

    Parameters
    ----------
    rows
        One row for each size, dispatch by dispatch, GPU count by GPU count, the fewest slots first.
    num_layers, num_experts
        MoE layers of the model, and logical experts of each.
    has_scenarios
        Whether the plans serve several loads; objectives are then over the mean GPU load.
    target
        Balancedness that is asked for, or None.
    expert_bytes
        Weights of an expert in a layer, or None.
    """

    rows: tuple[SizeRow, ...]
    num_layers: int
    num_experts: int
    has_scenarios: bool = False
    target: float | None = None
    expert_bytes: int | None = None

    @property
    def in_seconds(self) -> bool:
        """Whether the plans were made for the seconds of a step."""
        return any(row.in_seconds for row in self.rows)

    @property
    def dispatches(self) -> list[str]:
        """Ways of dispatch among the rows, in their order."""
        return list(dict.fromkeys(row.dispatch for row in self.rows))

    @property
    def gpu_counts(self) -> list[int]:
        """GPU counts among the rows, in their order."""
        return list(dict.fromkeys(row.size.num_gpus for row in self.rows))

    @property
    def held_out_names(self) -> list[str]:
        """Names of the workloads that no plan has seen, in their order."""
        return list(dict.fromkeys(score.name for row in self.rows for score in row.held_out))

    def of(self, dispatch: str, num_gpus: int) -> list[SizeRow]:
        """The planned sizes of one GPU count, the fewest slots first."""
        rows = [row for row in self.rows if row.dispatch == dispatch and row.result is not None]
        return [row for row in rows if row.size.num_gpus == num_gpus]

    def smallest(self, dispatch: str) -> SizeRow | None:
        """The size with the fewest slots, then GPUs, whose plan meets the target."""
        meeting = [
            row
            for row in self.rows
            if row.dispatch == dispatch and row.target_status(self.target) == TargetStatus.MEETS
        ]
        return min(meeting, key=lambda row: row.size, default=None)

    def fastest(self, dispatch: str) -> SizeRow | None:
        """The size whose plan has the least objective, the fewest slots among equals."""
        rows = [row for row in self.rows if row.dispatch == dispatch and row.result is not None]
        return min(rows, key=lambda row: (row.objective, row.size), default=None)

    def is_proven_fastest(self, row: SizeRow) -> bool:
        """Whether no plan of another size of the sweep can have a smaller objective."""
        others = [
            other
            for other in self.rows
            if other.dispatch == row.dispatch and other is not row and other.result is not None
        ]
        return all(other.lower_bound >= row.objective for other in others)

    def smallest_held_out(self, dispatch: str) -> SizeRow | None:
        """The like, whose plan meets the target on every held-out workload, unseen."""
        wanted = [row for row in self.rows if row.dispatch == dispatch and row.held_out]
        meeting = [
            row
            for row in wanted
            if self.target is not None
            and min(score.static for score in row.held_out) >= self.target
        ]
        return min(meeting, key=lambda row: row.size, default=None)

    def is_proven_smallest(self, row: SizeRow) -> bool:
        """Whether every smaller size of the sweep provably misses the target."""
        smaller = [
            other
            for other in self.rows
            if other.dispatch == row.dispatch and other.size < row.size and other.result is not None
        ]
        return all(other.target_status(self.target) == TargetStatus.CANNOT for other in smaller)

    def is_pareto_optimal(self, row: SizeRow) -> bool:
        """Whether no size with at most its slots and GPUs has a plan as good, or fewer of them."""
        return row.result is not None and not any(
            _dominates(other, row) for other in self.rows if other.dispatch == row.dispatch
        )

    def memory(self, size: Size) -> int:
        """What one GPU holds: experts, over all layers; or bytes where `expert_bytes` is known."""
        return size.slots_per_gpu * self.num_layers * (self.expert_bytes or 1)


def _dominates(other: SizeRow, row: SizeRow) -> bool:
    if other.result is None or other is row:
        return False
    ours = (row.size.num_slots, row.size.num_gpus, row.objective)
    theirs = (other.size.num_slots, other.size.num_gpus, other.objective)
    return all(a <= b for a, b in zip(theirs, ours, strict=True)) and theirs != ours


def balance(result: Result) -> tuple[float, float]:
    """Balancedness of the whole model: reached, rounded down, and proven possible, rounded up."""
    reached = exact_balance(result.problem, [pair.objective for pair in result.bounds])
    possible = exact_balance(result.problem, [pair.lower for pair in result.bounds], lacking=True)
    return round_down(reached), round_up(possible)


def exact_balance(
    problem: Problem, largest: Sequence[Fraction], *, lacking: bool = False
) -> Fraction:
    """Summed mean GPU loads over summed largest ones, at most 1; 1 without load.

    Parameters
    ----------
    problem
        The problem whose loads are balanced; with scenarios a layer's mean counts as 1, as in its
        objective.
    largest
        [num_layers], in the problem's units.
    lacking
        Loads that were rounded down as they came in count with all that they may lack: in the mean
        where True, so that the figure is never below the truth; else in the largest load.
    """
    units = [problem.unit(layer_idx) for layer_idx in range(problem.num_layers)]
    means = [Fraction(1)] * problem.num_layers
    if not problem.has_scenarios:
        less = problem.rounded.tolist()
        add = [problem.num_experts * short if lacking else 0 for short in less]
        totals = zip(problem.load.sum(axis=1).tolist(), add, strict=True)
        means = [(total + more) / problem.capacity for total, more in totals]
        slow = problem.slots_per_gpu / min(problem.speed)
        largest = [
            peak + (0 if lacking else short * slow)
            for peak, short in zip(largest, less, strict=True)
        ]
    mean = sum((m * u for m, u in zip(means, units, strict=True)), Fraction(0))
    peak = sum((p * u for p, u in zip(largest, units, strict=True)), Fraction(0))
    return min(Fraction(1), mean / peak) if peak else Fraction(1)
