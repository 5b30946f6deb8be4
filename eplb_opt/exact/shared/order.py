"""One order of GPUs and nodes that are alike, for the model and for its warm start.

GPUs that can change places in any plan are sorted by a key. Every plan can be brought into that
order, so constraints that demand it exclude no value: they break the symmetry.

References
----------
F. Margot, "Symmetry in Integer Linear Programming", in 50 Years of Integer Programming, 2010.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.problem.scenarios import blended

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: The largest key of a GPU; the keys are coefficients, and small ones suit every backend.
MAX_KEY = 16


def like_gpus(problem: Problem, held: np.ndarray | None = None) -> list[np.ndarray]:
    """The classes of GPUs that can change places in any plan, each as ascending GPU indices.

    The GPUs of a class have the same slots and speed and the same experts pinned and forbidden.
    Where moves count they hold the same experts now; where nodes matter they are on one node.

    Parameters
    ----------
    problem
        A problem of one layer.
    held
        bool [num_experts, num_gpus], or None where moves do not count.
    """
    by_node = problem.is_hierarchical or problem.spread == "node"
    masks = [problem.pinned, problem.forbidden, None if held is None else held[None]]
    ties = [mask[0] for mask in masks if mask is not None]
    kinds: dict[Any, list[int]] = {}
    for gpu_idx in range(problem.num_gpus):
        node = gpu_idx // problem.gpus_per_node if by_node else 0
        tied = tuple(mask[:, gpu_idx].tobytes() for mask in ties)
        kind = (node, int(problem.open_slots[gpu_idx]), problem.speed[gpu_idx], tied)
        kinds.setdefault(kind, []).append(gpu_idx)
    return [np.array(gpus) for gpus in kinds.values()]


def nodes_are_alike(problem: Problem, held: np.ndarray | None = None) -> bool:
    """Whether the nodes of a hierarchical problem can change places in any plan."""
    return not problem.has_gpu_rules and held is None


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
    load = blended(problem).load[0].reshape(num_groups, -1)
    rank = np.argsort(np.argsort(-load, axis=1, kind="stable"), axis=1)
    digit = num_digits - 1 - rank
    weight: np.ndarray = np.where(digit >= 0, base ** np.maximum(digit, 0), 0)
    return weight.ravel()


def group_ranks(problem: Problem) -> np.ndarray:
    """The rank of each group by its load, 0 for the heaviest, int64 [num_groups]."""
    total = blended(problem).load[0].reshape(problem.num_groups, -1).sum(axis=1)
    return np.argsort(np.argsort(-total, kind="stable"))


def in_order(problem: Problem, placed: np.ndarray, held: np.ndarray | None = None) -> np.ndarray:
    """The same plan with nodes and GPUs in the model's order.

    Parameters
    ----------
    problem
        A problem of one layer.
    placed
        int64 [num_slots], a valid plan.
    held
        bool [num_experts, num_gpus], as in `like_gpus`.

    Returns
    -------
    int64 [num_gpus, slots_per_gpu]; -1 is an empty slot.
    """
    gpus = placed.reshape(problem.num_gpus, -1)
    if problem.is_hierarchical and nodes_are_alike(problem, held):
        nodes = gpus.reshape(problem.num_nodes, problem.gpus_per_node, -1)
        first = group_ranks(problem)[nodes // problem.experts_per_group].min(axis=(1, 2))
        gpus = nodes[np.argsort(first)].reshape(gpus.shape)
    # An empty slot, -1, takes the last weight, which is 0.
    key = np.append(gpu_key_weights(problem), 0)[gpus].sum(axis=1)
    ordered = gpus.copy()
    for like in like_gpus(problem, held):
        ordered[like] = gpus[like[np.argsort(-key[like], kind="stable")]]
    return ordered
