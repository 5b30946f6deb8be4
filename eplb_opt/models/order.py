"""One order of like GPUs and like nodes, for the model and for its warm start alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eplb_opt.problem import Problem

#: Largest key of a GPU; the keys are coefficients, and small ones suit every solver.
MAX_KEY = 16


def gpu_key_weights(problem: Problem) -> np.ndarray:
    """What a replica of each expert adds to the key of its GPU, int64 [num_experts].

    The heaviest experts of each group count as the digits of a number, so that GPUs are ordered
    by their replicas of the heaviest, then of the next; the others weigh nothing.
    """
    base = problem.slots_per_gpu + 1 if problem.colocation == "allow" else 2
    num_digits = 1
    while base ** (num_digits + 1) <= MAX_KEY:
        num_digits += 1
    num_groups = problem.num_groups if problem.is_hierarchical else 1
    load = problem.load[0].reshape(num_groups, -1)
    rank = np.argsort(np.argsort(-load, axis=1, kind="stable"), axis=1)
    digit = num_digits - 1 - rank
    weight: np.ndarray = np.where(digit >= 0, base ** np.maximum(digit, 0), 0)
    return weight.ravel()


def group_ranks(problem: Problem) -> np.ndarray:
    """0 for the heaviest group and so on, int64 [num_groups]."""
    total = problem.load[0].reshape(problem.num_groups, -1).sum(axis=1)
    return np.argsort(np.argsort(-total, kind="stable"))


def in_order(problem: Problem, placed: np.ndarray) -> np.ndarray:
    """The same plan with nodes and GPUs in the model's order.

    Parameters
    ----------
    placed
        int64 [num_slots], a plan that fits the problem.

    Returns
    -------
    int64 [num_gpus, slots_per_gpu].
    """
    gpus = placed.reshape(problem.num_gpus, -1)
    if not problem.is_hierarchical:
        return _by_key(problem, gpus)
    nodes = gpus.reshape(problem.num_nodes, problem.gpus_per_node, -1)
    first = group_ranks(problem)[nodes // problem.experts_per_group].min(axis=(1, 2))
    return np.concatenate([_by_key(problem, node) for node in nodes[np.argsort(first)]])


def _by_key(problem: Problem, gpus: np.ndarray) -> np.ndarray:
    key = gpu_key_weights(problem)[gpus].sum(axis=1)
    return np.asarray(gpus[np.argsort(-key, kind="stable")])
