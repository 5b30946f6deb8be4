"""First plans where every GPU sends to one replica, and what crosses nodes has a price."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.crossing import most_at_hand
from eplb_opt.core import local
from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.placement import checker
from eplb_opt.placement.crossing import crossing
from eplb_opt.problem import topology

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: A plan across nodes aims at replicas of at most this part of the mean GPU load; and, where that
#: leaves too much that crosses, at any.
AIMS = (1.0, np.inf)


def first_plan_across(problem: Problem, flat: np.ndarray) -> np.ndarray:
    """A first plan that serves hot experts on every node, int64 [num_layers, num_slots].

    Parameters
    ----------
    problem
        A problem with a topology whose dispatch is "nearest" or "rank_modulo".
    flat
        int64 [num_layers, num_slots], a plan that heeds the load alone.

    Raises
    ------
    ProblemError
        Where none is found within the limit on what crosses nodes.
    """
    rules = problem.topology
    if rules is None or (not rules.price and rules.max_off_home is None):
        return flat
    rows = []
    for layer_idx in range(problem.num_layers):
        layer = problem.layer(layer_idx)
        tried = [flat[layer_idx]]
        if problem.dispatch == "nearest":
            tried = [*(plan_across(layer, aim) for aim in AIMS), *tried]
        rows.append(_first_within(layer, tried, layer_idx))
    return np.array(rows)


def _first_within(layer: Problem, tried: list[np.ndarray], layer_idx: int) -> np.ndarray:
    """The first plan that keeps all rules."""
    for placed in tried:
        try:
            checker.check(layer, placed[None])
        except PlanError:
            continue
        return placed
    rules = layer.topology
    least = min(crossing(layer, placed[None])[0] for placed in tried)
    most = 1.0 if rules is None else float(rules.most_off_home)
    raise ProblemError(
        f"layer {layer_idx}: no plan was found of which at most {most:g} of the assignments cross "
        f"nodes; {float(least):.4f} do in the best one. Allow more (max_off_home), or take more "
        "slots."
    )


def plan_across(problem: Problem, aim: float) -> np.ndarray:
    """A plan of one layer under nearest copy with its hottest experts on all nodes, [num_slots].

    Parameters
    ----------
    problem
        A problem of one layer.
    aim
        The largest replica that it aims at, in mean GPU loads.
    """
    load = problem.load[0].astype(np.float64)
    count = _counts(problem, load, aim)
    slots, gpus = topology.slots_of_nodes(problem), topology.gpus_of_nodes(problem)
    room, carried = slots.copy(), np.zeros(len(slots))
    held: list[list[int]] = [[] for _ in slots]
    # Many replicas first, and of equally many the heaviest.
    for expert in np.lexsort((np.arange(len(load)), -load, -count)).tolist():
        part = load[expert] / count[expert]
        on_node = np.zeros(len(slots), dtype=np.int64)
        for _ in range(int(count[expert])):
            # A node without the expert, of these the one with the least load a GPU.
            keys = np.where(room > 0, on_node, np.iinfo(np.int64).max)
            node = int(np.lexsort((carried / gpus, keys))[0])
            held[node].append(expert)
            on_node[node] += 1
            room[node] -= 1
            carried[node] += part
    return np.concatenate(
        [_packed(problem, on, count, int(g)) for on, g in zip(held, gpus, strict=True)]
    )


def _counts(problem: Problem, load: np.ndarray, aim: float) -> np.ndarray:
    """Replicas of each expert: what the aim asks for, then what lets least cross."""
    gpus = problem.num_senders
    mean = max(load.sum() / gpus, 1e-300)
    count = np.maximum(np.ceil(load / (aim * mean) - 1e-9), 1).astype(np.int64)
    spare = problem.num_slots - int(count.sum())
    if spare < 0:
        count = np.ones(len(load), dtype=np.int64)
        spare = problem.num_slots - len(load)
    nodes = tuple(topology.gpus_of_nodes(problem).tolist())
    served_by = np.append(most_at_hand("nearest", nodes, len(nodes)), gpus)
    for _ in range(spare):
        at = np.minimum(count, len(nodes))
        more = served_by[at] - served_by[at - 1]
        # Where nothing crosses any more, the largest replicas get smaller.
        gain = load * more
        count[int(np.argmax(gain if gain.any() else load / count))] += 1
    return np.asarray(count)


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
