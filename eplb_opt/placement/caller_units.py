"""Exact objectives and bounds of layers as floats in the unit of the caller's loads.

Inside the package loads are integers of a small unit and their values are fractions; see
`problem.units`. What leaves it is rounded to the side on which it stays true.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.problem.rounding import ratio_down, ratio_up, round_up

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


def balancedness(problem: Problem, objective: list[Fraction]) -> np.ndarray:
    """Mean over largest GPU load, float64 [num_layers]; 1 for a layer without load.

    With scenarios it is one over the objective: the harmonic mean of theirs, or the worst.
    """
    if problem.has_scenarios:
        return np.array([float(1 / value) for value in objective])
    totals = problem.load.sum(axis=1).tolist()
    return np.array(
        [
            float(total / (problem.capacity * peak)) if peak else 1.0
            for total, peak in zip(totals, objective, strict=True)
        ]
    )


def objective_in_caller_units(problem: Problem, objective: list[Fraction]) -> np.ndarray:
    """Integer-unit objectives as floats that are not below the truth, [num_layers]."""
    if problem.counts_ratios:  # scored with what they lack
        return np.array([round_up(value) for value in objective])
    if problem.costs is not None:
        # Every replica's cost was rounded down by less than a unit.
        lacking = problem.costs.rounded.astype(np.int64) * int(problem.open_slots.max())
        slowest = Fraction(1)
    else:
        # A load that was rounded down lacks less than a unit, on each slot of the heaviest GPU.
        lacking = problem.rounded.astype(np.int64) * problem.slots_per_gpu
        slowest = problem.slowest
    parts = _parts_of_unit(problem)
    return np.array(
        [
            _ratio_up(value + less / slowest if less else value, part)
            for value, less, part in zip(objective, lacking.tolist(), parts, strict=True)
        ]
    )


def bound_in_caller_units(problem: Problem, lower: list[Fraction]) -> np.ndarray:
    """Integer-unit bounds as floats that are not above the truth, [num_layers].

    Loads are rounded down, and less load never raises the optimum, so the bound holds as it is;
    and so are costs.
    """
    parts = _parts_of_unit(problem)
    return np.array([_ratio_down(value, part) for value, part in zip(lower, parts, strict=True)])


def _parts_of_unit(problem: Problem) -> list[int]:
    """Units of each layer's objective that make one of the caller's, [num_layers]."""
    if problem.counts_ratios:
        return [1] * problem.num_layers
    exponent = problem.cost_exponent if problem.has_cost else problem.unit_exponent
    return [2**bits for bits in exponent.tolist()]


def _ratio_up(value: Fraction, parts: int) -> float:
    return ratio_up(value.numerator, value.denominator * parts)


def _ratio_down(value: Fraction, parts: int) -> float:
    return ratio_down(value.numerator, value.denominator * parts)
