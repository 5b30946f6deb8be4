"""What moving slots buys, for the whole model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.migration.sharing import cheapest_points, shared_out
from eplb_opt.placement.caller_units import objective_in_caller_units
from eplb_opt.placement.hull import hull_corners
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.arrays import as_int

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.migration.near_plans import FrontPoint
    from eplb_opt.placement.move_cost import MoveCost
    from eplb_opt.placement.moves import MovePrice
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Frontier:
    """What moving slots buys: from the plan in force to the best one found.

    Parameters
    ----------
    problem, current
        What was planned, and the plan in force.
    layers
        The points of each layer, fewest moves first.
    moves, objective
        int64 and float64 [num_points], for the whole model: moved slots, and the least sum of the
        layers' objectives with them; the moves rise and the objectives fall.
    messages
        Sentences on what went wrong without costing the answer.
    price
        What moves count; all alike where it is None.
    """

    problem: Problem
    current: Plan
    layers: tuple[list[FrontPoint], ...]
    moves: np.ndarray
    objective: np.ndarray
    messages: tuple[str, ...] = ()
    price: MovePrice | None = None

    def plan(self, max_moves: int) -> Plan:
        """The best plan under a limit on the moved slots of the whole model.

        Parameters
        ----------
        max_moves
            Most slots whose expert is new on its GPU, from 0, as the frontier counts them.

        Returns
        -------
        Plan
            The best known plan with at most that number of moves.
        """
        limit = as_int(max_moves, "max_moves", least=0)
        return self._plan_at(shared_out(self.problem, self.layers, limit))

    def cheapest(self, cost: MoveCost) -> Plan:
        """The plan that loses least time to moving, and to imbalance until the next rebalance.

        Parameters
        ----------
        cost
            What moving costs.

        Returns
        -------
        Plan
            The best known one; where no move is worth it, the plan in force.
        """
        return self._plan_at(cheapest_points(self.problem, self.layers, cost, self.price))

    def _plan_at(self, chosen: list[FrontPoint]) -> Plan:
        placed = np.array([point.placed for point in chosen])
        return Plan(placed, self.problem.num_gpus, self.problem.num_experts)


def make_frontier(
    problem: Problem,
    current: Plan,
    frontiers: Sequence[list[FrontPoint]],
    messages: tuple[str, ...] = (),
    price: MovePrice | None = None,
) -> Frontier:
    """The model's frontier from its layers': each move goes to the layer where it gains most.

    Only the corners of each layer's convex hull are used, so every point of the frontier is
    the best for its number of moves; between them `Frontier.plan` may find others.
    """
    steps, start = [], 0.0
    for layer_idx, frontier in enumerate(frontiers):
        layer = problem.layer(layer_idx)
        copies = layer.repeated(0, len(frontier))
        worth = objective_in_caller_units(copies, [p.objective for p in frontier]).tolist()
        moves = [point.moves for point in frontier]
        corners = hull_corners(moves, worth)
        start += worth[0]
        for a, b in pairwise(corners):
            more = moves[b] - moves[a]
            steps.append(((worth[b] - worth[a]) / more, more))
    steps.sort()
    total = np.cumsum([0] + [more for _, more in steps])
    objective = np.cumsum([start] + [slope * more for slope, more in steps])
    return Frontier(problem, current, tuple(frontiers), total, objective, messages, price)
