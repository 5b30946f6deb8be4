"""The gap report: every plan against the proven bound, and what each constraint costs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bounds.bounds import Bound
from eplb_opt.errors import PlanError
from eplb_opt.placement.caller_units import balancedness, objective_in_caller_units
from eplb_opt.placement.dispatch_rules import nearest_copy_objectives
from eplb_opt.planner.evaluate import Evaluation, evaluate
from eplb_opt.report.step_time import drawn_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eplb_opt.problem.problem import Problem
    from eplb_opt.report.prices import ConstraintPrice
    from eplb_opt.report.steps import BatchNoise
    from eplb_opt.result import Result


@dataclass(frozen=True, eq=False)
class GapRow:
    """One plan against the proven bound.

    Parameters
    ----------
    name
        A heuristic's name, a file's, or ours.
    model_gap, worst_gap, median_gap
        Objective over bound, less 1: of the summed layers, of the worst and of the middle one.
    worst_layer
        Index of the worst layer.
    balancedness
        Mean GPU load over largest GPU load, summed layers.
    nearest_copy
        The balancedness when every GPU sends to its nearest copy instead of an equal part to
        each: see `dispatch_rules`.
    layers_optimal
        Layers whose objective equals the bound: proven optimal.
    seconds
        The time the plan took to make; None where it was given.
    problem
        Why there are no figures, where the plan breaks a rule; "" otherwise.
    kind
        "ours", "given" or "heuristic".
    drawn
        With a `StepCost`: the mean over the layers of what the slowest GPU takes in drawn steps, in
        seconds; not a number without one.
    layer_objective, layer_gap
        float64 [num_layers], see `Evaluation`; None where there are no figures.
    """

    name: str
    model_gap: float = np.nan
    worst_gap: float = np.nan
    median_gap: float = np.nan
    worst_layer: int = -1
    balancedness: float = np.nan
    nearest_copy: float = np.nan
    layers_optimal: int = 0
    seconds: float | None = None
    problem: str = ""
    kind: str = "given"
    drawn: float = np.nan
    layer_objective: np.ndarray | None = None
    layer_gap: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class GapReport:
    """Every plan against the proven bound, and what each constraint costs.

    Parameters
    ----------
    rows
        One row for each plan, from the best to the worst, failures last.
    prices
        One a constraint.
    lower_bound, objective
        float64 [num_layers], the proven bounds and what our plan is worth.
    status, bound_source
        One a layer, see `Result`.
    in_seconds
        Whether objectives and bounds are seconds, and no loads.
    noise
        What a gap must be above to be felt in a step; None where no batch size is known.
    """

    rows: list[GapRow]
    prices: list[ConstraintPrice]
    lower_bound: np.ndarray
    objective: np.ndarray
    status: list[str]
    bound_source: list[str]
    in_seconds: bool = False
    noise: BatchNoise | None = None

    @property
    def ours(self) -> GapRow:
        """The row of our own plan."""
        return next(row for row in self.rows if row.kind == "ours")

    @property
    def worst_first(self) -> list[int]:
        """Layers from our plan's largest gap to its least, the heavier of two alike first."""
        gap = np.asarray(self.ours.layer_gap)
        return [int(i) for i in np.lexsort((-self.objective, -gap))]


def gap_report(
    problem: Problem,
    result: Result,
    *,
    plans: Mapping[str, Any],
    heuristics: Mapping[str, Callable[..., Any]],
    prices: Sequence[ConstraintPrice] = (),
) -> GapReport:
    """Score every plan and heuristic against the bounds of a result.

    Parameters
    ----------
    problem
        Loads and topology.
    result
        The result of planning the problem: our row, and the proven bounds of all rows.
    plans
        Name -> a Plan or [num_layers, num_slots] ids; one that breaks a rule gets a row saying so.
    heuristics
        Name -> a call without arguments that returns such ids; each is timed after a first call.
    prices
        What each constraint costs, from `constraint_prices`.
    """
    bounds = proven_bounds(result)
    rows = [_row("eplb-opt", problem, result.plan, bounds, result.elapsed, "ours")]
    rows += [_row(name, problem, plan, bounds, None, "given") for name, plan in plans.items()]
    rows += [_heuristic_row(name, problem, make, bounds) for name, make in heuristics.items()]
    rows.sort(key=lambda row: (np.isnan(row.model_gap), row.model_gap))
    return GapReport(
        rows,
        list(prices),
        result.lower_bound,
        result.objective,
        result.status,
        result.bound_source,
        problem.counts_seconds,
    )


def proven_bounds(result: Result) -> list[Bound]:
    """What a result has proven, as `evaluate` takes it, one a layer."""
    return [
        Bound(pair.lower, source)
        for pair, source in zip(result.bounds, result.bound_source, strict=True)
    ]


def _heuristic_row(
    name: str, problem: Problem, make: Callable[..., Any], bounds: list[Bound]
) -> GapRow:
    try:
        make()  # the first call loads packages and compiles
        began = time.perf_counter()
        plan = make()
        seconds = time.perf_counter() - began
    except (ImportError, ValueError) as error:
        return GapRow(name, problem=str(error), kind="heuristic")
    return _row(name, problem, plan, bounds, seconds, "heuristic")


def _row(
    name: str, problem: Problem, plan: Any, bounds: list[Bound], seconds: float | None, kind: str
) -> GapRow:
    try:
        score = evaluate(problem, plan, bounds)
        scored = replace(
            _scored(score), nearest_copy=_nearest_copy(problem, plan), drawn=_drawn(problem, plan)
        )
    except PlanError as error:
        return GapRow(name, seconds=seconds, problem=str(error), kind=kind)
    return replace(scored, name=name, seconds=seconds, kind=kind)


def _drawn(problem: Problem, plan: Any) -> float:
    return float(drawn_seconds(problem, plan).mean()) if problem.counts_seconds else np.nan


def _nearest_copy(problem: Problem, plan: Any) -> float:
    """The balancedness under nearest copy; not a number where seconds count, not loads."""
    if problem.has_cost:
        return np.nan
    near = nearest_copy_objectives(problem, plan)
    nearest = objective_in_caller_units(problem, near)
    return model_balancedness(balancedness(problem, near), nearest)


def _scored(score: Evaluation) -> GapRow:
    return GapRow(
        name="",
        model_gap=score.model_gap,
        worst_gap=float(score.gap.max()),
        median_gap=float(np.median(score.gap)),
        worst_layer=int(score.gap.argmax()),
        balancedness=model_balancedness(score.balancedness, score.objective),
        layers_optimal=int((score.gap == 0).sum()),
        layer_objective=score.objective,
        layer_gap=score.gap,
    )


def model_balancedness(balancedness: np.ndarray, objective: np.ndarray) -> float:
    """Summed mean GPU loads over summed largest ones, from those of the layers, [num_layers]."""
    return float((balancedness * objective).sum() / objective.sum()) if objective.any() else 1.0
