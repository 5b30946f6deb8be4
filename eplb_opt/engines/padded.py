"""Plans for engines that have redundant experts on some GPUs only: the others' slots stay empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.engines.survivors import keep_slots
from eplb_opt.errors import ProblemError
from eplb_opt.placement.padding import empty_last, used_slots
from eplb_opt.placement.plan import Plan
from eplb_opt.planner.planner import plan
from eplb_opt.problem.problem import Problem

if TYPE_CHECKING:
    from eplb_opt.placement.move_cost import MoveCost


@dataclass(frozen=True)
class PaddedRules:
    """How near a plan is to stay, and what may be spent on it; see `eplb_opt.plan`.

    Parameters
    ----------
    move_tolerance, max_moves, move_cost
        Limits on the moves; at most one of them. All are for maps that obey the problem's rules.
    time_limit, effort
        Seconds or counted work; the same bytes on every rank with the latter.
    colocation
        "allow" or "forbid" two replicas of an expert on one GPU.
    num_nodes
        Nodes of GPUs; they constrain nothing.
    dispatch
        How tokens reach the copies; see `Problem`.
    """

    move_tolerance: float | None = None
    max_moves: Any = None
    move_cost: MoveCost | None = None
    time_limit: float | None = None
    effort: int | None = None
    colocation: str = "allow"
    num_nodes: int = 1
    dispatch: str = "uniform"


def plan_padded(
    load: np.ndarray, current: np.ndarray, num_gpus: int, rules: PaddedRules
) -> np.ndarray:
    """A plan that leaves empty what the map in force leaves empty, int64 [num_layers, num_slots].

    Experts that stay on their GPU keep their slots, and so do the empty slots.

    Parameters
    ----------
    load
        [num_layers, num_experts].
    current
        The map in force, int64 [num_layers, num_slots], -1 for an empty slot.
    num_gpus
        Slot p is on GPU p // (num_slots // num_gpus).
    rules
        What is asked.

    Raises
    ------
    ProblemError
        For what cannot be planned, and for moves to be shared by layers whose padding differs.
    """
    used = used_slots(current, num_gpus)
    patterns = np.unique(used, axis=0)
    if len(patterns) > 1 and np.ndim(rules.max_moves) == 0 and rules.max_moves is not None:
        raise ProblemError(
            f"max_moves={rules.max_moves} cannot be shared by layers with {len(patterns)} kinds of "
            "padding; give one number a layer."
        )
    held, placed = empty_last(current, num_gpus), np.empty_like(current)
    # Where an expert stands nowhere no limit on moves can be kept; the layer is planned anyway.
    counts = Plan(held, num_gpus, load.shape[1]).logical_count
    is_whole = (counts > 0).all(axis=1)
    parts = [(pattern, limited) for pattern in patterns for limited in (True, False)]
    for pattern, is_limited in parts:
        rows = np.flatnonzero((used == pattern).all(axis=1) & (is_whole == is_limited))
        if not rows.size:
            continue
        problem = Problem(
            load[rows],
            current.shape[1],
            num_gpus,
            rules.num_nodes,
            colocation=rules.colocation,
            gpu_slots=pattern,
            dispatch=rules.dispatch,
        )
        most = rules.max_moves
        limits: dict[str, Any] = {
            "max_moves": most if np.ndim(most) == 0 else np.asarray(most)[rows],
            "move_tolerance": rules.move_tolerance,
            "move_cost": rules.move_cost,
        }
        result = plan(
            problem,
            time_limit=rules.time_limit,
            effort=rules.effort,
            current=held[rows],
            **(limits if is_limited else {}),
            workers=1 if rules.effort is not None else None,
            starts=(),  # whether a rank has loaded torch must not count
        )
        placed[rows] = result.plan.physical_to_logical
    return keep_slots(placed, current, num_gpus)
