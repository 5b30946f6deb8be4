"""First plans where every GPU sends to one replica, and what crosses nodes has a price."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.crossing import hull_steps
from eplb_opt.core import rules
from eplb_opt.errors import PlanError
from eplb_opt.placement import checker
from eplb_opt.problem import topology
from eplb_opt.search.at_home import node_rules

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Plans across nodes aim at replicas of at most this part of the mean GPU load, each in turn.
AIMS = (0.6, 0.8, 1.0, 0.45, np.inf)
#: More replicas than this are not looked at where GPUs take them in turn.
MOST_RANKS = 512
#: Prices are rounded to parts of it.
WORTH_UNIT = 2**20


def first_plan_across(problem: Problem, flat: np.ndarray) -> np.ndarray:
    """A first plan that serves hot experts on every node, int64 [num_layers, num_slots].

    A limit on what crosses nodes may be broken, see `within_limit`.

    Parameters
    ----------
    problem
        A problem with a topology whose dispatch is "nearest" or "rank_modulo".
    flat
        int64 [num_layers, num_slots], a plan that heeds the load alone.
    """
    terms = problem.topology
    if terms is None or (not terms.price and terms.max_off_home is None):
        return flat
    found, left = flat.copy(), np.arange(problem.num_layers)
    for aim in AIMS:
        asked = problem if len(left) == problem.num_layers else problem.selected(left.tolist())
        placed = spread_plans(asked, aim)
        kept = _keep_rules(asked, placed)
        found[left[kept]] = placed[kept]
        left = left[~kept]
        if not left.size:
            break
    return found


def _keep_rules(problem: Problem, placed: np.ndarray) -> np.ndarray:
    """Whether each layer of a plan keeps all rules, bool [num_layers]."""
    try:
        checker.check(problem, placed)
    except PlanError:
        if problem.num_layers > 1:
            layers = [problem.layer(i) for i in range(problem.num_layers)]
            each = [_keep_rules(a, row[None]) for a, row in zip(layers, placed, strict=True)]
            return np.concatenate(each)
        return np.zeros(1, dtype=bool)
    return np.ones(problem.num_layers, dtype=bool)


def plan_across(problem: Problem, aim: float) -> np.ndarray:
    """`spread_plans` of one layer, int64 [num_slots]."""
    return np.asarray(spread_plans(problem, aim)[0])


def plans_across(problem: Problem) -> list[np.ndarray]:
    """Plans of one layer for each of the aims, int64 [num_slots] each, all that keep the rules.

    Parameters
    ----------
    problem
        A problem of one layer with a topology whose GPUs send.
    """
    if not problem.load.any():
        return []
    found: dict[bytes, np.ndarray] = {}
    for aim in AIMS:
        placed = spread_plans(problem, aim)
        if _keep_rules(problem, placed)[0]:
            found.setdefault(placed.tobytes(), placed[0])
    return list(found.values())


def spread_plans(problem: Problem, aim: float) -> np.ndarray:
    """Plans whose hottest experts are served on all nodes, int64 [num_layers, num_slots].

    Where replicas must stand apart, some may find no GPU; -1 stays in slots then.

    Parameters
    ----------
    problem
        A problem of one load whose GPUs send.
    aim
        The largest replica that it aims at, in mean GPU loads.
    """
    placed = np.full((problem.num_layers, problem.num_slots), -1, dtype=np.int64)
    first = _first_counts(problem, aim)
    worth = _worth_of_counts(problem)
    steps: list[list[tuple[float, int]]] = [[] for _ in range(int(first.max()) + 1)]
    for fewest in np.unique(first[first < len(worth)]).tolist():
        steps[fewest] = [(float(gain), size) for gain, size in hull_steps(worth, fewest)]
    rules.place_across(
        node_rules(problem),
        np.ascontiguousarray(problem.load),
        first,
        steps,
        _nodes_in_turn(problem),
        placed,
        np.zeros(problem.num_layers, dtype=bool),
    )
    return placed


def _first_counts(problem: Problem, aim: float) -> np.ndarray:
    """The replicas that the aim asks for, int64 [num_layers, num_experts]; one where none fit."""
    mean = np.maximum(problem.load.sum(axis=1, keepdims=True) / problem.num_senders, 1e-300)
    wanted = np.ceil(problem.load / (aim * mean) - 1e-9)
    count: np.ndarray = np.maximum(wanted, 1).astype(np.int64)
    count[count.sum(axis=1) > problem.open_slots.sum()] = 1
    return count


def _nodes_in_turn(problem: Problem) -> list[list[int]]:
    """By their number, the nodes that replicas should have under rank modulo.

    None for one replica and where any nodes will do.
    """
    if problem.dispatch == "nearest":
        return []
    most = min(int(problem.open_slots.sum()) - problem.num_experts + 1, MOST_RANKS)
    sizes = tuple(topology.gpus_of_nodes(problem).tolist())
    return [[], [], *(list(_served_in_turn(sizes, n)[0]) for n in range(2, most + 1))]


def _worth_of_counts(problem: Problem) -> tuple[int, ...]:
    """What 1, 2, ... replicas of an expert are worth a unit of its load.

    GPUs that are served on their nodes bring the price. Where nearest copy cannot deal the others
    evenly, a plan must bear the most that each replica may get, as if there were more of them.
    """
    terms, gpus = problem.topology, topology.gpus_of_nodes(problem)
    price = 0.0 if terms is None else terms.price
    # A limit on what crosses counts more than any load.
    weight = price if terms is None or terms.max_off_home is None else max(price, 1.0)
    if problem.dispatch == "nearest":
        served = np.cumsum(np.sort(gpus)[::-1])
        uneven = (served - served[-1]) % np.arange(1, len(gpus) + 1)
    else:
        most = min(problem.num_slots - problem.num_experts + 1, problem.num_senders, MOST_RANKS)
        sizes = tuple(gpus.tolist())
        served = np.array([_served_in_turn(sizes, n)[1] for n in range(1, most + 1)])
        uneven = np.zeros(most, dtype=np.int64)
    return tuple(np.rint(WORTH_UNIT * (weight * served - uneven)).astype(np.int64).tolist())


@lru_cache(maxsize=1024)
def _served_in_turn(gpus: tuple[int, ...], count: int) -> tuple[tuple[int, ...], int]:
    """Good nodes of an expert's replicas under rank modulo, and the GPUs served on their nodes.

    Replicas are numbered by their slots, node after node, so that nodes ascend.
    """
    ends = np.cumsum(gpus)
    rank = np.arange(count)[:, None]
    below = -((rank - ends) // count)  # senders below each end whose turn it is
    own = np.diff(below, axis=1, prepend=-(rank // count))
    nodes, served, first = [], 0, 0
    for row in own.tolist():
        first = max(range(first, len(gpus)), key=lambda node: (row[node], -node))
        nodes.append(first)
        served += row[first]
    return tuple(nodes), served
