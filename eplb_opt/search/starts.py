"""Warm starts: complete plans from the heuristics, and one of our own where they do not apply."""

from __future__ import annotations

import heapq
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.partitions import greedy_partition
from eplb_opt.scenarios import blended
from eplb_opt.search.fill import fill_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.problem import Problem

#: Published heuristics whose answers differ from the greedy's: not "deepseek", "vectorized_lpt".
PUBLISHED_STARTS = ("swap_refine", "replica_refine_guarded", "waterfill_diverse", "cpu_lpt_slotted")

#: Seconds worth keeping to load the package of the published heuristics.
TORCH_IMPORT_SECONDS = 6.0


def first_plan(problem: Problem) -> np.ndarray:
    """The greedy every engine ships, or one that keeps replicas apart, [num_layers, num_slots].

    Needs numpy alone and a few milliseconds, so it is there whatever else fails. With scenarios
    it is made for their blend.
    """
    problem = blended(problem)
    if problem.has_gpu_rules:
        return fill_plan(problem)
    if problem.colocation == "forbid":
        return spread_plan(problem)
    from heuristics import greedy_numpy

    return np.asarray(greedy_numpy.rebalance_experts(*heuristic_arguments(problem))[0])


def heuristic_calls(problem: Problem) -> dict[str, Callable[[], np.ndarray]]:
    """Every heuristic by name, as a call that makes its plan, int64 [num_layers, num_slots].

    Under colocation="forbid" their plans may break that rule. Scenarios are blended.
    """
    from heuristics import HEURISTICS

    problem = blended(problem)
    return {name: partial(_placed_by, HEURISTICS[name], problem) for name in HEURISTICS}


def _placed_by(heuristic: Callable[..., Any], problem: Problem) -> np.ndarray:
    return np.asarray(heuristic(*heuristic_arguments(problem))[0])


def published_starts(problem: Problem) -> dict[str, Callable[[], np.ndarray]]:
    """The heuristics worth trying as a start, where they fit the problem."""
    if problem.colocation == "forbid" or problem.has_gpu_rules:
        return {}
    calls = heuristic_calls(problem)
    return {name: calls[name] for name in PUBLISHED_STARTS}


def torch_is_loaded() -> bool:
    """Whether the published heuristics start at once."""
    return "torch" in sys.modules


def heuristic_arguments(problem: Problem) -> tuple[np.ndarray, int, int, int, int]:
    """The five arguments of the common call, for a problem that is hierarchical or flat."""
    nodes, groups = (problem.num_nodes, problem.num_groups) if problem.is_hierarchical else (1, 1)
    scale = np.ldexp(1.0, -problem.unit_exponent.astype(int))[:, None]
    return problem.load * scale, problem.num_slots, groups, nodes, problem.num_gpus


def spread_plan(problem: Problem) -> np.ndarray:
    """A greedy for colocation="forbid": no GPU holds an expert twice.

    Counts by greedy replication, at most one replica a GPU; then the heaviest replica to the
    lightest GPU with room and without its expert. Where all GPUs with room have the expert already,
    another replica makes way; one always can (see `_make_way`).

    Returns
    -------
    int64 [num_layers, num_slots].
    """
    placed = np.empty((problem.num_layers, problem.num_slots), dtype=np.int64)
    for layer_idx in range(problem.num_layers):
        for node_idx, experts in enumerate(_experts_of_nodes(problem, layer_idx)):
            load = problem.load[layer_idx, experts].tolist()
            num_gpus = problem.num_gpus // (problem.num_nodes if problem.is_hierarchical else 1)
            slots = spread(load, num_gpus, problem.slots_per_gpu)
            first = node_idx * len(slots)
            placed[layer_idx, first : first + len(slots)] = np.array(experts)[slots]
    return placed


def _experts_of_nodes(problem: Problem, layer_idx: int) -> list[list[int]]:
    """Expert ids of each node: all of them on one when flat, else groups packed greedily."""
    if not problem.is_hierarchical:
        return [list(range(problem.num_experts))]
    size = problem.experts_per_group
    nodes = greedy_partition(problem.layer(layer_idx))
    return [[g * size + i for g in held for i in range(size)] for held in nodes]


def spread(load: list[int], num_gpus: int, slots_per_gpu: int) -> np.ndarray:
    """The greedy of `spread_plan` on one node, int64 [num_slots]."""
    counts = _capped_counts(load, num_gpus * slots_per_gpu, num_gpus)
    gpus: list[list[int]] = [[] for _ in range(num_gpus)]
    filled = [0.0] * num_gpus
    # Hottest first: a hot replica placed late finds no cool GPU left.
    for expert in sorted(range(len(load)), key=lambda e: (-load[e] / counts[e], e)):
        share = load[expert] / counts[expert]
        for _ in range(counts[expert]):
            room = [g for g in range(num_gpus) if len(gpus[g]) < slots_per_gpu]
            fitting = [g for g in room if expert not in gpus[g]]
            if not fitting:
                fitting = [_make_way(gpus, filled, load, counts, room[0], expert)]
            gpu = min(fitting, key=lambda g: (filled[g], g))
            gpus[gpu].append(expert)
            filled[gpu] += share
    return np.array(gpus, dtype=np.int64).ravel()


def _capped_counts(load: list[int], num_slots: int, cap: int) -> list[int]:
    """Greedy replication with at most `cap` replicas an expert."""
    counts = [1] * len(load)
    heap = [(-float(weight), e) for e, weight in enumerate(load)]
    heapq.heapify(heap)
    for _ in range(num_slots - len(load)):
        while counts[heap[0][1]] == cap:
            heapq.heappop(heap)
        expert = heap[0][1]
        counts[expert] += 1
        heapq.heapreplace(heap, (-load[expert] / counts[expert], expert))
    return counts


def _make_way(
    gpus: list[list[int]],
    filled: list[float],
    load: list[int],
    counts: list[int],
    open_gpu: int,
    expert: int,
) -> int:
    """Move a replica from a full GPU without the expert to the open one; returns the former.

    Such a GPU exists, for the expert has fewer replicas placed than there are GPUs; and being
    full, it holds more experts than the open one, so one of them is not there yet.
    """
    gpu = min((g for g in range(len(gpus)) if expert not in gpus[g]), key=lambda g: (filled[g], g))
    moved = next(e for e in gpus[gpu] if e not in gpus[open_gpu])
    gpus[gpu].remove(moved)
    gpus[open_gpu].append(moved)
    share = load[moved] / counts[moved]
    filled[gpu] -= share
    filled[open_gpu] += share
    return gpu
