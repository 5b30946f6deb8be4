"""Maps with the slots of lost GPUs, and without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.placement.plan import Plan

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.result import Result


def on_gpus_left(problem: Problem, current: Plan, name: str = "current") -> np.ndarray:
    """What the open slots hold in a plan, int64 [num_layers, number of open slots].

    Parameters
    ----------
    problem
        The whole problem.
    current
        A plan of all its slots.
    name
        The plan's name in a message.

    Raises
    ------
    ProblemError
        When the plan is for other slots.
    """
    if current.num_slots != problem.num_slots:
        raise ProblemError(
            f"{name} has {current.num_slots} slots; the problem has {problem.num_slots}, those of "
            "lost GPUs included."
        )
    return current.physical_to_logical[:, problem.is_open]


def with_lost_gpus(problem: Problem, result: Result) -> Result:
    """A result for the GPUs that are left, as one of the whole problem: -1 on the lost ones.

    Where no GPU is lost it is the same result.

    Parameters
    ----------
    problem
        The whole problem; `result` is of its `without_lost_gpus`.
    result
        The result for the GPUs that are left.
    """
    if result.problem is problem:
        return result
    placed = np.full((problem.num_layers, problem.num_slots), -1, dtype=np.int64)
    placed[:, problem.is_open] = result.plan.physical_to_logical
    plan = Plan(placed, problem.num_gpus, problem.num_experts)
    plan.check(problem)
    return replace(result, plan=plan, problem=problem)
