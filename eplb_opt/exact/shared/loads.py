"""The loads that a model looks at, and how large each may be in a plan no worse than the start."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.placement import scoring

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True)
class ModelLoad:
    """One load of the layer.

    The value of a plan under it is the largest GPU load over speed, as a multiple of `unit`.

    Parameters
    ----------
    load
        The tokens of each expert, [num_experts], in the problem's integer units.
    unit
        1 in a problem without scenarios; else the scenario's mean GPU load, positive, with all the
        tokens that rounding may have taken from it.
    share
        The weight of the value in the problem's objective.
    least
        A proven lower bound of the value; 0 for none.
    most
        The largest value in a plan that is no worse than the start.
    costs
        In a problem with costs: what each of c replicas of an expert costs, [num_experts][c]; then
        `load` is not looked at. None where replicas share a load.
    """

    load: tuple[int, ...]
    unit: Fraction
    share: Fraction
    least: Fraction
    most: Fraction
    costs: tuple[tuple[int, ...], ...] | None = None

    def together(self, expert: int, count: int) -> int:
        """What all replicas of an expert carry, or cost, together where it has `count`."""
        return self.load[expert] if self.costs is None else count * self.costs[expert][count]

    def fewest(self, expert: int, limit: Fraction, at_least: int) -> int:
        """The fewest replicas, from a number on, each of which is at most `limit`.

        Where no number of replicas is so small, one more than there can be.
        """
        if self.costs is None:
            load = self.load[expert]
            needed = -(-load * limit.denominator // limit.numerator) if load else 0
            return max(at_least, needed)
        row = self.costs[expert]
        fits = (c for c in range(at_least, len(row)) if row[c] <= limit)
        return next(fits, len(row))


@dataclass(frozen=True)
class LayerLoads:
    """All loads of the layer whose value depends on the plan.

    Parameters
    ----------
    each
        The loads; scenarios without weight or load are left out.
    constant
        What the scenarios without load add to a weighted mean.
    is_mean
        Whether a weighted mean over the loads is minimised; else the largest value is.
    """

    each: tuple[ModelLoad, ...]
    constant: Fraction
    is_mean: bool


def plan_value(problem: Problem, placed: np.ndarray) -> Fraction:
    """The value of a plan as models minimise it: at most its value as `scoring` has it.

    The two differ for rounded scenarios alone: here each counts with the least that its loads can
    be and with the largest mean. So the least value over all plans is a true lower bound.

    Parameters
    ----------
    problem
        A problem of one layer.
    placed
        int64 [num_slots], a valid plan.
    """
    rows = placed[None, :]
    if not problem.has_scenarios:
        return scoring.objectives(problem, rows)[0]
    speed = None if problem.gpu_speed is None else problem.speed
    peaks = scoring.least_levels if problem.is_split_freely else scoring.largest_gpu_loads
    ratios = []
    for scenario_idx in range(problem.num_scenarios):
        load, unit = problem.load[scenario_idx], _mean(problem, scenario_idx)
        peak = peaks(load, rows, problem.num_gpus, speed)[0]
        ratios.append(peak / unit if unit else Fraction(1))
    return scoring.combined(problem, ratios)


def loads_within(problem: Problem, upper: Fraction) -> LayerLoads:
    """The loads of a layer, each with its largest value in a plan of at most the value `upper`.

    In a weighted mean, one scenario can be as bad as the others' lower bounds leave room for: a
    smaller limit could exclude an optimal plan.

    Parameters
    ----------
    problem
        A problem of one layer.
    upper
        The value of the start (`plan_value`).
    """
    if not problem.has_scenarios:
        alone = ModelLoad(
            tuple(problem.load[0].tolist()),
            Fraction(1),
            Fraction(1),
            Fraction(0),
            upper,
            tuple(map(tuple, problem.replica_cost[0].tolist())) if problem.has_cost else None,
        )
        counts = any(map(any, alone.costs)) if alone.costs is not None else any(alone.load)
        return LayerLoads((alone,) if counts else (), Fraction(0), is_mean=False)
    units = [_mean(problem, r) for r in range(problem.num_scenarios)]
    counted = [r for r, unit in enumerate(units) if unit and problem.shares[r]]
    least = {r: fast_bounds(problem.scenario(r))[0].value / units[r] for r in counted}
    shares = problem.shares
    is_mean = problem.objective == "mean" and bool(counted)
    empty = (share for share, unit in zip(shares, units, strict=True) if not unit)
    constant = sum(empty, Fraction(0)) if is_mean else Fraction(0)
    most = {r: upper for r in counted}
    if is_mean:
        spare = upper - constant - sum((shares[r] * least[r] for r in counted), Fraction(0))
        # No GPU carries more than everything.
        all_on_one = problem.capacity / min(_open_speeds(problem))
        most = {r: min(least[r] + spare / shares[r], all_on_one) for r in counted}
    each = tuple(
        ModelLoad(tuple(problem.load[r, 0].tolist()), units[r], shares[r], least[r], most[r])
        for r in counted
    )
    return LayerLoads(each, constant, is_mean)


def _mean(problem: Problem, scenario_idx: int) -> Fraction:
    """Mean GPU load of a scenario, with all that rounding may have taken; 0 without load."""
    total = int(problem.load[scenario_idx, 0].sum())
    if not total:
        return Fraction(0)
    lacking = problem.num_experts if problem.rounded[scenario_idx, 0] else 0
    return (total + lacking) / problem.capacity


def _open_speeds(problem: Problem) -> Sequence[Fraction]:
    used = zip(problem.speed, problem.open_slots.tolist(), strict=True)
    return [speed for speed, slots in used if slots]
