"""How much a call may move, and the points of the layers' frontiers that this calls for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.migration.descents import MAX_ACROSS
from eplb_opt.migration.sharing import cheapest_points, shared_out
from eplb_opt.placement.move_cost import refuse_two_limits
from eplb_opt.placement.moves import MovePrice, move_price
from eplb_opt.placement.plan import Plan, as_plan
from eplb_opt.problem.arrays import as_int, as_numpy, is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.migration.near_plans import FrontPoint
    from eplb_opt.placement.move_cost import MoveCost
    from eplb_opt.problem.problem import Problem

#: The search for the best plan leaves a layer alone at this gap, or this part of the tolerance: the
#: rest of the time is for near plans.
UNLIMITED_GAP, TOLERANCE_PART = 1e-4, 0.02
LIMITS = "max_moves, move_tolerance and move_cost"


@dataclass(frozen=True)
class MoveLimits:
    """How much a call may move; at most one of the limits is given.

    Parameters
    ----------
    max_moves
        Most slots whose expert is new on its GPU: a number for the model, or [num_layers]; None
        for no limit.
    tolerance
        The part of the best objective that fewer moves may cost; None for no such limit.
    cost
        What moving costs: each layer gets the plan that loses least time; None for no such limit.
    price
        What moves count; all alike by default.

    Raises
    ------
    ProblemError
        When two limits are given, or one that is none.
    """

    max_moves: Any = None
    tolerance: float | None = None
    cost: MoveCost | None = None
    price: MovePrice | None = None

    def __post_init__(self) -> None:
        refuse_two_limits(self.max_moves, self.tolerance, self.cost)
        tolerance = self.tolerance
        if tolerance is not None and not (is_number(tolerance) and 0 <= tolerance < math.inf):
            raise ProblemError(f"move_tolerance={tolerance} must be finite and at least 0.")

    @property
    def is_given(self) -> bool:
        """Whether moves are limited at all."""
        limits = self.max_moves, self.tolerance, self.cost
        return any(limit is not None for limit in limits)

    @property
    def good_enough(self) -> float:
        """The gap at which the search for the best plan of all leaves a layer alone."""
        return max(UNLIMITED_GAP, TOLERANCE_PART * (self.tolerance or 0.0))

    def per_layer(self, num_layers: int) -> int | list[int]:
        """The limit of the whole model, or one a layer."""
        if np.ndim(self.max_moves) == 0:
            return as_int(self.max_moves, "max_moves", least=0)
        limits = as_numpy(self.max_moves, "max_moves")
        if limits.shape != (num_layers,) or limits.dtype.kind not in "iu" or limits.min() < 0:
            raise ProblemError(
                f"max_moves={self.max_moves} must be one number, or {num_layers} integers from 0 "
                "on, one a layer."
            )
        return [int(limit) for limit in limits]

    def choose(self, problem: Problem, frontiers: Sequence[list[FrontPoint]]) -> list[FrontPoint]:
        """The point of each layer that the limits call for."""
        if self.tolerance is not None:
            return [_fewest_moves(frontier, Fraction(self.tolerance)) for frontier in frontiers]
        if self.cost is not None:
            return cheapest_points(problem, frontiers, self.cost, self.price)
        limit = self.per_layer(problem.num_layers)
        if isinstance(limit, int):
            return shared_out(problem, frontiers, limit)
        return [
            [point for point in frontier if point.moves <= most][-1]
            for frontier, most in zip(frontiers, limit, strict=True)
        ]


def valid_current(problem: Problem, current: Any) -> Plan:
    """The plan in force, where moves are limited.

    Raises
    ------
    ProblemError
        When there is none, or one that breaks a rule: no limit could be kept then.
    """
    if current is None:
        raise ProblemError(f"{LIMITS} need current=, the plan in force.")
    try:
        return as_plan(current, problem)
    except ValueError as error:
        raise ProblemError(f"{LIMITS} need a current plan that is valid: {error}") from error


def move_limits(
    problem: Problem,
    current: Any,
    max_moves: Any,
    move_tolerance: float | None,
    move_cost: MoveCost | None = None,
    price: MovePrice | None = None,
) -> MoveLimits:
    """The limits of a call; raises ProblemError where they cannot be kept or make no sense."""
    limits = MoveLimits(max_moves, move_tolerance, move_cost, price)
    if limits.is_given:
        valid_current(problem, current)
        if max_moves is not None:
            limits.per_layer(problem.num_layers)
    return limits


def read_price(
    problem: Problem, current: Any, cross_node_price: Any, left: Problem | None = None
) -> MovePrice:
    """What moves count; `left` is the problem without its lost GPUs.

    Raises
    ------
    ProblemError
        For a price that is none, or with which nothing would be dearer.
    """
    across = as_int(cross_node_price, "cross_node_price", most=MAX_ACROSS)
    if across > 1 and problem.num_nodes == 1:
        raise ProblemError(
            f"cross_node_price={across} needs num_nodes above 1: on one node no move leaves it."
        )
    if across > 1 and current is None:
        raise ProblemError(f"cross_node_price={across} needs current=, the plan in force.")
    return move_price(problem, across, left)


def _fewest_moves(frontier: list[FrontPoint], tolerance: Fraction) -> FrontPoint:
    allowed = frontier[-1].objective * (1 + tolerance)
    return next(point for point in frontier if point.objective <= allowed)
