"""Which node each expert is at home on, and what a plan's assignments cost, exactly.

That cost is the mean of what `problem.links` says of each; with 0 at home and 1 elsewhere it is the
share of assignments that is served off home.

This module shares no code with the search or the exact model, whose plans it judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.crossing import crossing
from eplb_opt.placement.peaks import MAX_COUNT
from eplb_opt.placement.relabel import best_assignment
from eplb_opt.problem import topology

if TYPE_CHECKING:
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
    return _best_nodes(problem, physical_to_logical)[:, group]


def replicas_on_nodes(problem: Problem, placed: np.ndarray) -> np.ndarray:
    """Replicas of each expert on each node in one layer's plan, int64 [num_experts, num_nodes]."""
    at = placed * problem.num_nodes + topology.node_of_slots(problem)
    held = at[placed >= 0]  # slots of lost GPUs hold nothing
    size = problem.num_experts * problem.num_nodes
    return np.bincount(held, minlength=size).reshape(-1, problem.num_nodes)


def stands_on_nodes(problem: Problem, placed: np.ndarray) -> np.ndarray:
    """Whether a node holds a replica of an expert, bool [num_layers, num_experts, num_nodes]."""
    # Slots of lost GPUs count for an expert of their own, which is left out.
    shape = len(placed), problem.num_experts + 1, problem.num_nodes
    stands = np.zeros(shape, dtype=bool)
    stands[np.arange(len(placed))[:, None], placed, topology.node_of_slots(problem)] = True
    return stands[:, :-1]


def cheapest_nodes(problem: Problem) -> np.ndarray:
    """The node with the cheapest place for each expert, int64 [num_layers, num_experts].

    Parameters
    ----------
    problem
        A problem whose topology has sources.
    """
    links = problem.link_costs
    node = topology.node_of_gpus(problem)
    first = np.searchsorted(links.place, np.arange(links.num_places))  # GPU of each place
    is_there = np.bincount(links.place, problem.open_slots, links.num_places) > 0
    cost = np.where(is_there, links.table, np.iinfo(np.int64).max)
    return np.asarray(node[first[cost.argmin(axis=2)]])


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
    homes = homes_of(problem, physical_to_logical)
    paid = _Paid.of(problem, physical_to_logical, homes)
    return [paid.means(load, lacks) for load, lacks in zip(loads, rounded, strict=True)]


def with_price(
    problem: Problem, physical_to_logical: np.ndarray, ratios: list[list[Fraction]]
) -> list[list[Fraction]]:
    """Ratios of load, [num_scenarios][num_layers], with the price of what is off home, if any."""
    if problem.topology is None:
        return ratios
    price = problem.topology.exact_price
    rows = zip(ratios, scenario_off_home(problem, physical_to_logical), strict=True)
    return [[load + price * part for load, part in zip(*row, strict=True)] for row in rows]


@dataclass(frozen=True, eq=False)
class _Paid:
    """What the assignments of a plan cost, all layers at once.

    Parameters
    ----------
    count
        int64 [num_layers, num_experts], replicas.
    cost
        [num_layers, num_experts], what an expert's replicas cost together, in parts of `unit`;
        int64 or, where that may be too narrow, Python's integers.
    dearest
        [num_layers], the most that an assignment could cost.
    unit
        [num_layers], what makes a cost of 1.
    """

    count: np.ndarray
    cost: np.ndarray
    dearest: list[int]
    unit: tuple[int, ...]

    @classmethod
    def of(cls, problem: Problem, placed: np.ndarray, homes: np.ndarray) -> _Paid:
        """Those of a plan, int64 [num_layers, num_slots], and the experts' homes."""
        links = problem.link_costs
        table, layers = links.table, np.arange(len(placed))[:, None]
        rows = np.take_along_axis(homes, placed, axis=1) if links.by_home else placed
        of_slots = table[layers, rows, np.repeat(links.place, problem.slots_per_gpu)]
        dearest = table.max(axis=2)
        if links.by_home:
            dearest = np.take_along_axis(dearest, homes, axis=1)
        most = dearest.max(axis=1)
        is_large = int(most.max()) * problem.num_slots >= MAX_COST_SUM
        is_there = placed >= 0  # slots of lost GPUs hold nothing
        at = (layers * problem.num_experts + placed)[is_there]
        size = len(placed) * problem.num_experts
        cost = np.zeros(size, dtype=object if is_large else np.int64)
        np.add.at(cost, at, of_slots[is_there].astype(cost.dtype))
        shape = len(placed), problem.num_experts
        count = np.bincount(at, minlength=size).reshape(shape)
        return cls(count, cost.reshape(shape), most.tolist(), links.unit)

    def means(self, load: np.ndarray, lacks: np.ndarray) -> list[Fraction]:
        """The mean cost of an assignment, [num_layers].

        Parameters
        ----------
        load
            int64 [num_layers, num_experts].
        lacks
            bool [num_layers], whether loads of the layer were rounded down.
        """
        # All of a layer over one denominator, as far as int64 surely holds it.
        divisor = np.where(self.cost > 0, self.count, 1)
        totals = load.sum(axis=1)
        if self.cost.dtype == object:
            served, parts = [0] * len(load), [0] * len(load)
        else:
            fits = divisor.max(axis=1) <= MAX_COUNT
            lcm = np.lcm.reduce(np.where(fits[:, None], divisor, 1), axis=1)
            fits &= totals.astype(float) * self.dearest * lcm < MAX_COST_SUM / 2
            whole = np.where(fits, lcm, 0)
            served = (load * self.cost * (whole[:, None] // divisor)).sum(axis=1).tolist()
            parts = whole.tolist()
        found = []
        each = zip(totals.tolist(), self.dearest, self.unit, lacks.tolist(), strict=True)
        for layer_idx, (total, dearest, unit, is_rounded) in enumerate(each):
            if not total:
                found.append(Fraction(0))
                continue
            top, bottom = served[layer_idx], parts[layer_idx]
            if not bottom:
                top, bottom = self._served(layer_idx, load[layer_idx]).as_integer_ratio()
            top += is_rounded * dearest * load.shape[1] * bottom
            most = dearest * total * bottom
            found.append(Fraction(min(top, most), total * bottom * unit))
        return found

    def _served(self, layer_idx: int, load: np.ndarray) -> Fraction:
        """What all assignments of a layer cost together, in integers of any size."""
        cost, count = self.cost[layer_idx], self.count[layer_idx]
        if int(load.sum()) * self.dearest[layer_idx] * int(count.max()) >= MAX_COST_SUM:
            load = load.astype(object)
        # Added up by the number of replicas: fractions of the same denominator are integers.
        paid = load * cost
        sums = {n: int(paid[count == n].sum()) for n in np.unique(count[cost > 0]).tolist()}
        parts = lcm(*sums)
        return Fraction(sum(part * (parts // n) for n, part in sums.items()), parts)


def _parts(problem: Problem) -> np.ndarray:
    """Each expert's part of its layer's load, float64 [num_layers, num_experts].

    Of several loads it is the mean by their weights.
    """
    loads = problem.load.reshape(-1, problem.num_layers, problem.num_experts)
    parts = loads / np.maximum(loads.sum(axis=2, keepdims=True), 1)
    if not problem.has_scenarios:
        return np.asarray(parts[0])
    weighted = np.array([float(share) for share in problem.shares])[:, None, None] * parts
    return np.asarray(weighted.sum(axis=0))


def _best_nodes(problem: Problem, placed: np.ndarray) -> np.ndarray:
    """The home node of each group, int64 [num_layers, num_groups]."""
    worth = _worth_of_nodes(problem, placed)
    if problem.topology is not None and problem.topology.anchored:
        begins = np.arange(problem.num_groups) * topology.experts_per_group(problem)
        stands = stands_on_nodes(problem, placed)
        worth += np.where(np.logical_and.reduceat(stands, begins, axis=1), ANCHOR, 0)
    least, most = topology.group_rooms(problem)
    nodes = np.arange(problem.num_nodes)
    must, may = np.repeat(nodes, least), np.repeat(nodes, most - least)
    # A square: places of nodes are columns, and rows without a group may take those left over.
    places = np.concatenate([must, may])
    square = np.zeros((len(placed), len(places), len(places)), dtype=np.int64)
    square[:, : problem.num_groups] = worth[:, :, places]
    square[:, : problem.num_groups, : len(must)] += FILL
    square[:, : problem.num_groups] += 1  # no group goes without a place
    chosen = np.array([best_assignment(layer) for layer in square])
    return np.asarray(places[chosen[:, : problem.num_groups]])


def _worth_of_nodes(problem: Problem, placed: np.ndarray) -> np.ndarray:
    """What a group saves by each home, of its layer's load by the dearest link.

    Returns
    -------
    int64 [num_layers, num_groups, num_nodes], in units of `LOAD_UNITS`.
    """
    links, shape = problem.link_costs, (len(placed), problem.num_groups)
    is_there, layers = placed >= 0, np.arange(len(placed))[:, None]
    at = layers * problem.num_experts + placed
    count = np.bincount(at[is_there], minlength=len(placed) * problem.num_experts)
    share = _parts(problem) / count.reshape(len(placed), -1)
    group = layers * shape[1] + placed // topology.experts_per_group(problem)
    place = np.repeat(links.place, problem.slots_per_gpu)
    served = np.bincount(
        (group * links.num_places + place)[is_there],
        np.take_along_axis(share, placed, axis=1)[is_there],
        minlength=shape[0] * shape[1] * links.num_places,
    )
    most = links.table.max(axis=(1, 2), keepdims=True)
    saved = (most - links.table) / np.maximum(most, 1)  # of the dearest link, by homes
    at_node = served.reshape(*shape, -1) @ saved.transpose(0, 2, 1)
    return np.asarray(np.rint(at_node * LOAD_UNITS), dtype=np.int64)
