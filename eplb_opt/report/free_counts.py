"""Plans whose GPUs hold any number of experts, the total as it was: what equal counts cost.

Such plans are only scored, never returned as a plan: no engine runs them.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement import scoring
from eplb_opt.placement.caller_units import objective_in_caller_units
from eplb_opt.problem.scenarios import blended

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem
    from eplb_opt.result import Result

#: A better plan needs some hundred exchanges; many more bring what no one would see.
MAX_EXCHANGES = 2000
#: An exchange that gains less, as a part of the mean GPU load, is rounding.
LEAST_GAIN = 1e-9


def free_objectives(result: Result, deadline: Deadline) -> np.ndarray:
    """Objectives of plans that need not fill their GPUs equally, float64 [num_layers], rounded up.

    Parameters
    ----------
    result
        A result whose plan has equal counts. That is one of the plans allowed here, so no layer
        comes out worse; with nodes its experts stay on theirs. Without rules of single GPUs.
    deadline
        Layers whose turn comes later keep its figure.
    """
    problem, best = result.problem, result.objective
    load = blended(problem).load
    for layer_idx in range(problem.num_layers):
        if deadline.expired:
            break
        row = result.plan.physical_to_logical[layer_idx]
        weight = load[layer_idx].astype(np.float64)
        layer = problem.layer(layer_idx)
        for with_own_counts in (True, False):
            gpus = _free_layer(problem, row, weight, with_own_counts)
            best[layer_idx] = min(best[layer_idx], _objective(layer, gpus))
    return best


def _free_layer(
    problem: Problem, row: np.ndarray, weight: np.ndarray, with_own_counts: bool
) -> list[list[int]]:
    """Experts of every GPU, node by node."""
    num_nodes = problem.num_nodes if problem.is_hierarchical else 1
    distinct = problem.colocation == "forbid"
    gpus: list[list[int]] = []
    for slots in row.reshape(num_nodes, -1):
        num_gpus = problem.num_gpus // num_nodes
        experts, count = np.unique(slots, return_counts=True)
        if not with_own_counts:
            count = _greedy_counts(
                weight[experts], len(slots), num_gpus if distinct else len(slots)
            )
        gpus += balanced(
            np.repeat(experts, count), weight[experts] / count, num_gpus, distinct=distinct
        )
    return gpus


def _greedy_counts(weight: np.ndarray, num_slots: int, most: int) -> np.ndarray:
    """Replicas that keep the largest one least, at most `most` of an expert."""
    count = np.ones(len(weight), dtype=np.int64)
    heap = [(-load, i) for i, load in enumerate(weight.tolist())]
    heapq.heapify(heap)
    for _ in range(num_slots - len(weight)):
        while count[heap[0][1]] == most:
            heapq.heappop(heap)
        i = heap[0][1]
        count[i] += 1
        heapq.heapreplace(heap, (-weight[i] / count[i], i))
    return count


def balanced(
    replicas: np.ndarray, share: np.ndarray, num_gpus: int, *, distinct: bool = False
) -> list[list[int]]:
    """Replicas over GPUs without a slot count: heaviest first, then moves and exchanges.

    Parameters
    ----------
    replicas
        int64 [num_replicas], ascending expert ids.
    share
        float64 [num_experts that occur], what one replica carries.
    num_gpus
        GPUs to fill.
    distinct
        Whether no GPU may hold two replicas of an expert.
    """
    size = share[np.unique(replicas, return_inverse=True)[1]]
    gpu = np.empty(len(replicas), dtype=np.int64)
    filled = np.zeros(num_gpus)
    held = np.zeros((num_gpus, int(replicas.max()) + 1), dtype=bool)
    for i in np.argsort(-size, kind="stable").tolist():
        blocked = held[:, replicas[i]] if distinct else np.zeros(num_gpus, dtype=bool)
        gpu[i] = np.where(blocked, np.inf, filled).argmin()
        filled[gpu[i]] += size[i]
        held[gpu[i], replicas[i]] = True
    if not distinct:
        _exchange(gpu, size, filled)
    return [replicas[gpu == g].tolist() for g in range(num_gpus)]


def _exchange(gpu: np.ndarray, size: np.ndarray, filled: np.ndarray) -> None:
    """Lower the heaviest GPU by giving a replica away, or changing it for another, in place.

    Giving away is changing for a replica of size 0 that every GPU has one of.
    """
    other_size = np.concatenate([size, np.zeros(len(filled))])
    least = LEAST_GAIN * filled.mean()
    for _ in range(MAX_EXCHANGES):
        heaviest = int(filled.argmax())
        other_gpu = np.concatenate([gpu, np.arange(len(filled))])
        mine = np.flatnonzero(gpu == heaviest)
        moved = size[mine][:, None] - other_size
        larger = np.maximum(filled[heaviest] - moved, filled[other_gpu] + moved)
        larger[:, other_gpu == heaviest] = np.inf
        i, j = np.unravel_index(int(larger.argmin()), larger.shape)
        if larger[i, j] >= filled[heaviest] - least:
            return
        target = int(other_gpu[j])
        filled[heaviest] -= moved[i, j]
        filled[target] += moved[i, j]
        gpu[mine[i]] = target
        if j < len(size):
            gpu[j] = heaviest


def _objective(layer: Problem, gpus: list[list[int]]) -> float:
    """What such a plan of one layer is worth, from exact rationals rounded up."""
    most = max(map(len, gpus))
    placed = np.full((1, len(gpus), most), -1, dtype=np.int64)
    for g, held in enumerate(gpus):
        placed[0, g, : len(held)] = held
    wider = layer.with_slots(len(gpus) * most)
    exact = scoring.objectives(wider, placed.reshape(1, -1))
    return float(objective_in_caller_units(wider, exact)[0])
