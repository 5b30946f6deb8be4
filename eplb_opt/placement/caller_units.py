"""Exact objectives and bounds of layers as floats in the unit of the caller's loads.

Inside the package loads are integers of a small unit and their values are fractions; see
`problem.units`. What leaves it is rounded to the side on which it stays true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.problem.rounding import round_down, round_up

if TYPE_CHECKING:
    from fractions import Fraction

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
        lost = problem.costs.rounded.astype(np.int64) * int(problem.open_slots.max())
        return np.array(
            [
                round_up((value + less) * problem.unit(i))
                for i, (value, less) in enumerate(zip(objective, lost.tolist(), strict=True))
            ]
        )
    # A load that was rounded down lacks less than a unit, on each slot of the heaviest GPU.
    lacking = problem.rounded.astype(np.int64) * problem.slots_per_gpu
    slowest = problem.slowest
    return np.array(
        [
            round_up((value + int(less) / slowest) * problem.unit(i))
            for i, (value, less) in enumerate(zip(objective, lacking, strict=True))
        ]
    )


def bound_in_caller_units(problem: Problem, lower: list[Fraction]) -> np.ndarray:
    """Integer-unit bounds as floats that are not above the truth, [num_layers].

    Loads are rounded down, and less load never raises the optimum, so the bound holds as it is;
    and so are costs.
    """
    return np.array([round_down(value * problem.unit(i)) for i, value in enumerate(lower)])
