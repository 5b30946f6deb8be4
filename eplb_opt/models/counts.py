"""How many replicas an expert can have in a plan that is no worse than the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.problem import Problem


def fewest_replicas(problem: Problem, upper: Fraction) -> np.ndarray:
    """ceil(w / upper), at least 1: fewer would each exceed `upper`; int64 [num_experts]."""
    loads = problem.load[0].tolist()
    return np.array([max(-(-w * upper.denominator // upper.numerator), 1) for w in loads])


def most_replicas(problem: Problem, fewest: np.ndarray) -> np.ndarray:
    """What the slots leave when every other expert takes its fewest; int64 [num_experts].

    On a node an expert shares the slots with the rest of its group and at least the cheapest
    other groups that fill the node. Apart on the GPUs it has at most one a GPU.
    """
    most: np.ndarray = problem.num_slots - fewest.sum() + fewest
    if problem.is_hierarchical:
        most = np.minimum(most, _most_on_a_node(problem, fewest))
    if problem.colocation == "forbid":
        most = np.minimum(
            most, problem.gpus_per_node if problem.is_hierarchical else problem.num_gpus
        )
    return most


def _most_on_a_node(problem: Problem, fewest: np.ndarray) -> np.ndarray:
    of_group = fewest.reshape(problem.num_groups, -1).sum(axis=1)
    others = [
        np.sort(np.delete(of_group, group_idx))[: problem.groups_per_node - 1].sum()
        for group_idx in range(problem.num_groups)
    ]
    left = problem.slots_per_node - of_group - np.array(others)
    most: np.ndarray = np.repeat(left, problem.experts_per_group) + fewest
    return most


def most_on_a_gpu(
    problem: Problem, upper: Fraction, expert: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """Replicas of one size that one GPU takes, int64 [num_choices].

    At most the slots, the replicas there are, and what adds up to `upper`.
    """
    if problem.colocation == "forbid":
        return np.ones(len(count), dtype=np.int64)
    most = np.minimum(count, problem.slots_per_gpu)
    pairs = zip(problem.load[0][expert].tolist(), count.tolist(), most.tolist(), strict=True)
    top, bottom = upper.numerator, upper.denominator
    return np.array([min(m, top * c // (bottom * w)) if w else m for w, c, m in pairs])
