"""The constraints of the exact model of a layer with senders; see `columns` for the shapes.

y_es is 1 where expert e stands in shape s. Loads count in units of a sender's part, w / senders, so
that all sizes are integers; where these would be too large they are rounded down, and no plan gets
a larger value for that. With a price p / q on what crosses nodes, for G senders,

    minimise q G T + p sum_es (senders of s to other nodes) size_e y_es
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import product
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from eplb_opt.exact.senders.columns import Shape
    from eplb_opt.problem.problem import Problem

#: Sums of sizes stay below this power of two, which float64 holds.
SUM_BITS = 50
#: Denominators of the price above this are rounded to it.
PRICE_UNIT = 2**16


class SenderModel:
    """A `CpModel` of OR-Tools with its variables by name.

    Parameters
    ----------
    cp_model
        The module `ortools.sat.python.cp_model`.
    problem
        A problem of one layer.
    shapes
        The shapes of each expert, [num_experts]; see `columns.of_expert`.
    least, most
        The range of the largest load, in the units of `size`.
    """

    def __init__(
        self, cp_model: Any, problem: Problem, shapes: list[list[Shape]], least: int, most: int
    ) -> None:
        self.problem, self.shapes, self.model = problem, shapes, cp_model.CpModel()
        self.pairs = [(e, s) for e, each in enumerate(shapes) for s in range(len(each))]
        self.stands = {(e, s): self.model.new_bool_var(f"y{e},{s}") for e, s in self.pairs}
        self.peak = self.model.new_int_var(least, most, "T")
        self.at_home: dict[tuple[int, int], Any] = {}
        for rule in RULES:
            rule(self)
        price = price_of(problem)
        load = price.denominator * problem.num_senders * self.peak
        self.model.minimize(load + price.numerator * self.crossed() if price else self.peak)

    def size(self, expert: int) -> int:
        """A sender's part of an expert's load."""
        return int(self.problem.load[0, expert]) >> shift(self.problem)

    def crossed(self) -> Any:
        """What crosses nodes, in senders' parts of the loads."""
        return sum(
            self.size(e) * self.shapes[e][s].crossed * stands
            for (e, s), stands in self.stands.items()
            if self.shapes[e][s].crossed
        )

    def hint(self, placed: np.ndarray) -> None:
        """Begin with a plan, int64 [num_slots]."""
        slots = [np.flatnonzero(placed == e) for e in range(self.problem.num_experts)]
        held = [tuple((at // self.problem.slots_per_gpu).tolist()) for at in slots]
        hinted: set[int] = set()
        for (e, s), variable in self.stands.items():
            is_it = e not in hinted and self.shapes[e][s].gpus == held[e]
            hinted |= {e} if is_it else set()
            self.model.add_hint(variable, int(is_it))

    def plan(self, value: Any) -> np.ndarray:
        """The plan of a solution, int64 [num_slots]; `value` gives each variable's value."""
        problem = self.problem
        placed = np.full((problem.num_gpus, problem.slots_per_gpu), -1, dtype=np.int64)
        filled = [0] * problem.num_gpus
        for (e, s), variable in self.stands.items():
            if value(variable):
                for gpu in self.shapes[e][s].gpus:
                    placed[gpu, filled[gpu]] = e
                    filled[gpu] += 1
        return placed.ravel()


def price_of(problem: Problem) -> Fraction:
    """The price on what crosses nodes, rounded down where its denominator is large; 0 for none."""
    if problem.topology is None:
        return Fraction(0)
    exact = problem.topology.exact_price
    if exact.denominator <= PRICE_UNIT:
        return exact
    return Fraction(floor(exact * PRICE_UNIT), PRICE_UNIT)


def shift(problem: Problem) -> int:
    """Binary digits that are cut off the loads."""
    total, price = int(problem.load.sum()) * problem.num_senders, price_of(problem)
    if price:
        total *= price.denominator * problem.num_senders + price.numerator
    return max(total.bit_length() - SUM_BITS, 0)


def every_expert_stands_in_one_shape(m: SenderModel) -> None:
    """sum_s y_es = 1."""
    for e, each in enumerate(m.shapes):
        m.model.add_exactly_one(m.stands[e, s] for s in range(len(each)))


def gpus_are_full_and_below_t(m: SenderModel) -> None:
    """sum_es replicas of s on g y_es = slots of g, and sum_es senders_sg size_e y_es <= T."""
    slots: list[list[Any]] = [[] for _ in range(m.problem.num_gpus)]
    loads: list[list[Any]] = [[] for _ in range(m.problem.num_gpus)]
    for e, s in m.pairs:
        stands, shape = m.stands[e, s], m.shapes[e][s]
        for gpu, num in Counter(shape.gpus).items():
            slots[gpu].append(num * stands)
        for gpu, times in shape.sent:
            if times and m.size(e):
                loads[gpu].append(times * m.size(e) * stands)
    for gpu, num in enumerate(m.problem.open_slots.tolist()):
        if num:
            m.model.add(sum(slots[gpu]) == num)
            m.model.add(sum(loads[gpu]) <= m.peak)


def groups_stay_on_one_node(m: SenderModel) -> None:
    """sum_(s on n) y_es = x_hn, 1 where the group h of e is on node n, equally many on each."""
    problem = m.problem
    if not problem.is_hierarchical:
        return
    groups, nodes = range(problem.num_groups), range(problem.num_nodes)
    m.at_home = {(h, n): m.model.new_bool_var(f"x{h},{n}") for h, n in product(groups, nodes)}
    for h in groups:
        m.model.add_exactly_one(m.at_home[h, n] for n in nodes)
    for n in nodes:
        m.model.add(sum(m.at_home[h, n] for h in groups) == problem.groups_per_node)
    for e, n in product(range(problem.num_experts), nodes):
        there = [
            m.stands[e, s]
            for s, shape in enumerate(m.shapes[e])
            if shape.gpus[0] // problem.gpus_per_node == n
        ]
        m.model.add(sum(there) == m.at_home[e // problem.experts_per_group, n])


def little_crosses_nodes(m: SenderModel) -> None:
    """sum_es crossed_s size_e y_es is within the limit; sizes are rounded down: no plan is lost."""
    rules = m.problem.topology
    if rules is None or rules.max_off_home is None:
        return
    most = rules.most_off_home * int(m.problem.load.sum()) * m.problem.num_senders
    m.model.add(m.crossed() <= floor(most / 2 ** shift(m.problem)))


RULES = (
    every_expert_stands_in_one_shape,
    gpus_are_full_and_below_t,
    groups_stay_on_one_node,
    little_crosses_nodes,
)
