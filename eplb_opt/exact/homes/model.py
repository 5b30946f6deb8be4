"""The constraints of the exact model of a layer with a priced topology; see `columns`."""

from __future__ import annotations

from itertools import product
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.placement.homes import homes_of
from eplb_opt.problem import topology

if TYPE_CHECKING:
    from eplb_opt.exact.homes.columns import Columns


class HomeModel:
    """A `CpModel` of OR-Tools with its variables by name.

    Parameters
    ----------
    cp_model
        The module `ortools.sat.python.cp_model`.
    columns
        Counts and sizes.
    """

    def __init__(self, cp_model: Any, columns: Columns) -> None:
        self.columns, self.model = columns, cp_model.CpModel()
        self.chosen: dict[tuple[int, int], Any] = {}
        self.placed: dict[tuple[int, int, int], Any] = {}
        self.at_home: dict[tuple[int, int], Any] = {}
        self.away: dict[tuple[int, int, int], Any] = {}  # or what the links cost
        problem = self.problem = columns.problem
        self.node = topology.node_of_gpus(problem).tolist()
        self.place = problem.link_costs.place.tolist()
        self.group = topology.group_of_experts(problem).tolist()
        self.pairs = [(e, c) for e, counts in enumerate(self.columns.counts) for c in counts]
        one_replica = problem.colocation == "forbid"
        for e, c in self.pairs:
            self.chosen[e, c] = self.model.new_bool_var(f"z{e},{c}")
            for g in range(problem.num_gpus):
                slots = int(problem.open_slots[g])
                most = min(c, slots, 1) if one_replica else min(c, slots)
                self.placed[e, c, g] = self.model.new_int_var(0, most, f"y{e},{c},{g}")
        most = self.columns.total * self.columns.scale * self.columns.slowness
        self.peak = self.model.new_int_var(0, most, "T")
        for rule in RULES:
            rule(self)
        self.model.minimize(
            self.columns.load_weight * self.peak + self.columns.price_weight * self.served_away()
        )

    def on_node(self, expert: int, count: int, node: int) -> Any:
        """How many replicas of an expert stand on a node."""
        gpus = [g for g, n in enumerate(self.node) if n == node]
        return sum(self.placed[expert, count, g] for g in gpus)

    def on_place(self, expert: int, count: int, place: int) -> Any:
        """How many replicas of an expert stand on a place of the problem's `link_costs`."""
        gpus = [g for g, p in enumerate(self.place) if p == place]
        return sum(self.placed[expert, count, g] for g in gpus)

    def served_away(self) -> Any:
        """What replicas off home serve, in units of sizes; or what their links cost."""
        return sum(self.columns.size(e, c) * replicas for (e, c, _), replicas in self.away.items())

    def hint(self, placed: np.ndarray) -> None:
        """Begin with a plan, int64 [num_slots]."""
        problem = self.problem
        count = np.bincount(placed[placed >= 0], minlength=problem.num_experts).tolist()
        on_gpu = placed.reshape(problem.num_gpus, -1).tolist()
        for (e, c), variable in self.chosen.items():
            self.model.add_hint(variable, int(count[e] == c))
        for (e, c, g), variable in self.placed.items():
            self.model.add_hint(variable, on_gpu[g].count(e) if count[e] == c else 0)
        homes = homes_of(problem, placed[None])[0].tolist()
        for (h, n), variable in self.at_home.items():
            self.model.add_hint(variable, int(homes[self.group.index(h)] == n))

    def plan(self, value: Any) -> np.ndarray:
        """The plan of a solution, int64 [num_slots]; `value` gives each variable's value."""
        rows: list[list[int]] = [[] for _ in range(self.problem.num_gpus)]
        for (e, _, g), variable in self.placed.items():
            rows[g] += [e] * int(value(variable))
        placed = np.full(self.problem.num_slots, -1, dtype=np.int64)
        placed[self.problem.is_open] = [expert for row in rows for expert in row]
        return placed


def one_count_per_expert(m: HomeModel) -> None:
    """sum_c z_ec = 1."""
    for e, counts in enumerate(m.columns.counts):
        m.model.add_exactly_one(m.chosen[e, c] for c in counts)


def replicas_match_the_count(m: HomeModel) -> None:
    """sum_g y_ecg = c z_ec."""
    for e, c in m.pairs:
        m.model.add(sum(m.placed[e, c, g] for g in range(m.problem.num_gpus)) == c * m.chosen[e, c])


def gpus_are_full_and_below_t(m: HomeModel) -> None:
    """sum_ec y_ecg = slots of g, and sum_ec size_ec y_ecg <= r_g T."""
    rates, unit = m.columns.rates
    for g, rate in enumerate(rates):
        m.model.add(sum(m.placed[e, c, g] for e, c in m.pairs) == int(m.problem.open_slots[g]))
        load = sum(m.columns.size(e, c) * m.placed[e, c, g] for e, c in m.pairs)
        m.model.add(unit * load <= rate * m.peak)


def groups_have_one_home(m: HomeModel) -> None:
    """sum_n x_hn = 1, and every node has its number of groups; nothing where homes are given."""
    if not m.columns.rules.chooses_homes:
        return
    groups, nodes = range(m.problem.num_groups), range(m.problem.num_nodes)
    least, most = topology.group_rooms(m.problem)
    for h, n in product(groups, nodes):
        m.at_home[h, n] = m.model.new_bool_var(f"x{h},{n}")
    for h in groups:
        m.model.add_exactly_one(m.at_home[h, n] for n in nodes)
    for n in nodes:
        held = sum(m.at_home[h, n] for h in groups)
        m.model.add_linear_constraint(held, int(least[n]), int(most[n]))


def replicas_off_home_are_counted(m: HomeModel) -> None:
    """o_ecn >= sum_(g on n) y_ecg - c x_hn; where homes are given, the sum itself off home."""
    homes = m.columns.rules.homes
    if not m.columns.rules.counts_off_home:
        return
    for (e, c), n in product(m.pairs, range(m.problem.num_nodes)):
        there = m.on_node(e, c, n)
        if homes is not None:
            if homes[0, e] != n:
                m.away[e, c, n] = there
            continue
        m.away[e, c, n] = m.model.new_int_var(0, c, f"o{e},{c},{n}")
        m.model.add(m.away[e, c, n] >= there - c * m.at_home[m.group[e], n])


def links_cost_what_they_carry(m: HomeModel) -> None:
    """o_ecp = cost y; where homes are chosen, sum_p o >= the cost from n less c dearest (1 - x)."""
    rules, cost = m.columns.rules, m.columns.cost
    if rules.counts_off_home:
        return
    places = range(len(cost[0]))
    if not rules.chooses_homes:
        by_home = m.problem.link_costs.by_home
        for (e, c), p in product(m.pairs, places):
            row = cost[int(rules.homes[0, e])] if by_home and rules.homes is not None else cost[e]
            m.away[e, c, p] = row[p] * m.on_place(e, c, p)
        return
    dearest = max(max(row) for row in cost)
    for e, c in m.pairs:
        m.away[e, c, 0] = m.model.new_int_var(0, c * dearest, f"o{e},{c}")
        for n, row in enumerate(cost):
            there = sum(row[p] * m.on_place(e, c, p) for p in places)
            is_home = m.at_home[m.group[e], n]
            m.model.add(m.away[e, c, 0] >= there - c * dearest + c * dearest * is_home)


def anchored_experts_have_a_replica_at_home(m: HomeModel) -> None:
    """sum_(c, g on n) y_ecg >= x_hn, with h the group of e."""
    if not m.columns.rules.anchored:
        return
    homes = m.columns.rules.homes
    for e, n in product(range(m.problem.num_experts), range(m.problem.num_nodes)):
        there = sum(m.on_node(e, c, n) for c in m.columns.counts[e])
        if homes is None:
            m.model.add(there >= m.at_home[m.group[e], n])
        elif homes[0, e] == n:
            m.model.add(there >= 1)


def little_is_served_off_home(m: HomeModel) -> None:
    """What is served off home is within the limit; sizes are rounded down, so no plan is lost."""
    if m.columns.rules.max_off_home is None:
        return
    most = m.columns.rules.most_off_home * m.columns.total * m.columns.scale * m.columns.cost_unit
    m.model.add(m.served_away() <= floor(most))


RULES = (
    one_count_per_expert,
    replicas_match_the_count,
    gpus_are_full_and_below_t,
    groups_have_one_home,
    replicas_off_home_are_counted,
    links_cost_what_they_carry,
    anchored_experts_have_a_replica_at_home,
    little_is_served_off_home,
)
