"""One order of like GPUs and like nodes, for the model and for its warm start alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.problem.scenarios import blended

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Largest key of a GPU; the keys are coefficients, and small ones suit every solver.
MAX_KEY = 16


def like_gpus(problem: Problem, held: np.ndarray | None = None) -> list[np.ndarray]:
    """GPUs that can change places in any plan, as lists of their indices, ascending.

    They have the same slots and speed, the same experts pinned and forbidden, and hold the same now
    where moves count; where nodes matter they stand on one.

    Parameters
    ----------
    problem
        Of one layer.
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
    """0 for the heaviest group and so on, int64 [num_groups]."""
    total = blended(problem).load[0].reshape(problem.num_groups, -1).sum(axis=1)
    return np.argsort(np.argsort(-total, kind="stable"))


def in_order(problem: Problem, placed: np.ndarray, held: np.ndarray | None = None) -> np.ndarray:
    """The same plan with nodes and GPUs in the model's order.

    Parameters
    ----------
    problem
        Of one layer.
    placed
        int64 [num_slots], a plan that fits the problem.
    held
        See `like_gpus`.

    Returns
    -------
    int64 [num_gpus, slots_per_gpu]; -1 is an empty slot.
    """
    gpus = placed.reshape(problem.num_gpus, -1)
    if problem.is_hierarchical and nodes_are_alike(problem, held):
        nodes = gpus.reshape(problem.num_nodes, problem.gpus_per_node, -1)
        first = group_ranks(problem)[nodes // problem.experts_per_group].min(axis=(1, 2))
        gpus = nodes[np.argsort(first)].reshape(gpus.shape)
    # An empty slot takes the weight behind the last expert's.
    key = np.append(gpu_key_weights(problem), 0)[gpus].sum(axis=1)
    ordered = gpus.copy()
    for like in like_gpus(problem, held):
        ordered[like] = gpus[like[np.argsort(-key[like], kind="stable")]]
    return ordered
