"""Moves shared out over the layers where they gain most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.move_cost import cheapest_point
from eplb_opt.placement.moves import MovePrice, moved_slots_by_gpu
from eplb_opt.placement.plan import Plan
from eplb_opt.placement.scoring import exact_sum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.migration.near_plans import FrontPoint
    from eplb_opt.placement.move_cost import MoveCost
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


def cheapest_points(
    problem: Problem,
    frontiers: Sequence[list[FrontPoint]],
    cost: MoveCost,
    price: MovePrice | None = None,
) -> list[FrontPoint]:
    """One point for each layer, at which moving and imbalance until the next rebalance cost least.

    Layers are moved one after another and take their turns in every step, so the best of each layer
    is the best of the model. A move that counts twice takes twice as long.
    """
    units = [problem.unit(layer_idx) for layer_idx in range(problem.num_layers)]
    in_force = exact_sum(
        [frontier[0].objective * unit for frontier, unit in zip(frontiers, units, strict=True)]
    )
    per_move = cost.load_per_move(in_force)
    return [
        frontier[
            cheapest_point(
                _busiest_moves(problem, frontier, price),
                [point.objective * unit for point in frontier],
                per_move,
            )
        ]
        for frontier, unit in zip(frontiers, units, strict=True)
    ]


def _busiest_moves(
    problem: Problem, frontier: list[FrontPoint], price: MovePrice | None
) -> list[int]:
    """The most experts that a GPU receives at each point; the first moves none."""
    rows = np.array([point.placed for point in frontier])
    held = np.broadcast_to(rows[0], rows.shape)
    plans = (Plan(placed, problem.num_gpus, problem.num_experts) for placed in (held, rows))
    by_gpu = moved_slots_by_gpu if price is None else price.by_gpu
    return [int(most) for most in by_gpu(*plans).max(axis=1)]


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
