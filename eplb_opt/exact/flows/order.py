"""One order of like GPUs and like nodes for sets of hosts; `shared.order` has that for replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.shared.order import group_ranks, like_gpus, nodes_are_alike
from eplb_opt.problem.scenarios import blended

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: The number of digits of a GPU's key; each doubles the largest coefficient.
NUM_DIGITS = 8


def set_key_weights(problem: Problem) -> np.ndarray:
    """What an expert adds to the key of a GPU that hosts it, int64 [num_experts].

    The heaviest experts of each group are the digits of a binary number, the others weigh nothing.
    """
    num_groups = problem.num_groups if problem.is_hierarchical else 1
    load = blended(problem).load[0].reshape(num_groups, -1)
    rank = np.argsort(np.argsort(-load, axis=1, kind="stable"), axis=1)
    digit = min(NUM_DIGITS, load.shape[1]) - 1 - rank
    weight: np.ndarray = np.where(digit >= 0, 2 ** np.maximum(digit, 0), 0)
    return weight.ravel()


def hosts_in_order(
    problem: Problem, hosts: np.ndarray, held: np.ndarray | None = None
) -> np.ndarray:
    """The same hosts with nodes and GPUs in the model's order, bool [num_experts, num_gpus].

    Parameters
    ----------
    problem
        A problem of one layer.
    hosts
        bool [num_experts, num_gpus], of a plan that fits the problem.
    held
        bool [num_experts, num_gpus], as in `shared.order.like_gpus`.
    """
    if problem.is_hierarchical and nodes_are_alike(problem, held):
        nodes = hosts.reshape(problem.num_experts, problem.num_nodes, -1)
        ranks = np.repeat(group_ranks(problem), problem.experts_per_group)
        first = np.where(nodes.any(axis=2), ranks[:, None], problem.num_groups).min(axis=0)
        hosts = nodes[:, np.argsort(first)].reshape(hosts.shape)
    key = set_key_weights(problem) @ hosts
    ordered = hosts.copy()
    for like in like_gpus(problem, held):
        ordered[:, like] = hosts[:, like[np.argsort(-key[like], kind="stable")]]
    return ordered
