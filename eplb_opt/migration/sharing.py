"""Moves shared out over the layers where they gain most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.migration.near_plans import FrontPoint
    from eplb_opt.problem.problem import Problem


def shared_out(
    problem: Problem, fronts: Sequence[list[FrontPoint]], max_moves: int
) -> list[FrontPoint]:
    """One point a layer with the least sum of objectives and at most so many moves together."""
    if max_moves >= sum(front[-1].moves for front in fronts):
        return [front[-1] for front in fronts]
    best, choices = _least_sums(problem, fronts, max_moves)
    left = int(np.argmin(best))
    chosen = []
    for front, choice in zip(reversed(fronts), reversed(choices), strict=True):
        point = front[choice[left]]
        chosen.append(point)
        left -= point.moves
    return chosen[::-1]


def _least_sums(
    problem: Problem, fronts: Sequence[list[FrontPoint]], max_moves: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Dynamic program over layers: the least sum of objectives with exactly so many moves.

    Returns
    -------
    float64 [num + 1], infinite where no choice has that many; and each layer's choice.
    """
    most = max_moves
    best = np.full(most + 1, np.inf)
    best[0] = 0.0
    choices = []
    for layer_idx, front in enumerate(fronts):
        # What loads lack that were rounded down is the same for every point of a layer.
        unit = problem.unit(layer_idx)
        after, choice = np.full(most + 1, np.inf), np.zeros(most + 1, dtype=np.int64)
        for i, point in enumerate(front):
            if point.moves > most:
                break
            worth = float(point.objective * unit)
            reached = best[: most + 1 - point.moves] + worth
            better = reached < after[point.moves :]
            after[point.moves :][better] = reached[better]
            choice[point.moves :][better] = i
        best = after
        choices.append(choice)
    return best, choices
