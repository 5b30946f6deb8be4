"""Plans of a layer with few moves from counted descents, in a millisecond.

They start from the plan in force and mend the heaviest GPU until all are below a level, lower from
descent to descent; the compiled core does it for the serving path.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.clock import Deadline
from eplb_opt.core import near, serving
from eplb_opt.errors import PlanError
from eplb_opt.placement import checker
from eplb_opt.placement.homes import homes_of
from eplb_opt.problem.topology import equal_nodes, node_of_gpus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from eplb_opt.problem.problem import Problem

#: Steps of a descent at most; most layers need 10 to 40.
STEPS = 400


def plans_at_price(layer: Problem, current: np.ndarray, best: np.ndarray) -> list[np.ndarray]:
    """Plans from the one in force on that move ever more for ever less load and traffic.

    Each descends from it for the homes that suit it best, and for those of the best plan. Where
    links have other costs, or tokens sources, descents take them as the mean difference between an
    expert's cheapest node and the others.

    Parameters
    ----------
    layer
        A problem of one layer with a topology.
    current, best
        int64 [num_slots] each, the plan in force and the best one known, both valid.

    Returns
    -------
    Plans, int64 [num_slots] each, valid but not yet scored; none where nodes differ in their GPUs
    in another way than that the last has fewer.
    """
    rules = layer.topology
    if rules is None:
        raise ValueError("plans_at_price needs a problem with a topology.")
    if (node_of_gpus(layer) != equal_nodes(layer)).any():
        return []
    # Every expert as a group of its own: homes are those of experts.
    sizes = layer.num_slots, layer.num_experts, layer.num_nodes, layer.num_gpus
    weights, _ = serving.fixed_point(np.ascontiguousarray(layer.load))
    held = np.ascontiguousarray(current, dtype=np.int64)
    price = rules.price * _dearer_elsewhere(layer)
    found: list[np.ndarray] = []
    for homes in np.unique(
        np.concatenate([homes_of(layer, p[None]) for p in (held, best)]), axis=0
    ):
        node = np.ascontiguousarray(homes)
        tried = serving.plans_on_the_way(weights[0], held, node, sizes, price, STEPS)
        found += [row for row in tried if _obeys(layer, row)]
    return found


def _dearer_elsewhere(layer: Problem) -> float:
    """How much more an assignment costs, on average, off its cheapest place than there."""
    links = layer.link_costs
    rows = links.table[0] / links.unit[0]
    others = max(links.num_places - 1, 1)
    return float(((rows.sum(axis=1) - rows.min(axis=1)) / others - rows.min(axis=1)).mean())


def _obeys(layer: Problem, row: np.ndarray) -> bool:
    """Whether a plan keeps the rules that descents do not know: replicas apart, or at home."""
    try:
        checker.check(layer, row[None])
    except PlanError:
        return False
    return True


def plans_by_descent(
    layer: Problem,
    current: np.ndarray,
    levels: Sequence[Fraction] = (),
    seconds: float = math.inf,
) -> list[np.ndarray]:
    """Plans from the one in force on that cost ever more moves for ever less load.

    Parameters
    ----------
    layer
        A problem of one layer.
    current
        int64 [num_slots], the plan in force, which is valid.
    levels
        Largest GPU loads, in the layer's integer units, that are tried before a fixed series.
    seconds
        No further plan is looked for afterwards; a descent takes milliseconds on the largest
        machines.

    Returns
    -------
    Plans, int64 [num_slots] each, valid but not yet scored; none where the layer has rules that
    descents do not know.
    """
    if not layer.is_plain:
        return []
    binds_groups = layer.is_hierarchical
    groups, nodes = (layer.num_groups, layer.num_nodes) if binds_groups else (1, 1)
    planner = near.Planner(
        layer.num_experts,
        (layer.num_slots, groups, nodes, layer.num_gpus),
        np.ones(layer.num_gpus, dtype=bool),
        1,
        layer.colocation == "forbid",
    )
    weights, unit = serving.fixed_point(np.ascontiguousarray(layer.load))
    held = np.ascontiguousarray(current[None], dtype=np.int64)
    deadline = Deadline.after(seconds)
    found = []
    for level in levels:
        # Rounded up: what is a trifle above is told apart where it is scored exactly.
        wanted = np.array([int(float(level) / float(unit[0])) + 1])
        found += list(planner.below(weights, held, wanted, STEPS)[0])
    if deadline.expired:
        return found
    limit = None if deadline.is_open else deadline.remaining
    return [*planner.front(weights, held, STEPS, limit)[0][1:], *found]
