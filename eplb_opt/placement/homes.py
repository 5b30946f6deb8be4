"""Which node each expert is at home on, and what a plan's assignments cost, exactly.

That cost is the mean of what `problem.links` says of each; with 0 at home and 1 elsewhere it is the
share of assignments that is served off home.

This module shares no code with the search or the exact model, whose plans it judges.
"""

from fractions import Fraction

import numpy as np

from eplb_opt.placement.crossing import crossing
from eplb_opt.placement.peaks import MAX_COUNT
from eplb_opt.placement.relabel import best_assignment
from eplb_opt.problem import topology
from eplb_opt.problem.problem import Problem

#: Groups get their nodes by the load that they have there, in units of a layer's load over this.
LOAD_UNITS = 2**32
#: Costs of an expert's replicas below this add up in int64.
MAX_COST_SUM = 2**62
#: Worth more than any load: a node on which every expert of the group has a replica, where that is
#: a rule; and more than that: a node that must be home to a group.
ANCHOR, FILL = 2**40, 2**48


def homes_of(problem: Problem, physical_to_logical: np.ndarray) -> np.ndarray:
    """The home node of each expert, int64 [num_layers, num_experts].

    They are the problem's where it has any. Where it has sources alone, an expert's home is the
    node with the cheapest place for it, the first of equals. Else each group gets a node by an
    assignment that costs the plan's load least (to 2**-32 of the dearest link for each group), with
    scenarios their weighted mean; where experts are anchored, one that leaves each a replica at
    home comes first.

    Parameters
    ----------
    problem
        A problem with a topology whose experts have homes: one that is split uniformly.
    physical_to_logical
        int64 [num_layers, num_slots], every expert at least once; -1 on lost GPUs.
    """
    rules = problem.topology
    if rules is None:
        raise ValueError("homes_of needs a problem with a topology.")
    if rules.homes is not None:
        return rules.homes
    if not rules.chooses_homes:
        return cheapest_nodes(problem)
    group = topology.group_of_experts(problem)
    homes = np.empty((problem.num_layers, problem.num_experts), dtype=np.int64)
    for layer_idx, placed in enumerate(physical_to_logical):
        homes[layer_idx] = _best_nodes(problem, layer_idx, placed)[group]
    return homes


def replicas_on_nodes(problem: Problem, placed: np.ndarray) -> np.ndarray:
    """Replicas of each expert on each node in one layer's plan, int64 [num_experts, num_nodes]."""
    return _counted(problem, placed, topology.node_of_gpus(problem), problem.num_nodes)


def replicas_on_places(problem: Problem, placed: np.ndarray) -> np.ndarray:
    """Replicas of each expert on each place of `link_costs`, int64 [num_experts, num_places]."""
    links = problem.link_costs
    return _counted(problem, placed, links.place, links.num_places)


def _counted(problem: Problem, placed: np.ndarray, of_gpu: np.ndarray, num: int) -> np.ndarray:
    """Replicas of each expert on each of the places of GPUs, int64 [num_experts, num]."""
    at = placed * num + np.repeat(of_gpu, problem.slots_per_gpu)
    held = at[placed >= 0]  # slots of lost GPUs hold nothing
    return np.bincount(held, minlength=problem.num_experts * num).reshape(-1, num)


def cheapest_nodes(problem: Problem) -> np.ndarray:
    """The node with the cheapest place for each expert, int64 [num_layers, num_experts].

    Parameters
    ----------
    problem
        A problem whose topology has sources.
    """
    links = problem.link_costs
    node = topology.node_of_gpus(problem)
    is_there = problem.open_slots > 0
    cost = np.where(is_there, links.table[:, :, links.place], np.iinfo(np.int64).max)
    return np.asarray(node[cost.argmin(axis=2)])


def off_home(problem: Problem, physical_to_logical: np.ndarray) -> list[Fraction]:
    """The mean cost of an assignment, exactly, [num_layers]: the share served off home by default.

    Every replica serves the same part of its expert's; where every GPU sends to one replica, it is
    the share that crosses nodes. A layer without load costs nothing. Loads that were rounded down
    as they came in count with all that they may lack. With scenarios it is the weighted mean of
    theirs, or the largest where the worst counts.

    Parameters
    ----------
    problem
        A problem with a topology.
    physical_to_logical
        int64 [num_layers, num_slots], every expert at least once; -1 on lost GPUs.
    """
    if problem.splits_by_sender:
        return crossing(problem, physical_to_logical)
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
    if problem.splits_by_sender:
        return [crossing(problem, physical_to_logical)]
    loads = problem.load.reshape(-1, problem.num_layers, problem.num_experts)
    rounded = problem.rounded.reshape(-1, problem.num_layers)
    found: list[list[Fraction]] = [[] for _ in loads]
    links, homes = problem.link_costs, homes_of(problem, physical_to_logical)
    for layer_idx, placed in enumerate(physical_to_logical):
        replicas = replicas_on_places(problem, placed)
        count = replicas.sum(axis=1)
        table = links.of_experts(layer_idx, homes[layer_idx])
        dearest = int(table.max())
        if dearest * problem.num_slots >= MAX_COST_SUM:
            replicas, table = replicas.astype(object), table.astype(object)
        cost = (replicas * table).sum(axis=1)
        unit = links.unit[layer_idx]
        for row, load, lacks in zip(found, loads, rounded, strict=True):
            lacking = int(lacks[layer_idx]) * dearest
            row.append(_mean_cost(load[layer_idx], lacking, count, cost, dearest) / unit)
    return found


def with_price(
    problem: Problem, physical_to_logical: np.ndarray, ratios: list[list[Fraction]]
) -> list[list[Fraction]]:
    """Ratios of load, [num_scenarios][num_layers], with the price of what is off home, if any."""
    if problem.topology is None:
        return ratios
    price = problem.topology.exact_price
    rows = zip(ratios, scenario_off_home(problem, physical_to_logical), strict=True)
    return [[load + price * part for load, part in zip(*row, strict=True)] for row in rows]


def _mean_cost(
    load: np.ndarray, lacking: int, count: np.ndarray, cost: np.ndarray, dearest: int
) -> Fraction:
    """Of one load, where the replicas of each expert cost so much together."""
    total = int(load.sum())
    if not total:
        return Fraction(0)
    costs = cost > 0
    served = _quotients(load[costs], cost[costs], count[costs], total * dearest)
    return min((served + lacking * len(load)) / total, Fraction(dearest))


def _parts(problem: Problem, layer_idx: int) -> np.ndarray:
    """Each expert's part of a layer's load, float64 [num_experts]; of several by their weights."""
    loads = problem.load.reshape(-1, problem.num_layers, problem.num_experts)[:, layer_idx]
    parts = loads / np.maximum(loads.sum(axis=1, keepdims=True), 1)
    if not problem.has_scenarios:
        return np.asarray(parts[0])
    weighted = np.array([float(share) for share in problem.shares])[:, None] * parts
    return np.asarray(weighted.sum(axis=0))


def _quotients(load: np.ndarray, cost: np.ndarray, count: np.ndarray, most: int) -> Fraction:
    """The sum of load * cost / count, which is at most `most`, exactly."""
    if not len(count):
        return Fraction(0)
    if count.max() <= MAX_COUNT and cost.dtype != object:
        parts = int(np.lcm.reduce(count))
        if most * parts < MAX_COST_SUM:
            return Fraction(int((load * cost * (parts // count)).sum()), parts)
    # Added up by the number of replicas: fractions of the same denominator are integers.
    tokens = Fraction(0)
    for number in np.unique(count).tolist():
        held = count == number
        pairs = zip(load[held].tolist(), cost[held].tolist(), strict=True)
        tokens += Fraction(sum(w * a for w, a in pairs), number)
    return tokens


def _best_nodes(problem: Problem, layer_idx: int, placed: np.ndarray) -> np.ndarray:
    """The home node of each group in one layer, int64 [num_groups]."""
    replicas = replicas_on_places(problem, placed)
    share = _parts(problem, layer_idx) / replicas.sum(axis=1)
    rows = problem.link_costs.table[layer_idx]
    saved = (int(rows.max()) - rows) / max(int(rows.max()), 1)  # of the dearest link, by homes
    begins = np.arange(problem.num_groups) * topology.experts_per_group(problem)
    at_node = np.add.reduceat(share[:, None] * (replicas @ saved.T), begins, axis=0)
    worth = np.rint(at_node * LOAD_UNITS).astype(np.int64)
    if problem.topology is not None and problem.topology.anchored:
        is_held = np.logical_and.reduceat(replicas_on_nodes(problem, placed) > 0, begins, axis=0)
        worth += np.where(is_held, ANCHOR, 0)
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
