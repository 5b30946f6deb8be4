"""How good anybody's plan is, and how good one could be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt import result
from eplb_opt.bounds.bounds import Bound, attainable, fast_bounds
from eplb_opt.certificates import CertificateError, bound_source, verify
from eplb_opt.errors import ProblemError
from eplb_opt.placement import scoring, step_time
from eplb_opt.placement.caller_units import (
    balancedness,
    bound_in_caller_units,
    objective_in_caller_units,
)
from eplb_opt.placement.plan import as_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from fractions import Fraction

    from eplb_opt.certificates import Certificate
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A plan's worth, scored exactly.

    Parameters
    ----------
    objective
        float64 [num_layers], the largest GPU load in the caller's unit, rounded up; with
        scenarios what their ratios make together.
    lower_bound
        float64 [num_layers], the proven lower bound in the same unit, rounded down.
    gap
        float64 [num_layers], objective over bound, less 1.
    model_gap
        Sum of the objectives over the sum of the bounds, less 1.
    balancedness
        float64 [num_layers], mean over largest GPU load; with scenarios one over the objective.
    """

    objective: np.ndarray
    lower_bound: np.ndarray
    gap: np.ndarray
    model_gap: float
    balancedness: np.ndarray


def evaluate(problem: Problem, plan: Any, bounds: list[Bound] | None = None) -> Evaluation:
    """Score a plan against a bound.

    Parameters
    ----------
    problem
        Loads and topology.
    plan
        A Plan or [num_layers, num_slots] expert ids, array or tensor.
    bounds
        [num_layers], proven bounds; by default the best that need no solver.

    Returns
    -------
    Evaluation
        Objective, bound, gap and balancedness of every layer.

    Raises
    ------
    PlanError
        When the plan breaks a rule of the problem.
    """
    objective = as_plan(plan, problem).objectives(problem)
    pairs = result.objective_bounds(objective, bounds or fast_bounds(problem))
    caller_objective = objective_in_caller_units(problem, objective)
    caller_lower = bound_in_caller_units(problem, [pair.lower for pair in pairs])
    return Evaluation(
        caller_objective,
        caller_lower,
        result.layer_gaps(pairs),
        result.model_gap(problem, pairs),
        _balancedness(problem, plan, objective),
    )


def _balancedness(problem: Problem, plan: Any, objective: list[Fraction]) -> np.ndarray:
    if problem.has_cost:
        return step_time.balancedness(problem, as_plan(plan, problem).physical_to_logical)
    if not problem.has_topology:
        return balancedness(problem, objective)
    ratios = scoring.load_ratios(problem, as_plan(plan, problem).physical_to_logical)
    return np.array([float(1 / ratio) for ratio in ratios])


def verified_bounds(
    problem: Problem,
    certificates: Sequence[Certificate | None],
    progress: Callable[[int], object] | None = None,
) -> list[Bound]:
    """The best of the bounds that need no solver and those that the certificates prove, anew.

    Parameters
    ----------
    problem
        Loads and topology.
    certificates
        One a layer, of any origin: nothing in them is trusted.
    progress
        Called with the number of layers that are done.

    Raises
    ------
    ProblemError
        When there is not one entry a layer.
    CertificateError
        When one does not prove its bound; the message names the layer.
    """
    if len(certificates) != problem.num_layers:
        raise ProblemError(
            f"{len(certificates)} certificates were given for {problem.num_layers} layers."
        )
    bounds = fast_bounds(problem)
    problem = problem.without_lost_gpus() or problem
    for layer_idx, certificate in enumerate(certificates):
        if progress is not None:
            progress(layer_idx)
        if certificate is None:
            continue
        try:
            value = verify(problem.layer(layer_idx), certificate)
            proven = Bound(value, bound_source(certificate))
        except CertificateError as error:
            raise CertificateError(f"layer {layer_idx}: {error}") from error
        rounded = attainable(problem, layer_idx, proven)
        bounds[layer_idx] = max(bounds[layer_idx], rounded, key=lambda bound: bound.value)
    return bounds


def lower_bound(problem: Problem, time_limit: float | None = None) -> np.ndarray:
    """A proven lower bound on the largest GPU load of each layer.

    Parameters
    ----------
    problem
        Loads and topology.
    time_limit
        Seconds for exact models to raise it; None asks for the bounds that need no solver.

    Returns
    -------
    ndarray
        float64 [num_layers], in the caller's unit, rounded down.
    """
    if time_limit is not None:
        from eplb_opt.planner.planner import plan

        return plan(problem, time_limit=time_limit).lower_bound
    values = [bound.value for bound in fast_bounds(problem)]
    return bound_in_caller_units(problem, values)
