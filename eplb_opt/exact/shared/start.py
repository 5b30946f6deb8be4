"""What every model checks before it begins, and the value of its start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.errors import ProblemError
from eplb_opt.exact.shared.loads import plan_value
from eplb_opt.placement import checker, scoring

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np

    from eplb_opt.problem.problem import Problem


def plain_start_value(problem: Problem, start: np.ndarray) -> Fraction:
    """The largest GPU load of a valid start, for models of one load and GPUs that are alike.

    It is the upper bound that a model rests on. A start that breaks a rule could lie below the
    optimum; then the ranges of counts derived from it would be too narrow, and the bound false.

    Raises
    ------
    ProblemError
        For a problem of several layers, or one that is not plain.
    PlanError
        For a start that breaks a rule.
    """
    if not problem.is_plain:
        raise ProblemError(
            "This solver takes one load and GPUs that are alike; take cpsat or milp."
        )
    placed = _checked(problem, start)
    return scoring.largest_gpu_loads(problem.load, placed, problem.num_gpus)[0]


def start_value(problem: Problem, start: np.ndarray) -> Fraction:
    """The value of a valid start (`loads.plan_value`), for models that take every problem."""
    refuse_senders(problem)
    return plan_value(problem, _checked(problem, start)[0])


def refuse_senders(problem: Problem) -> None:
    """Refuse a dispatch under which a replica's part depends on where the others stand.

    Raises
    ------
    ProblemError
        Where the general models would take equal parts for granted.
    """
    if problem.splits_by_sender:
        raise ProblemError(
            f'The general models do not know dispatch="{problem.dispatch}"; take plan(), whose '
            "schedule has a model for it, or another dispatch."
        )


def _checked(problem: Problem, start: np.ndarray) -> np.ndarray:
    if problem.num_layers != 1:
        raise ProblemError(
            f"A model takes one layer, not {problem.num_layers}; use problem.layer()."
        )
    placed = start[None, :]
    checker.check(problem, placed)
    return placed
