"""Names of GPUs that differ in speed or slots: they trade places with their like alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.relabel import best_assignment, relabelled
from eplb_opt.problem import node_kinds

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


def has_unlike_names(problem: Problem) -> bool:
    """Whether GPUs of the same speed and slots may trade, as nothing else tells them apart."""
    rules = problem.pinned, problem.forbidden, problem.spread
    is_tied = any(rule is not None for rule in rules) or problem.splits_by_sender
    has_links = problem.topology is not None and not problem.topology.counts_off_home
    is_told_apart = has_links and problem.link_costs.tells_gpus_apart
    return problem.has_gpu_rules and not (is_tied or is_told_apart)


def named_by_kind(problem: Problem, current: np.ndarray, best: np.ndarray) -> np.ndarray:
    """A layer's plan with GPUs named as the one in force has them, and worth the same.

    GPUs trade names with those of the same speed and slots, on their own node where it matters on
    which node a GPU is; nodes that are alike trade places where their homes are not given.

    Parameters
    ----------
    problem
        A problem whose GPUs differ in speed and slots alone.
    current, best
        int64 [num_slots] each, the plan in force and the one to rename.

    Returns
    -------
    int64 [num_slots].
    """
    # What is empty in force and can be filled holds an expert that nobody wants.
    held = np.where(current < 0, problem.num_experts, current)
    shape = problem.num_gpus, problem.slots_per_gpu
    rows = np.where(problem.is_open, held, -1).reshape(shape), best.reshape(shape)
    placed = rows[1].copy()
    for nodes in _nodes_that_trade(problem):
        tried = {
            (new, old): [
                (onto, relabelled(rows[0][onto].ravel(), rows[1][of].ravel(), len(onto)))
                for onto, of in zip(nodes[old], nodes[new], strict=True)
            ]
            for new in range(len(nodes))
            for old in range(len(nodes))
        }
        stays = np.zeros((len(nodes), len(nodes)), dtype=np.int64)
        for pair, parts in tried.items():
            stays[pair] = sum(int((rows[0][onto].ravel() == row).sum()) for onto, row in parts)
        for new, old in enumerate(best_assignment(stays).tolist()):
            for onto, row in tried[new, old]:
                placed[onto] = row.reshape(len(onto), -1)
    return placed.ravel()


def _nodes_that_trade(problem: Problem) -> list[list[list[list[int]]]]:
    """Sets of nodes that may trade places, each node as lists of its GPUs that are alike."""
    binds = problem.has_topology or problem.has_nodes
    if not binds:
        every = np.flatnonzero(problem.open_slots > 0).tolist()
        return [[_by_kind(problem, every)]]
    nodes = [_by_kind(problem, gpus) for gpus in node_kinds.gpus_on_nodes(problem)]
    rules = problem.topology
    if rules is not None and not (rules.chooses_homes and rules.counts_off_home):
        return [[node] for node in nodes]
    kinds = node_kinds.kinds_of_nodes(problem)
    return [[nodes[n] for n, k in enumerate(kinds) if k == kind] for kind in sorted(set(kinds))]


def _by_kind(problem: Problem, gpus: list[int]) -> list[list[int]]:
    rates, slots = problem.whole_speed[0], problem.open_slots.tolist()
    kinds: dict[tuple[int, int], list[int]] = {}
    for gpu in sorted(gpus, key=lambda g: (rates[g], slots[g], g)):
        kinds.setdefault((rates[gpu], slots[gpu]), []).append(gpu)
    return list(kinds.values())
