"""Simple plans to start from."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


def round_robin(problem: Problem) -> np.ndarray:
    """Experts in turn over the slots of their node; valid, and usually poor; int64 [num_slots].

    A GPU holds consecutive experts, so that none meets itself where it may not.
    """
    num_nodes = problem.num_nodes if problem.is_hierarchical else 1
    nodes = np.arange(problem.num_experts).reshape(num_nodes, -1)
    return np.concatenate([np.resize(node, problem.num_slots // num_nodes) for node in nodes])


def water_filled(problem: Problem) -> np.ndarray:
    """Spare slots to the largest replica, replicas to the lightest GPU; flat; int64 [num_slots]."""
    loads = problem.load[0].tolist()
    counts = [1] * len(loads)
    for _ in range(problem.num_slots - len(loads)):
        counts[max(range(len(loads)), key=lambda e: Fraction(loads[e], counts[e]))] += 1
    sizes = [Fraction(w, c) for w, c in zip(loads, counts, strict=True)]
    gpus: list[list[int]] = [[] for _ in range(problem.num_gpus)]
    for expert in sorted(range(len(loads)), key=lambda e: -sizes[e]):
        for _ in range(counts[expert]):
            free = [gpu for gpu in gpus if len(gpu) < problem.slots_per_gpu]
            min(free, key=lambda gpu: sum(sizes[e] for e in gpu)).append(expert)
    return np.array(gpus).ravel()


def simple_start(problem: Problem) -> np.ndarray:
    """A valid plan, good where that is easy; int64 [num_slots]."""
    if problem.is_hierarchical or problem.colocation == "forbid":
        return round_robin(problem)
    return water_filled(problem)
