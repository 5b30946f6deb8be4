"""The least that crosses nodes where every GPU sends an expert's tokens to one replica.

Where GPUs take the replicas in turn, every way to have so many of them on each node is a column of
a model for CP-SAT, with what crosses then. Under nearest copy it is a flow, for layers of any size:
expert e is served on node n if a replica stands there (s_en = 1), sum_en g_n w_e s_en is to be
largest, the s_en of an expert add up to 1 or more, and those on a node to no more than its slots.
What is left of these holds further replicas of what stands there. Weights are rounded down.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import lcm, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.exact.least_away.places import MAX_SUM, LeastOffHome, Model, dealt
from eplb_opt.exact.shared.ortools_backend import import_min_cost_flow
from eplb_opt.problem import topology

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.problem.problem import Problem

#: Binary digits of a layer's load in a flow; the rest is cut off.
FLOW_BITS = 30


class InTurn(Model):
    """GPUs take the replicas of an expert in turn: what crosses for every way to stand on nodes."""

    def __init__(self, layer: Problem) -> None:
        super().__init__(layer, topology.node_of_gpus(layer))
        self.gpus = topology.gpus_of_nodes(layer).tolist()
        ways = prod(min(most, self.counts[-1]) + 1 for most in self.most_there)
        self.num_variables = layer.num_experts * ways
        wanted = lcm(*(w.denominator for row in self.weights for w in row))
        self.scale_of_parts = min(wanted, MAX_SUM // layer.num_senders)

    def build(self, model: Any) -> None:
        """All variables and rules."""
        self.model, self.scale = model, Fraction(self.scale_of_parts)
        ways, nodes = list(self._ways()), range(len(self.slots))
        crossed: list[Any] = []
        self.stands: dict[tuple[int, int], Any] = {}
        for e in range(self.layer.num_experts):
            chosen = [model.new_bool_var("") for _ in ways]
            model.add_exactly_one(chosen)
            pairs = list(zip(ways, chosen, strict=True))
            for n in nodes:
                self.stands[e, n] = sum(way[n] * is_it for (way, _), is_it in pairs if way[n])
            crossed.append(sum(away * is_it for (_, away), is_it in pairs))
        for n in nodes:
            there = sum(self.stands[e, n] for e in range(self.layer.num_experts))
            model.add(there == self.slots[n])
        rows = ([self.rounded(w) for w in row] for row in self.weights)
        self.minimise([sum(w * c for w, c in zip(r, crossed, strict=True)) for r in rows])
        self.scale *= self.layer.num_senders

    def floor(self) -> Fraction:
        """What no plan is below without any search."""
        return Fraction(0)

    def _ways(self) -> Iterator[tuple[tuple[int, ...], int]]:
        """Replicas on each node, and the senders that cross then."""
        for way in product(*(range(most + 1) for most in self.most_there)):
            if 1 <= sum(way) <= self.counts[-1]:
                yield way, self._crossed(way)

    def _crossed(self, way: tuple[int, ...]) -> int:
        """Senders, node by node, whose turn comes to a replica on another one."""
        ends, ranks = np.cumsum(self.gpus).tolist(), np.cumsum(way).tolist()
        served = 0
        for size, end, num, rank in zip(self.gpus, ends, way, ranks, strict=True):
            turns = (sender % sum(way) for sender in range(end - size, end))
            served += sum(rank - num <= turn < rank for turn in turns)
        return int(sum(self.gpus) - served)

    def places(self, value: Any) -> np.ndarray:
        """Replicas of each expert on each node in a solution, int64 [num_experts, num_nodes]."""
        found = np.zeros((self.layer.num_experts, len(self.slots)), dtype=np.int64)
        for (e, n), held in self.stands.items():
            found[e, n] = int(value(held))
        return found


def by_flow(layer: Problem) -> LeastOffHome:
    """Nearest copy, for layers of any size."""
    weight = layer.load[0].tolist()
    cut = max(sum(weight).bit_length() - FLOW_BITS, 0)
    gpus, slots = topology.gpus_of_nodes(layer).tolist(), topology.slots_of_nodes(layer).tolist()
    num_experts, nodes = layer.num_experts, range(len(gpus))
    worth = [[(w >> cut) * size for size in gpus] for w in weight]
    must = 1 + max(map(max, worth)) * len(gpus)
    flow = import_min_cost_flow().SimpleMinCostFlow()
    source, sink = num_experts + len(gpus), num_experts + len(gpus) + 1
    there = {
        (e, n): flow.add_arc_with_capacity_and_unit_cost(e, num_experts + n, 1, -worth[e][n])
        for e, n in product(range(num_experts), nodes)
    }
    for e in range(num_experts):
        flow.add_arc_with_capacity_and_unit_cost(source, e, 1, -must)
        flow.add_arc_with_capacity_and_unit_cost(source, e, len(gpus) - 1, 0)
    for n in nodes:
        flow.add_arc_with_capacity_and_unit_cost(
            num_experts + n, sink, min(slots[n], num_experts), 0
        )
    supply = sum(min(each, num_experts) for each in slots)
    flow.set_nodes_supplies(np.array([source, sink]), np.array([supply, -supply]))
    if flow.solve() != flow.OPTIMAL:
        return LeastOffHome(None, Fraction(0))
    held = np.zeros((num_experts, len(gpus)), dtype=np.int64)
    for (e, n), arc in there.items():
        held[e, n] = flow.flow(arc)
    served = sum(worth[e][n] for e, n in zip(*np.nonzero(held), strict=True))
    crossed = (sum(map(sum, worth)) - served) << cut
    bound = Fraction(int(crossed), sum(weight) * layer.num_senders)
    return LeastOffHome(dealt(layer, topology.node_of_gpus(layer), _filled_up(held, slots)), bound)


def _filled_up(held: np.ndarray, slots: list[int]) -> np.ndarray:
    """The same with further replicas, in turn, in what is left of the slots."""
    full = held.copy()
    for n, size in enumerate(slots):
        here = np.flatnonzero(held[:, n])
        for i in range(size - len(here)):
            full[here[i % len(here)], n] += 1
    return full
