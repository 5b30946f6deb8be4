"""How many replicas an expert can have in a plan that is no worse than the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.exact.shared.loads import LayerLoads
    from eplb_opt.problem.problem import Problem


def fewest_replicas(problem: Problem, loads: LayerLoads) -> np.ndarray:
    """The fewest replicas of each expert in a plan no worse than the start, int64 [num_experts].

    With fewer than ceil(w / most) replicas, each would exceed what a GPU may carry under one of the
    loads; with costs, the table says how many that takes. That GPU is the fastest one on which the
    expert may stand; where the expert is pinned, it is the slowest one to which it is pinned. An
    expert also needs a replica on every GPU to which it is pinned, and two where its replicas are
    spread.

    Parameters
    ----------
    problem
        A problem of one layer.
    loads
        The loads that the model looks at.
    """
    speed = _speeds(problem)
    fewest = np.full(problem.num_experts, 1 if problem.spread is None else 2, dtype=np.int64)
    if problem.pinned is not None:
        fewest = np.maximum(fewest, problem.pinned[0].sum(axis=1))
    for one in loads.each:
        most = [one.most * one.unit * s for s in speed]
        known = fewest.tolist()
        fewest = np.array([one.fewest(e, most[e], known[e]) for e in range(len(known))])
    return fewest


def most_replicas(problem: Problem, fewest: np.ndarray) -> np.ndarray:
    """The most replicas that the slots leave each expert, int64 [num_experts].

    Every other expert takes its fewest. On a node an expert shares the slots with the rest of its
    group and with the other groups that fill the node, at best those of the fewest replicas. Under
    colocation="forbid" it has at most one replica a GPU.

    Parameters
    ----------
    problem
        A problem of one layer.
    fewest
        int64 [num_experts], the fewest replicas of each expert.
    """
    most: np.ndarray = problem.open_slots.sum() - fewest.sum() + fewest
    if problem.is_hierarchical:
        most = np.minimum(most, _most_on_a_node(problem, fewest))
    if problem.colocation == "forbid":
        num_open = int((problem.open_slots > 0).sum())
        most = np.minimum(most, problem.gpus_per_node if problem.is_hierarchical else num_open)
    if problem.forbidden is not None:
        one_a_gpu = problem.colocation == "forbid"
        room = np.minimum(problem.open_slots, 1) if one_a_gpu else problem.open_slots
        most = np.minimum(most, ~problem.forbidden[0] @ room)
    return most


def _speeds(problem: Problem) -> list[Fraction]:
    """The speed that decides how large a replica of each expert may be."""
    if problem.gpu_speed is None:
        return list(problem.speed[:1]) * problem.num_experts
    usable = np.broadcast_to(problem.open_slots > 0, (problem.num_experts, problem.num_gpus))
    if problem.forbidden is not None:
        usable = usable & ~problem.forbidden[0]
    deciding = []
    for expert_idx, allowed in enumerate(usable):
        tied = () if problem.pinned is None else np.flatnonzero(problem.pinned[0, expert_idx])
        if len(tied):
            deciding.append(min(problem.speed[g] for g in tied))
        else:
            deciding.append(max(problem.speed[g] for g in np.flatnonzero(allowed)))
    return deciding


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
    problem: Problem, loads: LayerLoads, expert: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """The most replicas of each choice that a GPU takes, int64 [num_choices, num_gpus].

    They are no more than the GPU's slots, no more than the choice has, and together no larger than
    what the GPU may carry under any load. The last axis has length 1 where all GPUs are alike.

    Parameters
    ----------
    problem
        A problem of one layer.
    loads
        The loads that the model looks at.
    expert, count
        int64 [num_choices], as in `Choices`.
    """
    kinds = list(zip(problem.open_slots.tolist(), problem.speed, strict=True))
    of_kind = {
        kind: _most_on_one(problem.colocation, *kind, loads, expert, count)
        for kind in dict.fromkeys(kinds)
    }
    if len(of_kind) == 1:
        return of_kind[kinds[0]][:, None]
    return np.stack([of_kind[kind] for kind in kinds], axis=1)


def _most_on_one(
    colocation: str,
    slots: int,
    speed: Fraction,
    loads: LayerLoads,
    expert: np.ndarray,
    count: np.ndarray,
) -> np.ndarray:
    if colocation == "forbid":
        return np.full(len(count), min(slots, 1), dtype=np.int64)
    most: np.ndarray = np.minimum(count, slots)
    for one in loads.each:
        limit = one.most * one.unit * speed
        top, bottom = limit.numerator, limit.denominator
        choices = zip(expert.tolist(), count.tolist(), strict=True)
        together = (one.together(e, c) for e, c in choices)
        triples = zip(together, count.tolist(), most.tolist(), strict=True)
        most = np.array([min(m, top * c // (bottom * w)) if w else m for w, c, m in triples])
    return most
