"""First plans where every GPU sends to one replica, and what crosses nodes has a price."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.crossing import hull_steps
from eplb_opt.core import local
from eplb_opt.errors import PlanError
from eplb_opt.placement import checker
from eplb_opt.problem import topology

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
    rules = problem.topology
    if rules is None or (not rules.price and rules.max_off_home is None):
        return flat
    layers = range(problem.num_layers)
    return np.array([_first_within(problem.layer(i), flat[i]) for i in layers])


def _first_within(layer: Problem, flat: np.ndarray) -> np.ndarray:
    """The first plan that keeps all rules, or the last one."""
    for aim in AIMS if layer.load.any() else ():
        placed = plan_across(layer, aim)
        try:
            checker.check(layer, placed[None])
        except PlanError:
            continue
        return placed
    return flat


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
        placed = plan_across(problem, aim)
        try:
            checker.check(problem, placed[None])
        except PlanError:
            continue
        found.setdefault(placed.tobytes(), placed)
    return list(found.values())


def plan_across(problem: Problem, aim: float) -> np.ndarray:
    """A plan of one layer whose hottest experts are served on all nodes, int64 [num_slots].

    Parameters
    ----------
    problem
        A problem of one layer.
    aim
        The largest replica that it aims at, in mean GPU loads.
    """
    load = problem.load[0].astype(np.float64)
    count = _counts(problem, load, aim)
    gpus = topology.gpus_of_nodes(problem).tolist()
    room: list[int] = topology.slots_of_nodes(problem).tolist()
    carried, nodes = [0.0] * len(gpus), range(len(gpus))
    held: list[list[int]] = [[] for _ in gpus]
    # Many replicas first, and of equally many the heaviest.
    for expert in np.lexsort((np.arange(len(load)), -load, -count)).tolist():
        times = int(count[expert])
        part, on_node = float(load[expert]) / times, [0] * len(gpus)
        wanted = _nodes_in_turn(problem, times)
        for place in range(times):
            node = wanted[place] if wanted else -1
            if node < 0 or not room[node]:
                # A node without the expert, of these the one with the least load a GPU.
                free = [n for n in nodes if room[n]]
                node = min(free, key=lambda n: (on_node[n], carried[n] / gpus[n]))
            held[node].append(expert)
            on_node[node] += 1
            room[node] -= 1
            carried[node] += part
    rows = zip(held, gpus, strict=True)
    return np.concatenate([_packed(problem, experts, count, size) for experts, size in rows])


def _counts(problem: Problem, load: np.ndarray, aim: float) -> np.ndarray:
    """Replicas of each expert: what the aim asks for, then what lets least cross for the load."""
    gpus = problem.num_senders
    mean = max(load.sum() / gpus, 1e-300)
    count: np.ndarray = np.maximum(np.ceil(load / (aim * mean) - 1e-9), 1).astype(np.int64)
    spare = problem.num_slots - int(count.sum())
    if spare < 0:
        count = np.ones(len(load), dtype=np.int64)
        spare = problem.num_slots - len(load)
    worth = _worth_of_counts(problem)
    steps = []
    for fewest in np.unique(count[count < len(worth)]).tolist():
        experts = np.flatnonzero(count == fewest).tolist()
        for gain, size in hull_steps(worth, fewest):
            each = float(gain)
            steps += [(-load[expert] * each, expert, size) for expert in experts]
    full: set[int] = set()
    for _, expert, size in sorted(steps):
        if size > spare or expert in full:
            full.add(expert)  # its further steps begin where this one ends
            continue
        count[expert] += size
        spare -= size
    for _ in range(spare):  # what no whole step fits into makes the largest replicas smaller
        count[int(np.argmax(load / count))] += 1
    return count


def _nodes_in_turn(problem: Problem, count: int) -> tuple[int, ...]:
    """The nodes that several replicas should have under rank modulo; none where any will do."""
    if problem.dispatch == "nearest" or count == 1 or count > MOST_RANKS:
        return ()
    return _served_in_turn(tuple(topology.gpus_of_nodes(problem).tolist()), count)[0]


def _worth_of_counts(problem: Problem) -> tuple[int, ...]:
    """What 1, 2, ... replicas of an expert are worth a unit of its load.

    GPUs that are served on their nodes bring the price. Where nearest copy cannot deal the others
    evenly, a plan must bear the most that each replica may get, as if there were more of them.
    """
    rules, gpus = problem.topology, topology.gpus_of_nodes(problem)
    price = 0.0 if rules is None else rules.price
    # A limit on what crosses counts more than any load.
    weight = price if rules is None or rules.max_off_home is None else max(price, 1.0)
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


def _packed(problem: Problem, held: list[int], count: np.ndarray, num_gpus: int) -> np.ndarray:
    """The slots of one node, int64 [slots of the node]."""
    experts, times = np.unique(np.array(held), return_counts=True)
    pieces = np.ascontiguousarray(problem.load[0][experts] // count[experts])
    apart = problem.colocation == "forbid"
    packed = local.pack(pieces, times.astype(np.int64), num_gpus, problem.slots_per_gpu, apart)
    if packed is None:  # dealt out in turn, replicas of an expert to as many GPUs
        dealt = np.repeat(np.arange(len(experts)), times)
        packed = dealt.reshape(problem.slots_per_gpu, num_gpus).T.ravel()
    return np.asarray(experts[packed])
