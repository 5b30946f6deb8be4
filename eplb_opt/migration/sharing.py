"""Moves shared out over the layers where they gain most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.migration.near_plans import FrontPoint
    from eplb_opt.problem.problem import Problem


def shared_out(
    problem: Problem, frontiers: Sequence[list[FrontPoint]], max_moves: int
) -> list[FrontPoint]:
    """One point for each layer, with the least sum of objectives that `max_moves` moves allow."""
    if max_moves >= sum(frontier[-1].moves for frontier in frontiers):
        return [frontier[-1] for frontier in frontiers]
    best, choices = _least_sums(problem, frontiers, max_moves)
    left = int(np.argmin(best))
    chosen = []
    for frontier, choice in zip(reversed(frontiers), reversed(choices), strict=True):
        point = frontier[choice[left]]
        chosen.append(point)
        left -= point.moves
    return chosen[::-1]


def _least_sums(
    problem: Problem, frontiers: Sequence[list[FrontPoint]], max_moves: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Dynamic program over layers: the least sum of objectives for every exact number of moves.

    Returns
    -------
    float64 [max_moves + 1], the least sum, infinite where no choice makes exactly that number of
    moves; and for each layer int64 [max_moves + 1], the index of the point that the sum takes.
    """
    most = max_moves
    best = np.full(most + 1, np.inf)
    best[0] = 0.0
    choices = []
    for layer_idx, frontier in enumerate(frontiers):
        # What loads lack that were rounded down is the same for every point of a layer.
        unit = problem.unit(layer_idx)
        after, choice = np.full(most + 1, np.inf), np.zeros(most + 1, dtype=np.int64)
        for i, point in enumerate(frontier):
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
