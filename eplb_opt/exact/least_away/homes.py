"""The least off home under the uniform split, or the least that links cost, by CP-SAT.

With z_ec = 1 when expert e has c replicas, y_ecp how many of them stand on place p and x_hn = 1
when group h is at home on node n:

    minimise sum_ec (w_e / c) o_ec
    sum_c z_ec = 1                                                 for every e
    sum_p y_ecp = c z_ec                                           for every e, c
    sum_ec y_ecp = slots of p                                      for every p
    o_ec >= sum_p cost_np y_ecp - c dearest (1 - x_hn)             for every e, c, n; h holds e
    sum_(c, p on n) y_ecp >= x_hn                                  where experts are anchored
    sum_n x_hn = 1, and each node has its number of groups         where homes are chosen

Where experts' homes or their sources are given, o_ec is the sum of its costs itself. Weights and
costs are rounded down, so that no plan has less than what is proven.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.exact.least_away.places import MAX_SUM, Model
from eplb_opt.problem import topology

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Costs of links are taken in parts no finer than this.
COST_UNIT = 2**20
#: With more replicas than this the least common multiple of all counts is no use.
MAX_EXACT_COUNT = 16


class Homes(Model):
    """Uniform split: what replicas cost on each place, from given or chosen homes."""

    def __init__(self, layer: Problem) -> None:
        links = layer.link_costs
        super().__init__(layer, links.place)
        self.rules = layer.topology or topology.Topology()
        self.nodes = range(layer.num_nodes)
        node = topology.node_of_gpus(layer)
        self.node = [int(node[np.argmax(links.place == p)]) for p in range(len(self.slots))]
        self.unit = min(links.unit[0], COST_UNIT)
        self.cost = [[c * self.unit // links.unit[0] for c in r] for r in links.table[0].tolist()]
        self.dearest = max(max(row) for row in self.cost)
        self.group = topology.group_of_experts(layer).tolist()
        chosen = 1 + len(self.nodes) if self.rules.chooses_homes else 1
        each = len(self.counts) * (chosen + len(self.slots))
        self.num_variables = layer.num_experts * each
        parts = lcm(*self.counts) if self.counts[-1] <= MAX_EXACT_COUNT else MAX_SUM
        most = MAX_SUM // max(self.dearest, 1)
        wanted = lcm(*(w.denominator for row in self.weights for w in row)) * parts
        self.scale_of_parts = min(wanted, most)

    def build(self, model: Any) -> None:
        """All variables and rules."""
        self.model, self.scale = model, Fraction(self.scale_of_parts)
        layer, places = self.layer, range(len(self.slots))
        experts = range(layer.num_experts)
        chosen = {(e, c): model.new_bool_var("") for e, c in product(experts, self.counts)}
        self.stands = {
            (e, c, p): model.new_int_var(0, min(c, self.most_there[p]), "")
            for e, c, p in product(experts, self.counts, places)
        }
        for e in experts:
            model.add_exactly_one(chosen[e, c] for c in self.counts)
        for e, c in chosen:
            model.add(sum(self.stands[e, c, p] for p in places) == c * chosen[e, c])
        for p in places:
            there = sum(self.stands[e, c, p] for e, c in chosen)
            model.add(there == self.slots[p])
        at_home = self._homes()
        paid = {(e, c): self._paid(e, c, at_home) for e, c in chosen}
        if self.rules.anchored:
            self._anchor(at_home)
        sums = [
            sum(self.rounded(row[e], Fraction(1, c)) * paid[e, c] for e, c in chosen)
            for row in self.weights
        ]
        self.minimise(sums)
        self.scale *= self.unit

    def floor(self) -> Fraction:
        """What no plan is below without any search: every expert where it is cheapest."""
        if self.rules.chooses_homes:
            return Fraction(0)
        homes = np.zeros(1, int) if self.rules.homes is None else self.rules.homes[0]
        rows = self.layer.link_costs.of_experts(0, homes)
        least = [Fraction(int(c), self.layer.link_costs.unit[0]) for c in rows.min(axis=1)]
        pairs = (zip(row, least, strict=True) for row in self.weights)
        return max(sum((w * c for w, c in each), Fraction(0)) for each in pairs)

    def _homes(self) -> dict[tuple[int, int], Any]:
        """Whether a group is at home on a node, by both; nothing where homes are given."""
        if not self.rules.chooses_homes:
            return {}
        groups = range(self.layer.num_groups)
        at_home = {(h, n): self.model.new_bool_var("") for h, n in product(groups, self.nodes)}
        least, most = topology.group_rooms(self.layer)
        for h in groups:
            self.model.add_exactly_one(at_home[h, n] for n in self.nodes)
        for n in self.nodes:
            held = sum(at_home[h, n] for h in groups)
            self.model.add_linear_constraint(held, int(least[n]), int(most[n]))
        return at_home

    def _paid(self, e: int, c: int, at_home: dict[tuple[int, int], Any]) -> Any:
        places = range(len(self.slots))

        def cost_of(row: list[int]) -> Any:
            return sum(row[p] * self.stands[e, c, p] for p in places)

        if not self.layer.link_costs.by_home:
            return cost_of(self.cost[e])
        if self.rules.homes is not None:
            return cost_of(self.cost[int(self.rules.homes[0, e])])
        paid = self.model.new_int_var(0, c * self.dearest, "")
        for n in self.nodes:
            is_home = at_home[self.group[e], n]
            most = c * self.dearest
            self.model.add(paid >= cost_of(self.cost[n]) - most + most * is_home)
        return paid

    def _anchor(self, at_home: dict[tuple[int, int], Any]) -> None:
        homes, places = self.rules.homes, range(len(self.slots))
        for e, n in product(range(self.layer.num_experts), self.nodes):
            if homes is not None and int(homes[0, e]) != n:
                continue
            there = [p for p in places if self.node[p] == n]
            held = sum(self.stands[e, c, p] for c in self.counts for p in there)
            self.model.add(held >= (1 if homes is not None else at_home[self.group[e], n]))

    def places(self, value: Any) -> np.ndarray:
        """Replicas of each expert on each place in a solution, int64 [num_experts, num_places]."""
        found = np.zeros((self.layer.num_experts, len(self.slots)), dtype=np.int64)
        for (e, _, p), variable in self.stands.items():
            found[e, p] += int(value(variable))
        return found
