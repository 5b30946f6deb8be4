"""Which node each expert is at home on, and what share of a plan is served off home, exactly.

This module shares no code with the search or the exact model, whose plans it judges.
"""

from fractions import Fraction

import numpy as np

from eplb_opt.placement.relabel import best_assignment
from eplb_opt.problem import topology
from eplb_opt.problem.problem import Problem

#: Groups get their nodes by the load that they have there, in units of a layer's load over this.
LOAD_UNITS = 2**32
#: Worth more than any load: a node on which every expert of the group has a replica, where that is
#: a rule; and more than that: a node that must be home to a group.
ANCHOR, FILL = 2**40, 2**48


def homes_of(problem: Problem, physical_to_logical: np.ndarray) -> np.ndarray:
    """The home node of each expert, int64 [num_layers, num_experts].

    They are the problem's where it has any. Else each group gets a node by an assignment that
    keeps most of the plan's load at home (to 2**-32 of it for each group), with scenarios most of
    their weighted mean; where experts are anchored, one that leaves each a replica at home comes
    first.

    Parameters
    ----------
    problem
        A problem with a topology.
    physical_to_logical
        int64 [num_layers, num_slots], every expert at least once; -1 on lost GPUs.
    """
    rules = problem.topology
    if rules is None:
        raise ValueError("homes_of needs a problem with a topology.")
    if rules.homes is not None:
        return rules.homes
    group = topology.group_of_experts(problem)
    homes = np.empty((problem.num_layers, problem.num_experts), dtype=np.int64)
    for layer_idx, placed in enumerate(physical_to_logical):
        replicas = replicas_on_nodes(problem, placed)
        homes[layer_idx] = _best_nodes(problem, _parts(problem, layer_idx), replicas)[group]
    return homes


def replicas_on_nodes(problem: Problem, placed: np.ndarray) -> np.ndarray:
    """Replicas of each expert on each node in one layer's plan, int64 [num_experts, num_nodes]."""
    replicas = np.zeros((problem.num_experts, problem.num_nodes), dtype=np.int64)
    is_held = placed >= 0  # slots of lost GPUs hold nothing
    np.add.at(replicas, (placed[is_held], topology.node_of_slots(problem)[is_held]), 1)
    return replicas


def off_home(problem: Problem, physical_to_logical: np.ndarray) -> list[Fraction]:
    """The share of assignments that replicas off home serve, exactly, [num_layers].

    Every replica serves the same part of its expert's. A layer without load has nothing off home.
    Loads that were rounded down as they came in count with all that they may lack. With scenarios
    it is the weighted mean of theirs, or the largest where the worst counts.

    Parameters
    ----------
    problem
        A problem with a topology.
    physical_to_logical
        int64 [num_layers, num_slots], every expert at least once; -1 on lost GPUs.
    """
    of_each = list(zip(*scenario_off_home(problem, physical_to_logical), strict=True))
    if problem.objective == "max":
        counted = [r for r, share in enumerate(problem.shares) if share]
        return [max(row[r] for r in counted) for row in of_each]
    return [
        sum((s * part for s, part in zip(problem.shares, row, strict=True)), Fraction(0))
        for row in of_each
    ]


def scenario_off_home(problem: Problem, physical_to_logical: np.ndarray) -> list[list[Fraction]]:
    """What `off_home` is of each scenario alone, [num_scenarios][num_layers]; else one row.

    The homes are those of all scenarios together.
    """
    loads = problem.load.reshape(-1, problem.num_layers, problem.num_experts)
    rounded = problem.rounded.reshape(-1, problem.num_layers)
    found: list[list[Fraction]] = [[] for _ in loads]
    homes = homes_of(problem, physical_to_logical)
    for layer_idx, placed in enumerate(physical_to_logical):
        replicas = replicas_on_nodes(problem, placed)
        count = replicas.sum(axis=1)
        away = count - replicas[np.arange(len(replicas)), homes[layer_idx]]
        for row, load, lacks in zip(found, loads, rounded, strict=True):
            row.append(_share_off_home(load[layer_idx], bool(lacks[layer_idx]), count, away))
    return found


def _share_off_home(
    load: np.ndarray, is_rounded: bool, count: np.ndarray, away: np.ndarray
) -> Fraction:
    """Of one load, for `away` of the `count` replicas of each expert."""
    total = int(load.sum())
    if not total:
        return Fraction(0)
    # Added up by the number of replicas: fractions of the same denominator are integers.
    tokens = Fraction(is_rounded * len(load))
    for parts in np.unique(count[away > 0]).tolist():
        held = (count == parts) & (away > 0)
        pairs = zip(load[held].tolist(), away[held].tolist(), strict=True)
        tokens += Fraction(sum(w * a for w, a in pairs), parts)
    return min(tokens / total, Fraction(1))


def _parts(problem: Problem, layer_idx: int) -> np.ndarray:
    """Each expert's part of a layer's load, float64 [num_experts]; of several by their weights."""
    loads = problem.load.reshape(-1, problem.num_layers, problem.num_experts)[:, layer_idx]
    parts = loads / np.maximum(loads.sum(axis=1, keepdims=True), 1)
    if not problem.has_scenarios:
        return np.asarray(parts[0])
    weighted = np.array([float(share) for share in problem.shares])[:, None] * parts
    return np.asarray(weighted.sum(axis=0))


def _best_nodes(problem: Problem, parts: np.ndarray, replicas: np.ndarray) -> np.ndarray:
    """The home node of each group in one layer, int64 [num_groups]."""
    group = topology.group_of_experts(problem)
    share = parts / replicas.sum(axis=1)
    at_node = np.zeros((problem.num_groups, problem.num_nodes))
    np.add.at(at_node, group, share[:, None] * replicas)
    worth = np.rint(at_node * LOAD_UNITS).astype(np.int64)
    if problem.topology is not None and problem.topology.anchored:
        lacking = np.zeros(worth.shape, dtype=np.int64)
        np.add.at(lacking, group, replicas == 0)
        worth += np.where(lacking == 0, ANCHOR, 0)
    least, most = topology.group_rooms(problem)
    nodes = np.arange(problem.num_nodes)
    must, may = np.repeat(nodes, least), np.repeat(nodes, most - least)
    # A square: places of nodes are columns, and rows without a group may take those left over.
    places = np.concatenate([must, may])
    square = np.zeros((len(places), len(places)), dtype=np.int64)
    square[: problem.num_groups] = worth[:, places]
    square[: problem.num_groups, : len(must)] += FILL
    square[: problem.num_groups] += 1  # no group goes without a place
    return np.asarray(places[best_assignment(square)[: problem.num_groups]])
