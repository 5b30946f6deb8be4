"""Warm starts: complete plans from the heuristics, and one of our own where they do not apply."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bounds.partitions import greedy_partition
from eplb_opt.core import rules
from eplb_opt.problem.scenarios import blended
from eplb_opt.search.fill import fill_plan
from heuristics import greedy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eplb_opt.problem.problem import Problem

#: Published heuristics whose answers differ from the greedy's: not "deepseek", "vectorized_lpt".
PUBLISHED_STARTS = ("swap_refine", "replica_refine_guarded", "waterfill_diverse", "cpu_lpt_slotted")


def first_plan(problem: Problem) -> np.ndarray:
    """The greedy every engine ships, or one that keeps replicas apart, [num_layers, num_slots].

    It takes a millisecond and cannot fail, so it is there whatever else fails. With scenarios
    it is made for their blend.
    """
    problem = blended(problem)
    if problem.has_gpu_rules:
        return fill_plan(problem)
    if problem.colocation == "forbid":
        return spread_plan(problem)
    return np.asarray(greedy.rebalance_experts(*heuristic_arguments(problem))[0])


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
    another replica makes way.

    Returns
    -------
    int64 [num_layers, num_slots].
    """
    placed = np.empty((problem.num_layers, problem.num_slots), dtype=np.int64)
    num_gpus = problem.num_gpus // (problem.num_nodes if problem.is_hierarchical else 1)
    for layer_idx in range(problem.num_layers):
        for node_idx, experts in enumerate(_experts_of_nodes(problem, layer_idx)):
            slots = spread(problem.load[layer_idx, experts], num_gpus, problem.slots_per_gpu)
            first = node_idx * len(slots)
            placed[layer_idx, first : first + len(slots)] = np.array(experts)[slots]
    return placed


def spread(load: Sequence[int] | np.ndarray, num_gpus: int, slots_per_gpu: int) -> np.ndarray:
    """The greedy of `spread_plan` on one node, int64 [num_slots]."""
    slots = np.empty(num_gpus * slots_per_gpu, dtype=np.int64)
    rules.place_apart(np.ascontiguousarray(load, dtype=np.int64), num_gpus, slots)
    return slots


def _experts_of_nodes(problem: Problem, layer_idx: int) -> list[list[int]]:
    """Expert ids of each node: all of them on one when flat, else groups packed greedily."""
    if not problem.is_hierarchical:
        return [list(range(problem.num_experts))]
    size = problem.experts_per_group
    nodes = greedy_partition(problem.layer(layer_idx))
    return [[g * size + i for g in held for i in range(size)] for held in nodes]
