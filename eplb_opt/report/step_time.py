"""Seconds of a step in words and tables: microseconds a layer, and the part of the step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.report.words import amount, percent

if TYPE_CHECKING:
    import numpy as np

    from eplb_opt.problem.problem import Problem

#: What a second is multiplied by where tables have microseconds.
MICRO = 1e6


def worth(value: float, in_seconds: bool) -> str:
    """A layer's objective as a person reads it: a load, or the microseconds of its seconds.

    >>> worth(1234.5, False), worth(0.000107958, True)
    ('1,234.5', '107.958 µs')
    """
    return f"{amount(MICRO * value)} µs" if in_seconds else amount(value)


def step_line(problem: Problem, objective: np.ndarray, lower: np.ndarray) -> str:
    """What the experts of a step take, and what a better plan could save of it, in a sentence.

    Parameters
    ----------
    problem
        A problem with a `StepCost`.
    objective, lower
        float64 [num_layers], the plan's seconds and the proven bounds.
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
        f"{percent(saved / step if step else 0.0)} of {whole}."
    )
