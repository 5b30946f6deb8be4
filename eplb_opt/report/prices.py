"""What each constraint costs, as intervals that are proven."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.clock import Deadline
from eplb_opt.errors import ProblemError
from eplb_opt.placement.caller_units import bound_in_caller_units
from eplb_opt.report.free_counts import free_objectives

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eplb_opt.problem.problem import Problem
    from eplb_opt.result import Result

    #: Plans a relaxed problem: the problem, what to call it, seconds.
    Planner = Callable[[Problem, str, float], Result]


@dataclass(frozen=True, eq=False)
class ConstraintPrice:
    """What one constraint costs: largest GPU loads with it over those without it.

    Either optimum is only known to lie between a bound and a plan, so the price is an interval.

    Parameters
    ----------
    name
        The constraint's name, a few words.
    rule
        The rule that the constraint states.
    at_least, at_most
        Proven price of the whole model, layers summed: 0.16 is 16 % on the largest GPU loads.
    layers_at_least, layers_at_most
        float64 [num_layers], the same a layer.
    proven_by
        What proves the interval, a few words.
    """

    name: str
    rule: str
    at_least: float
    at_most: float
    layers_at_least: np.ndarray
    layers_at_most: np.ndarray
    proven_by: str


@dataclass(frozen=True)
class Constraint:
    """One constraint that can be lifted by planning another problem.

    Parameters
    ----------
    rule
        The rule that the constraint states, with the numbers of a problem in {}.
    lift
        The problem without it; None where it does not bind.
    admits_all
        Whether every plan of the problem is one without the constraint too. A slot more must be
        filled, so more slots are another problem, if hardly ever a worse one.
    """

    rule: str
    lift: Callable[[Problem], Problem | None]
    admits_all: bool = True


def _flat(problem: Problem) -> Problem | None:
    return problem.flat() if problem.is_hierarchical else None


def _together(problem: Problem) -> Problem | None:
    return problem.with_colocation("allow") if problem.colocation == "forbid" else None


def _one_more_slot(problem: Problem) -> Problem | None:
    try:
        return problem.with_slots(problem.num_slots + problem.num_gpus)
    except ProblemError:  # no expert is left that the slot may hold
        return None


def _split_freely(problem: Problem) -> Problem | None:
    if problem.has_cost or problem.has_topology or problem.binds_unlike_gpus:
        return None  # these know no optimal dispatch
    return problem.with_dispatch("optimal") if problem.dispatch == "uniform" else None


def _sent_freely(problem: Problem) -> Problem | None:
    if problem.has_cost or problem.has_topology:
        return None
    return problem.with_dispatch("optimal") if problem.splits_by_sender else None


#: Every constraint that planning another problem prices.
CONSTRAINTS: dict[str, Constraint] = {
    "hierarchy": Constraint("groups stay on one node", _flat),
    "co-location": Constraint("replicas stand apart", _together),
    "uniform split": Constraint("replicas get equal parts", _split_freely),
    "senders": Constraint("each GPU sends to one replica of an expert", _sent_freely),
    "slots": Constraint("{slots} slots a GPU, not {more}", _one_more_slot, admits_all=False),
}
EQUAL_COUNTS = "equal counts"


def relaxations(problem: Problem) -> dict[str, Problem]:
    """The problem without each of its constraints, by the constraint's name."""
    lifted = {name: constraint.lift(problem) for name, constraint in CONSTRAINTS.items()}
    return {name: without for name, without in lifted.items() if without is not None}


def constraint_prices(
    problem: Problem,
    result: Result,
    plan_relaxed: Planner,
    seconds: float,
    known: Mapping[str, Result] | None = None,
) -> list[ConstraintPrice]:
    """Price every constraint of a problem.

    Parameters
    ----------
    problem
        Loads and topology.
    result
        The result of planning the problem.
    plan_relaxed
        Plans a problem without one of the constraints.
    seconds
        Seconds for all of them together; each gets an equal part.
    known
        Results without a constraint, by its name, that need not be planned again.
    """
    known = known or {}
    without = relaxations(problem)
    counts_can_differ = not (problem.has_gpu_names or problem.has_cost)
    num_planned = len(without.keys() - known.keys())
    share = seconds / max(num_planned + counts_can_differ, 1)
    prices = []
    for name, relaxed in without.items():
        constraint = CONSTRAINTS[name]
        rule = constraint.rule.format(slots=problem.slots_per_gpu, more=problem.slots_per_gpu + 1)
        found = known.get(name) or plan_relaxed(relaxed, f"without '{rule}'", share)
        bounds = (found.objective, found.lower_bound)
        why = "a plan and its bound without the rule"
        prices.append(_price(name, rule, why, result, *bounds, constraint.admits_all))
    if counts_can_differ:
        prices.append(equal_counts_price(problem, result, Deadline.after(share)))
    return prices


def equal_counts_price(problem: Problem, result: Result, deadline: Deadline) -> ConstraintPrice:
    """What letting GPUs hold different numbers of experts, the total as it is, would bring.

    With nodes each keeps its slots. No engine of ours plans that: the better of our plan and a
    simple one with free counts stands for the plan, and mean, water level and partitions for the
    bound, as none of them asks on which GPU a slot is.
    """
    lower = [bound.value for bound in fast_bounds(problem)]
    return _price(
        EQUAL_COUNTS,
        f"every GPU holds {problem.slots_per_gpu}, not as many as suit",
        "a simple plan with free counts; mean and water level",
        result,
        free_objectives(result, deadline),
        bound_in_caller_units(problem, lower),
    )


def _price(
    name: str,
    rule: str,
    why: str,
    result: Result,
    objective: np.ndarray,
    lower: np.ndarray,
    admits_all: bool = True,
) -> ConstraintPrice:
    """From what is known without the constraint, [num_layers]."""
    floor = 0.0 if admits_all else -1.0
    least, most = (
        np.maximum(_over(_with_sum(dividend), _with_sum(divisor)), floor)
        for dividend, divisor in ((result.lower_bound, objective), (result.objective, lower))
    )
    return ConstraintPrice(
        name, rule, float(least[-1]), float(most[-1]), least[:-1], most[:-1], why
    )


def _with_sum(values: np.ndarray) -> np.ndarray:
    return np.append(values, values.sum())


def _over(dividend: np.ndarray, divisor: np.ndarray) -> np.ndarray:
    """Quotient less 1; 0 where there is nothing to divide by."""
    quotient = np.ones_like(dividend)
    np.divide(dividend, divisor, out=quotient, where=divisor > 0)
    return quotient - 1
