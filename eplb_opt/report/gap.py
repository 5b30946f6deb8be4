"""The gap report: every plan against the proven bound, and what each constraint costs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bounds import Bound
from eplb_opt.dispatch_rules import dispatch_score
from eplb_opt.errors import PlanError
from eplb_opt.evaluation import Evaluation, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eplb_opt.problem import Problem
    from eplb_opt.result import Result


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class ConstraintPrice:
    """What one constraint costs: largest GPU loads summed over layers, with it over without it.

    The optimum without it is only known to lie between a bound and a plan, so the price is an
    interval.

    Parameters
    ----------
    constraint
        Its name.
    at_least, at_most
        Proven price: 0.16 is 16 % on the largest GPU load.
    """

    constraint: str
    at_least: float
    at_most: float


@dataclass(frozen=True, eq=False)
class GapReport:
    """Rows from the best plan to the worst, and the prices of the constraints."""

    rows: list[GapRow]
    prices: list[ConstraintPrice]
    lower_bound: np.ndarray
    objective: np.ndarray
    status: list[str]
    bound_source: list[str]


def gap_report(
    problem: Problem,
    result: Result,
    *,
    plans: Mapping[str, Any],
    heuristics: Mapping[str, Callable[..., Any]],
    relaxed_results: Mapping[str, Result],
) -> GapReport:
    """Score every plan and heuristic against the bounds of a result.

    Parameters
    ----------
    problem
        Loads and topology.
    result
        Of planning it: our row, and the proven bounds of all rows.
    plans
        Name -> a Plan or [num_layers, num_slots] ids; one that breaks a rule gets a row saying so.
    heuristics
        Name -> a call without arguments that returns such ids; each is timed after a first call.
    relaxed_results
        Constraint's name -> the result of planning without it.
    """
    bounds = [
        Bound(pair.lower, source)
        for pair, source in zip(result.bounds, result.bound_source, strict=True)
    ]
    rows = [_row("eplb-opt", problem, result.plan, bounds, result.elapsed)]
    rows += [_row(name, problem, plan, bounds, None) for name, plan in plans.items()]
    rows += [_heuristic_row(name, problem, make, bounds) for name, make in heuristics.items()]
    rows.sort(key=lambda row: (np.isnan(row.model_gap), row.model_gap))
    prices = [_price(name, result, relaxed) for name, relaxed in relaxed_results.items()]
    return GapReport(
        rows, prices, result.lower_bound, result.objective, result.status, result.bound_source
    )


def relaxations(problem: Problem) -> dict[str, Problem]:
    """The problem without each of its constraints, by the constraint's name."""
    without: dict[str, Problem] = {}
    if problem.is_hierarchical:
        without["groups stay on one node"] = problem.flat()
    if problem.colocation == "forbid":
        without["replicas stand apart"] = problem.with_colocation("allow")
    return without


def _heuristic_row(
    name: str, problem: Problem, make: Callable[..., Any], bounds: list[Bound]
) -> GapRow:
    try:
        make()  # the first call loads packages and compiles
        began = time.perf_counter()
        plan = make()
        seconds = time.perf_counter() - began
    except (ImportError, ValueError) as error:
        return GapRow(name, problem=str(error))
    return _row(name, problem, plan, bounds, seconds)


def _row(
    name: str, problem: Problem, plan: Any, bounds: list[Bound], seconds: float | None
) -> GapRow:
    try:
        score = evaluate(problem, plan, bounds)
        near = dispatch_score(problem, plan)
    except PlanError as error:
        return GapRow(name, seconds=seconds, problem=str(error))
    nearest_copy = model_balancedness(near.nearest_balancedness, near.nearest)
    return replace(_scored(score), name=name, seconds=seconds, nearest_copy=nearest_copy)


def _scored(score: Evaluation) -> GapRow:
    return GapRow(
        name="",
        model_gap=score.model_gap,
        worst_gap=float(score.gap.max()),
        median_gap=float(np.median(score.gap)),
        worst_layer=int(score.gap.argmax()),
        balancedness=model_balancedness(score.balancedness, score.objective),
        layers_optimal=int((score.gap == 0).sum()),
    )


def model_balancedness(balancedness: np.ndarray, objective: np.ndarray) -> float:
    """Summed mean GPU loads over summed largest ones, from those of the layers, [num_layers]."""
    return float((balancedness * objective).sum() / objective.sum()) if objective.any() else 1.0


def _price(constraint: str, result: Result, relaxed: Result) -> ConstraintPrice:
    def ratio(dividend: np.ndarray, divisor: np.ndarray) -> float:
        return float(dividend.sum() / divisor.sum() - 1) if divisor.sum() else 0.0

    least = ratio(result.lower_bound, relaxed.objective)
    most = ratio(result.objective, relaxed.lower_bound)
    return ConstraintPrice(constraint, max(least, 0.0), max(most, 0.0))
