"""Seconds of a step in words and tables: microseconds a layer, and the part of the step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.problem.step_cost import StepCost
from eplb_opt.report.words import amount, percent
from eplb_opt.workloads.forecast import forecast

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: What a second is multiplied by where tables have microseconds.
MICRO = 1e6


def worth(value: float, in_seconds: bool) -> str:
    """A layer's objective as a person reads it: a load, or the microseconds of its seconds.

    >>> worth(1234.5, False), worth(0.000107958, True)
    ('1,234.5', '107.958 µs')
    """
    return f"{amount(MICRO * value)} µs" if in_seconds else amount(value)


def drawn_seconds(problem: Problem, plan: Any) -> np.ndarray:
    """What a layer's slowest GPU takes in drawn steps on average, float64 [num_layers].

    The slowest GPU is another one in each step, so it takes more than the one whose expected
    seconds are largest.

    Parameters
    ----------
    problem
        A problem with a `StepCost`.
    plan
        A Plan or [num_layers, num_slots] ids.
    """
    cost = problem.cost
    if not isinstance(cost, StepCost) or problem.batch_tokens is None:
        return np.full(problem.num_layers, np.nan)
    found = forecast(
        problem.load.astype(np.float64),
        plan,
        problem.num_gpus,
        problem.batch_tokens,
        problem.experts_per_token or 1,
        problem.dispatch,
        num_nodes=problem.num_nodes,
        cost=cost.with_fields(other_seconds=0.0, experts_per_token=None),
    )
    seconds = found.step_seconds
    return np.full(problem.num_layers, np.nan) if seconds is None else seconds


def step_line(
    problem: Problem, objective: np.ndarray, lower: np.ndarray, drawn: np.ndarray | None = None
) -> str:
    """What the experts of a step take, and what a better plan could save of it, in a sentence.

    Parameters
    ----------
    problem
        A problem with a `StepCost`.
    objective, lower
        float64 [num_layers], the plan's seconds and the proven bounds.
    drawn
        float64 [num_layers], from `drawn_seconds`; None for no word on them.
    """
    num_layers = len(objective)
    other = num_layers * getattr(problem.cost, "other_seconds", 0.0)
    step = float(objective.sum()) + other
    saved = float((objective - lower).sum())
    spent = worth(float(objective.sum()), True)
    whole = "the step" if other else "the experts' part of the step"
    return (
        f"In a step of {problem.batch_tokens} tokens a GPU the experts take {spent}: {num_layers} "
        f"layers, {worth(float(objective.sum()) / num_layers, True)} each. A better plan could "
        f"save at most {worth(saved / num_layers, True)} a layer, "
        f"{percent(saved / step if step else 0.0)} of {whole}.{_drawn(drawn)}"
    )


def _drawn(drawn: np.ndarray | None) -> str:
    if drawn is None:
        return ""
    each = worth(float(drawn.mean()), in_seconds=True)
    return f" In drawn steps, each with a slowest GPU of its own, a layer takes {each}."
