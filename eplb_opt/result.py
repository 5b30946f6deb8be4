"""What a call found and what it proved; the two cannot contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement import homes, scoring, step_time
from eplb_opt.placement.caller_units import (
    balancedness,
    bound_in_caller_units,
    objective_in_caller_units,
)
from eplb_opt.problem.rounding import ratio_up, round_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.bounds.bounds import Bound
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.placement.plan import Plan
    from eplb_opt.problem.problem import Problem


class Status(StrEnum):
    """What is known of a layer's plan."""

    OPTIMAL = "optimal"  #: Proven: the bound equals the objective.
    FEASIBLE = "feasible"  #: Something stronger than a heuristic has worked on it.
    HEURISTIC = "heuristic"  #: There was no time, or no means, to improve on it.


class StopReason(StrEnum):
    """Why the call ended."""

    OPTIMAL = "optimal"  #: Every layer is proven optimal.
    TARGET_GAP = "target_gap"  #: The gap that was asked for is reached.
    NEGLIGIBLE = "negligible_gap"  #: Every layer is within half a token of its bound.
    TIME_LIMIT = "time_limit"  #: The time is up.
    REQUEST = "request"  #: The caller set `stop`.
    EFFORT = "effort"  #: The counted work is done.
    EXHAUSTED = "exhausted"  #: No solver had anything left to try.


@dataclass(frozen=True)
class ObjectiveBounds:
    """Largest GPU load of a layer and its proven lower bound, exact.

    Parameters
    ----------
    objective, lower
        The load and the bound, in the problem's integer units.

    Raises
    ------
    ValueError
        When the bound exceeds the objective: one of them would be false.
    """

    objective: Fraction
    lower: Fraction

    def __post_init__(self) -> None:
        if self.lower > self.objective:
            raise ValueError(f"lower bound {self.lower} exceeds the objective {self.objective}.")

    @cached_property
    def is_closed(self) -> bool:
        """Whether the optimum is proven: the bound equals the objective."""
        return self.lower == self.objective

    @cached_property
    def gap(self) -> float:
        """Objective over bound, less 1, rounded up; 0 where equal, infinity for a bound of 0."""
        if self.is_closed:
            return 0.0
        if not self.lower:
            return np.inf
        above, below = self.objective.as_integer_ratio(), self.lower.as_integer_ratio()
        whole = below[0] * above[1]
        return ratio_up(above[0] * below[1] - whole, whole)


@dataclass(frozen=True)
class HistoryPoint:
    """The state of the whole model at some moment.

    Parameters
    ----------
    seconds
        Seconds since the call.
    stage
        Name of the stage that had just ended.
    objective, lower_bound
        Sums over the layers, in the caller's unit.
    start_objective
        Where the stage was a warm start: what that plan alone is worth, summed over the layers, in
        the caller's unit; else None. `Result.starts` has it layer by layer.
    """

    seconds: float
    stage: str
    objective: float
    lower_bound: float
    start_objective: float | None = None

    @property
    def gap(self) -> float:
        """The gap of the whole model; infinity while nothing is proven."""
        if self.objective <= self.lower_bound:
            return 0.0
        return self.objective / self.lower_bound - 1 if self.lower_bound else np.inf


@dataclass(frozen=True, eq=False)
class StartResult:
    """What a warm start was worth, and what the search made of it.

    Parameters
    ----------
    name
        A heuristic's name, a file's, "current" for the plan in force, or "start 0" and so on.
    seconds
        What making, checking and scoring it took.
    exact
        The objective of each layer, exact, in the problem's integer units.
    objective
        The same in the caller's unit, float64 [num_layers], rounded up.
    num_best
        Layers whose search began with this start: it was the best of all, and the first of equals.
    gap
        Sum of its objectives over the sum of the proven bounds, less 1.
    share_closed
        The part of that gap that the answer has closed, at most 1 and negative where limits on
        moves made the answer worse than the start; None where the start had no gap.
    """

    name: str
    seconds: float
    exact: tuple[Fraction, ...] = field(repr=False)
    objective: np.ndarray = field(repr=False)
    num_best: int
    gap: float
    share_closed: float | None


@dataclass(frozen=True, eq=False)
class LayerResult:
    """What is known of one layer.

    Parameters
    ----------
    bounds
        Objective and proven lower bound, in the problem's integer units.
    status
        What is known of the plan; see `Status`.
    bound_source
        Name of the bound that holds.
    certificate
        A certificate that proves the bound again without a solver, or None: mean, water level and
        hierarchy need none, and an exact solver's last word has none.
    moves
        Slots whose expert is new on its GPU, or None without a plan in force.
    moves_across
        Those of them whose expert is new on its node, too.
    reason
        Why the layer is not proven optimal, in words; empty where it is.
    """

    bounds: ObjectiveBounds
    status: Status
    bound_source: str
    certificate: Certificate | None = None
    moves: int | None = None
    moves_across: int | None = None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Result:
    """A checked plan with what is proven about it.

    Parameters
    ----------
    plan
        The plan, which has passed the independent checker.
    problem
        The problem that was planned.
    layers
        What is known of each layer.
    stop_reason
        Why the call ended; see `StopReason`.
    elapsed
        Seconds from the call to the return.
    messages
        Sentences on what went wrong without costing the answer: a missing package, a solver's
        fault; and why layers are as the heuristics left them.
    history
        The incumbent and the bound over time; it begins with the warm starts.
    noise
        Size of the noise that the plan was made to withstand under optimal dispatch, see `plan`;
        None for the uniform split.
    relied_on
        Solvers and their versions, as "ortools 9.15.6755", that were asked on the way: with
        `effort` the same answer comes back where these are the same.
    starts
        The warm starts in the order in which they were tried; the first is the compiled greedy.
    """

    plan: Plan
    problem: Problem
    layers: tuple[LayerResult, ...]
    stop_reason: str
    elapsed: float
    messages: tuple[str, ...] = ()
    history: tuple[HistoryPoint, ...] = field(default=(), repr=False)
    noise: float | None = None
    relied_on: tuple[str, ...] = ()
    starts: tuple[StartResult, ...] = field(default=(), repr=False)

    @property
    def bounds(self) -> tuple[ObjectiveBounds, ...]:
        """Objective and lower bound of each layer, exact, in the problem's integer units."""
        return tuple(layer.bounds for layer in self.layers)

    @property
    def status(self) -> list[str]:
        """What is known of each layer's plan; see `Status`."""
        return [str(layer.status) for layer in self.layers]

    @property
    def bound_source(self) -> list[str]:
        """Which bound proved each layer's."""
        return [layer.bound_source for layer in self.layers]

    @property
    def reasons(self) -> list[str]:
        """Why each layer is not proven optimal, in words; empty for one that is."""
        return [layer.reason for layer in self.layers]

    @property
    def certificates(self) -> tuple[Certificate | None, ...]:
        """What proves each layer's bound again without a solver, where there is something."""
        return tuple(layer.certificate for layer in self.layers)

    @property
    def moves(self) -> np.ndarray | None:
        """Slots whose expert is new on its GPU, int64 [num_layers]; None without a current plan."""
        moved = [layer.moves for layer in self.layers if layer.moves is not None]
        return np.array(moved, dtype=np.int64) if len(moved) == len(self.layers) else None

    @property
    def moves_across(self) -> np.ndarray | None:
        """Moves to a node on which the expert did not stand, int64 [num_layers]; like `moves`."""
        moved = [layer.moves_across for layer in self.layers if layer.moves_across is not None]
        return np.array(moved, dtype=np.int64) if len(moved) == len(self.layers) else None

    @property
    def objective(self) -> np.ndarray:
        """The largest GPU load, float64 [num_layers], caller's unit, rounded up.

        With scenarios what they make together, with a topology what load and price do, with costs
        the largest GPU seconds; see `Problem`.
        """
        return objective_in_caller_units(self.problem, [b.objective for b in self.bounds])

    @property
    def lower_bound(self) -> np.ndarray:
        """The proven lower bound, float64 [num_layers], caller's unit, rounded down."""
        return bound_in_caller_units(self.problem, [b.lower for b in self.bounds])

    @property
    def gap(self) -> np.ndarray:
        """Objective over bound, less 1, float64 [num_layers]; exactly 0 where they are equal."""
        return layer_gaps(self.bounds)

    @property
    def model_gap(self) -> float:
        """Sum of the objectives over the sum of the bounds, less 1; 0 where all are equal."""
        return model_gap(self.problem, self.bounds)

    @property
    def balancedness(self) -> np.ndarray:
        """Mean over largest GPU load, float64 [num_layers]; 1 for a layer without load.

        With scenarios one over the objective: the harmonic mean of theirs, or the worst. With a
        topology it is of the load alone, with costs of the GPUs' seconds.
        """
        if self.problem.has_cost:
            return step_time.balancedness(self.problem, self.plan.physical_to_logical)
        if self.problem.has_topology:
            ratios = scoring.load_ratios(self.problem, self.plan.physical_to_logical)
            return np.array([float(1 / ratio) for ratio in ratios])
        return balancedness(self.problem, [b.objective for b in self.bounds])

    @cached_property
    def homes(self) -> np.ndarray | None:
        """The home node of each expert, int64 [num_layers, num_experts]; None without a topology.

        Those of the problem or, where it has none, those that go with the plan. None as well where
        every GPU sends an expert's tokens to one replica: no node is an expert's home then.
        """
        if not self.problem.has_topology or self.problem.splits_by_sender:
            return None
        return homes.homes_of(self.problem, self.plan.physical_to_logical)

    @cached_property
    def off_home(self) -> np.ndarray | None:
        """The share of assignments that replicas off home serve, float64 [num_layers], rounded up.

        Where every GPU sends an expert's tokens to one replica, the share of assignments that cross
        nodes. With scenarios the weighted mean of theirs, or the largest where the worst counts.
        None without a topology.
        """
        if not self.problem.has_topology:
            return None
        shares = homes.off_home(self.problem, self.plan.physical_to_logical)
        return np.array([round_up(share) for share in shares])

    @cached_property
    def scenario_off_home(self) -> np.ndarray | None:
        """`off_home` of every scenario, float64 [num_scenarios, num_layers]; else one row."""
        if not self.problem.has_topology:
            return None
        shares = homes.scenario_off_home(self.problem, self.plan.physical_to_logical)
        return np.array([[round_up(share) for share in row] for row in shares])

    def move_bytes(self, expert_bytes: int) -> np.ndarray | None:
        """Bytes that the moves send.

        Parameters
        ----------
        expert_bytes
            Bytes of the weights of one expert in one layer.

        Returns
        -------
        ndarray or None
            int64 [num_layers]; None without a current plan.
        """
        return None if self.moves is None else self.moves * expert_bytes

    @cached_property
    def scenario_balancedness(self) -> np.ndarray:
        """Balancedness of every scenario, float64 [num_scenarios, num_layers]; else one row."""
        if not self.problem.has_scenarios:
            return self.balancedness[None, :]
        ratios = scoring.scenario_ratios(self.problem, self.plan.physical_to_logical)
        return np.array([[float(1 / ratio) for ratio in row] for row in ratios])


def layer_gaps(pairs: Sequence[ObjectiveBounds]) -> np.ndarray:
    """Objective over bound, less 1, float64 [num_layers]; exactly 0 where they are equal."""
    return np.array([pair.gap for pair in pairs])


def model_gap(problem: Problem, pairs: Sequence[ObjectiveBounds]) -> float:
    """Sum of the objectives over the sum of the bounds, less 1, from exact sums rounded up."""
    units = [problem.unit(layer_idx) for layer_idx in range(problem.num_layers)]
    objective = sum((p.objective * u for p, u in zip(pairs, units, strict=True)), Fraction(0))
    lower = sum((p.lower * u for p, u in zip(pairs, units, strict=True)), Fraction(0))
    return ObjectiveBounds(objective, lower).gap


def objective_bounds(objective: list[Fraction], lower: list[Bound]) -> tuple[ObjectiveBounds, ...]:
    """Pair the layers' objectives with their bounds."""
    return tuple(
        ObjectiveBounds(peak, bound.value) for peak, bound in zip(objective, lower, strict=True)
    )
