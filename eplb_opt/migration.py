"""Plans that move little: what each number of moved slots buys, and what a limit leaves."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt import checker, scoring
from eplb_opt.arrays import as_int, as_numpy
from eplb_opt.deadline import Deadline
from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.moves import moved_slots
from eplb_opt.plan import Plan, as_plan
from eplb_opt.relabel import relabelled
from eplb_opt.result import objective_in_caller_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.problem import Problem
    from eplb_opt.turns import Budget

#: Slices of annealing for one unit of effort: four for each price.
SLICES_PER_EFFORT = 48
#: The part of a call that looks for the best plan of all; the rest looks for near ones.
UNLIMITED_SHARE = 0.2
#: It leaves a layer alone at this gap, or this part of the tolerance: the rest is for near plans.
UNLIMITED_GAP, TOLERANCE_PART = 1e-4, 0.02
#: Of a layer's turn; the rest scores what was found.
SEARCH_SHARE = 0.9


@dataclass(frozen=True, eq=False)
class FrontPoint:
    """A plan of one layer and what it costs to get there.

    Parameters
    ----------
    moves
        Slots whose expert is new on its GPU.
    objective
        Exact, in the problem's units.
    placed
        int64 [num_slots].
    """

    moves: int
    objective: Fraction
    placed: np.ndarray


@dataclass(frozen=True)
class MoveLimits:
    """How much a call may move; see `plan`.

    Raises
    ------
    ProblemError
        When both limits are given, or one that is none.
    """

    max_moves: Any = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if self.max_moves is not None and self.tolerance is not None:
            raise ProblemError(
                f"max_moves={self.max_moves} and move_tolerance={self.tolerance} exclude each "
                "other: one limits the moves, the other the objective."
            )
        tolerance = self.tolerance
        if tolerance is not None and not (_is_number(tolerance) and 0 <= tolerance < math.inf):
            raise ProblemError(f"move_tolerance={tolerance} must be finite and at least 0.")

    @property
    def is_given(self) -> bool:
        return self.max_moves is not None or self.tolerance is not None

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

    def choose(self, problem: Problem, fronts: Sequence[list[FrontPoint]]) -> list[FrontPoint]:
        """The point of each layer that the limits call for."""
        if self.tolerance is not None:
            return [_fewest_moves(front, Fraction(self.tolerance)) for front in fronts]
        limit = self.per_layer(problem.num_layers)
        if isinstance(limit, int):
            return shared_out(problem, fronts, limit)
        return [
            [point for point in front if point.moves <= most][-1]
            for front, most in zip(fronts, limit, strict=True)
        ]


def valid_current(problem: Problem, current: Any) -> Plan:
    """The plan in force, where moves are limited.

    Raises
    ------
    ProblemError
        When there is none, or one that breaks a rule: no limit could be kept then.
    """
    if current is None:
        raise ProblemError("max_moves and move_tolerance need current=, the plan in force.")
    try:
        return as_plan(current, problem)
    except ValueError as error:
        raise ProblemError(
            f"max_moves and move_tolerance need a current plan that is valid: {error}"
        ) from error


def move_limits(
    problem: Problem, current: Any, max_moves: Any, move_tolerance: float | None
) -> MoveLimits:
    """The limits of a call; raises ProblemError where they cannot be kept or make no sense."""
    limits = MoveLimits(max_moves, move_tolerance)
    if limits.is_given:
        valid_current(problem, current)
        if max_moves is not None:
            limits.per_layer(problem.num_layers)
    return limits


def naming_seconds(problem: Problem, current: Plan, placed: np.ndarray) -> float:
    """About how long `renamed` takes, from one of the layers."""
    if problem.has_gpu_rules:
        return 0.0
    began = time.monotonic()
    relabelled(current.physical_to_logical[0], placed[0], problem.num_gpus, _num_nodes(problem))
    return (time.monotonic() - began) * problem.num_layers


def renamed(problem: Problem, current: Plan, best: np.ndarray, deadline: Deadline) -> np.ndarray:
    """The plan with its GPUs named as the one in force has them, int64 [num_layers, num_slots].

    A layer that is no better than in force stays as it is, slot by slot. Names alone are worth no
    delay: layers for which there is no time keep theirs.
    """
    placed = best.copy()
    for layer_idx, row in enumerate(current.physical_to_logical):
        if _is_as_good(problem.layer(layer_idx), row, best[layer_idx]):
            placed[layer_idx] = row
        elif not (deadline.expired or problem.has_gpu_rules):  # those GPUs are not alike
            nodes = _num_nodes(problem)
            placed[layer_idx] = relabelled(row, best[layer_idx], problem.num_gpus, nodes)
    return placed


def _is_as_good(layer: Problem, row: np.ndarray, best: np.ndarray) -> bool:
    """Whether a row is a plan for the layer and worth as much as the best one."""
    try:
        checker.check(layer, row[None])
    except PlanError:
        return False
    return scoring.objectives(layer, row[None]) <= scoring.objectives(layer, best[None])


def _num_nodes(problem: Problem) -> int:
    """Nodes that a GPU's name may not leave."""
    return problem.num_nodes if problem.is_hierarchical else 1


def find_fronts(
    problem: Problem, current: Plan, best: np.ndarray, budget: Budget
) -> list[list[FrontPoint]]:
    """What each number of moves buys, one front a layer; see `FrontPoint`.

    Parameters
    ----------
    problem
        What is planned.
    current
        Valid.
    best
        int64 [num_layers, num_slots], a plan made without limits; it ends the fronts.
    budget
        Of this work alone.
    """
    from eplb_opt.search.fronts import layer_front

    slices = None if budget.effort is None else budget.effort * SLICES_PER_EFFORT

    def work(layer_idx: int) -> list[FrontPoint]:
        layer, row = problem.layer(layer_idx), current.physical_to_logical[layer_idx]
        # Layers not yet begun share the time left with this one.
        waiting = -(-(problem.num_layers - layer_idx) // budget.workers)
        rows = [row]
        if slices != 0 and not budget.deadline.expired:
            turn = _even_part(budget.deadline, waiting)
            rows = layer_front(layer, row, budget.seed, turn, slices)
        if problem.has_gpu_rules:  # those GPUs are not alike
            return _front(layer, row, [*rows, best[layer_idx]])
        rows.append(relabelled(row, best[layer_idx], problem.num_gpus, _num_nodes(problem)))
        return _front(layer, row, rows)

    with ThreadPoolExecutor(budget.workers, thread_name_prefix="eplb-opt") as pool:
        return list(pool.map(work, range(problem.num_layers)))


def _even_part(deadline: Deadline, parts: int) -> Deadline:
    if math.isinf(deadline.at):
        return deadline
    return Deadline(time.monotonic() + deadline.remaining * SEARCH_SHARE / parts)


def _front(layer: Problem, current: np.ndarray, rows: list[np.ndarray]) -> list[FrontPoint]:
    """The plans that no other beats in both, checked and scored exactly, fewest moves first."""
    tried, num = np.array(rows), len(rows)
    copies = layer.repeated(0, num)
    checker.check(copies, tried)
    plan = Plan(np.tile(current, (num, 1)), layer.num_gpus, layer.num_experts)
    moves = moved_slots(plan, Plan(tried, layer.num_gpus, layer.num_experts)).tolist()
    worth = scoring.objectives(copies, tried)
    points = [FrontPoint(*point) for point in zip(moves, worth, tried, strict=True)]
    front = [points[0]]  # the plan in force: nothing moves
    for point in sorted(points[1:], key=lambda p: (p.moves, p.objective)):
        if point.objective < front[-1].objective:
            front.append(point)
    return front


def _fewest_moves(front: list[FrontPoint], tolerance: Fraction) -> FrontPoint:
    allowed = front[-1].objective * (1 + tolerance)
    return next(point for point in front if point.objective <= allowed)


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
        layer = problem.layer(layer_idx)
        after, choice = np.full(most + 1, np.inf), np.zeros(most + 1, dtype=np.int64)
        for i, point in enumerate(front):
            if point.moves > most:
                break
            worth = objective_in_caller_units(layer, [point.objective])[0]
            reached = best[: most + 1 - point.moves] + worth
            better = reached < after[point.moves :]
            after[point.moves :][better] = reached[better]
            choice[point.moves :][better] = i
        best = after
        choices.append(choice)
    return best, choices


@dataclass(frozen=True, eq=False)
class Frontier:
    """What moving slots buys: from the plan in force to the best one found.

    Attributes
    ----------
    problem, current
        What was asked.
    layers
        The points of each layer, fewest moves first.
    moves, objective
        int64 and float64 [num_points], for the whole model: moved slots, and the least sum of the
        layers' objectives with them; the former rise and the latter fall. See `make_frontier`.
    """

    problem: Problem
    current: Plan
    layers: tuple[list[FrontPoint], ...]
    moves: np.ndarray
    objective: np.ndarray

    def plan(self, max_moves: int) -> Plan:
        """The best plan with at most so many moved slots in the whole model."""
        chosen = shared_out(self.problem, self.layers, as_int(max_moves, "max_moves", least=0))
        placed = np.array([point.placed for point in chosen])
        return Plan(placed, self.problem.num_gpus, self.problem.num_experts)


def make_frontier(problem: Problem, current: Plan, fronts: Sequence[list[FrontPoint]]) -> Frontier:
    """The model's frontier from its layers': each move goes to the layer where it gains most.

    Only the corners of each layer's convex hull are used, so every point of the frontier is
    the best for its number of moves; between them `Frontier.plan` may find others.
    """
    steps, start = [], 0.0
    for layer_idx, front in enumerate(fronts):
        layer = problem.layer(layer_idx)
        worth = [objective_in_caller_units(layer, [p.objective])[0] for p in front]
        moves = [point.moves for point in front]
        corners = _hull(moves, worth)
        start += worth[0]
        for a, b in pairwise(corners):
            more = moves[b] - moves[a]
            steps.append(((worth[b] - worth[a]) / more, more))
    steps.sort()
    total = np.cumsum([0] + [more for _, more in steps])
    objective = np.cumsum([start] + [slope * more for slope, more in steps])
    return Frontier(problem, current, tuple(fronts), total, objective)


def _hull(moves: list[int], worth: list[float]) -> list[int]:
    """Corners of the lower convex hull of points whose moves rise and whose worth falls."""
    corners: list[int] = []
    for c in range(len(moves)):
        while len(corners) > 1:
            a, b = corners[-2:]
            if (worth[b] - worth[a]) * (moves[c] - moves[a]) < (worth[c] - worth[a]) * (
                moves[b] - moves[a]
            ):
                break
            corners.pop()
        corners.append(c)
    return corners


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
