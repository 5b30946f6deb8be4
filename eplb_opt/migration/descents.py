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
from eplb_opt.migration.unlike_descents import plans_with_unlike_gpus
from eplb_opt.placement import checker
from eplb_opt.placement.homes import homes_of
from eplb_opt.problem.scenarios import blended
from eplb_opt.problem.topology import equal_nodes, node_of_gpus, node_of_slots

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from eplb_opt.placement.moves import MovePrice
    from eplb_opt.problem.problem import Problem

#: Steps of a descent at most; most layers need 10 to 40.
STEPS = 400
#: The dearest move to another node: a descent then moves nothing there that it can help.
MAX_ACROSS = 1000


def plans_at_price(
    layer: Problem,
    current: np.ndarray,
    best: np.ndarray,
    deadline: Deadline,
    price: MovePrice | None = None,
) -> list[np.ndarray]:
    """Plans from the one in force on that move ever more for ever less load and traffic.

    Some level the load with few moves across nodes. Others descend from the plan in force, and from
    the most level of these, for the homes that suit it best and for those of the best plan. Several
    loads are blended. Where links have other costs, or tokens sources, descents take them as the
    mean difference between an expert's cheapest node and the others.

    Parameters
    ----------
    layer
        A problem of one layer with a topology.
    current, best
        int64 [num_slots] each, the plan in force and the best one known, both valid.
    deadline
        The end of the turn; where nodes or GPUs differ, no further step is made afterwards.
    price
        What moves count; all alike by default.

    Returns
    -------
    Plans, int64 [num_slots] each, valid but not yet scored.
    """
    rules, whole = layer.topology, layer
    layer = blended(layer)
    if rules is None:
        raise ValueError("plans_at_price needs a problem with a topology.")
    homes_tried = np.unique(
        np.concatenate([homes_of(layer, row[None]) for row in (current, best)]), axis=0
    )
    if layer.has_gpu_rules or (node_of_gpus(layer) != equal_nodes(layer)).any():
        at = None if rules.counts_off_home else rules.price * _dearer_elsewhere(layer)
        rows = (plans_with_unlike_gpus(layer, current, node, deadline, at) for node in homes_tried)
        return [row for some in rows for row in some if _obeys(whole, row)]
    # Every expert as a group of its own: homes are those of experts.
    sizes = layer.num_slots, layer.num_experts, layer.num_nodes, layer.num_gpus
    weights, _ = serving.fixed_point(np.ascontiguousarray(layer.load))
    held = np.ascontiguousarray(current, dtype=np.int64)
    found = [] if price is None else _near_home(layer, held, price)
    starts = [held, *found[-1:]]
    price_off_home = rules.price * _dearer_elsewhere(layer)
    for homes in homes_tried:
        node = np.ascontiguousarray(homes)
        for row in starts:
            found += list(
                serving.plans_on_the_way(weights[0], row, node, sizes, price_off_home, STEPS)
            )
    return [row for row in found if _obeys(whole, row)]


def _dearer_elsewhere(layer: Problem) -> float:
    """How much more an assignment costs, on average, off its cheapest place than there."""
    links = layer.link_costs
    rows = links.table[0] / links.unit[0]
    others = max(links.num_places - 1, 1)
    return float(((rows.sum(axis=1) - rows.min(axis=1)) / others - rows.min(axis=1)).mean())


def _near_home(layer: Problem, current: np.ndarray, price: MovePrice) -> list[np.ndarray]:
    """Descents for load alone in which few replicas leave their node, as they are dear."""
    if price.equal_nodes is None:
        return []
    sizes = layer.num_slots, 1, price.equal_nodes, layer.num_gpus
    weights, _ = serving.fixed_point(np.ascontiguousarray(layer.load))
    found: list[np.ndarray] = []
    for across in sorted({price.across, MAX_ACROSS}):
        planner = _planner(layer, sizes, across)
        found += list(planner.front(weights, current[None], STEPS)[0][1:])
    return found


def plans_on_nodes(layer: Problem, current: np.ndarray, deadline: Deadline) -> list[np.ndarray]:
    """The same for a layer whose groups stay on nodes with GPUs that differ; loads are blended."""
    is_open = layer.is_open
    node = np.zeros(layer.num_experts, dtype=np.int64)
    node[current[is_open]] = node_of_slots(layer)[is_open]
    return plans_with_unlike_gpus(blended(layer), current, node, deadline)


def _planner(layer: Problem, sizes: tuple[int, int, int, int], across: int) -> near.Planner:
    is_apart = layer.colocation == "forbid"
    everyone = np.ones(layer.num_gpus, dtype=bool)
    return near.Planner(layer.num_experts, sizes, everyone, across, is_apart)


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
    price: MovePrice | None = None,
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
    price
        What moves count; all alike by default.

    Returns
    -------
    Plans, int64 [num_slots] each, valid but not yet scored; none where the layer has rules that
    descents do not know.
    """
    if not layer.is_plain:
        return []
    binds_groups = layer.is_hierarchical
    groups, nodes = (layer.num_groups, layer.num_nodes) if binds_groups else (1, 1)
    across = 1 if price is None else price.across
    if price is not None and across > 1 and price.equal_nodes is not None:
        nodes = price.equal_nodes
    planner = _planner(layer, (layer.num_slots, groups, nodes, layer.num_gpus), across)
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
