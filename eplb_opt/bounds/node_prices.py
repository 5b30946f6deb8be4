"""Lower bounds of load and price by prices of slots and of load on every node.

Let the largest GPU load T of a plan be between `begin` and `end`. Its replicas on a node with g
GPUs and s slots serve at most g T and fill the s slots. With a price y >= 0 of load and a price m
of slots, of either sign, on every node, an expert of load w with c replicas costs on a node, for
each of them,

    m + y w / c,   and the topology's price of w / c besides where the node is not its home,

and it has at least ceil(w / end) of them. Where experts are anchored, one of the c is at home. The
sum over the experts of the least over c of what an expert costs at least, less what all slots cost,
plus T (1 / mean - the sum over nodes of y g), which is least at `begin` or at `end`, is at most
the plan's objective: a Lagrangian bound, true for all prices.

Where homes are chosen with the plan, every choice is looked at, and every choice may have prices of
its own. Prices go with what is at home on a node: nodes that are alike, in the order of their
loads at home, the heaviest first, take the prices in the order of the nodes. So prices that are
good for one choice are good for others too. Loads are rounded down, and so is the price of what is
off home; everything is integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.topology import home_choices
from eplb_opt.problem import node_kinds, topology

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Bits of what the layer's load counts as, and of a unit of that.
SCALE_BITS, UNIT_BITS = 30, 16
#: Sums of costs stay below this; prices that would exceed it prove nothing.
MOST = 2**61


@dataclass(frozen=True, eq=False)
class NodePrices:
    """Prices of slots and of load, int64 [num_nodes] each.

    Parameters
    ----------
    on_slots
        In units of the objective, of either sign.
    on_load
        In units of the objective for a part of the layer's load, at least 0.
    """

    on_slots: np.ndarray
    on_load: np.ndarray


class PricedNodes:
    """A layer in integers: `scale` parts are its load, `scale * unit` units 1 of the objective.

    Parameters
    ----------
    problem
        A problem of one layer with some load, on GPUs that are alike, whose topology counts what is
        off home.
    """

    def __init__(self, problem: Problem) -> None:
        rules = problem.topology
        total = int(problem.load.sum())
        if rules is None or total == 0:
            raise ValueError("PricedNodes needs a layer with load and a topology.")
        self.problem, self.total = problem, total
        self.scale: int = 2**SCALE_BITS
        self.unit: int = 2 ** max(UNIT_BITS - int(rules.exact_price).bit_length(), 0)
        self.price = floor(rules.exact_price * self.unit)
        self.anchored = rules.anchored
        parts = [w * self.scale // total for w in problem.load[0].tolist()]
        self.load = np.array(parts, dtype=np.int64)
        self.slots = topology.slots_of_nodes(problem)
        self.gpus = topology.gpus_of_nodes(problem)
        self.homes = _all_homes(problem)
        self.place = _places(problem, self.homes)
        lacking = int(problem.rounded[0]) * problem.num_experts
        self.true = Fraction(total, total + lacking)

    @property
    def num_choices(self) -> int:
        """The choices of homes; none where there are too many."""
        return len(self.homes)

    def level_of(self, load: Fraction) -> int:
        """A GPU load in parts of the scale, rounded down."""
        level: int = floor(load * self.scale / self.total)
        return level

    def of_load(self, level: int) -> int:
        """What a largest load is worth, in units of the objective."""
        return int(self.problem.num_gpus * self.unit * level)

    def as_ratio(self, units: int) -> Fraction:
        """Units of the objective as largest over mean load plus price."""
        return Fraction(units, self.scale * self.unit) * self.true

    def units_of(self, ratio: Fraction) -> int:
        """The reverse, rounded up."""
        return -floor(-ratio / self.true * self.scale * self.unit)

    def fewest(self, level: int) -> np.ndarray:
        """The replicas that each expert has at least in a plan of at most that level."""
        fewest: np.ndarray = np.maximum(-(-self.load // level), 1)
        return fewest

    def values(self, begin: int, end: int, prices: NodePrices) -> np.ndarray | None:
        """What each choice of homes is worth at least on a piece of T, int64 [num_choices].

        None where no plan has a largest load of at most `end`; 0 where the prices are too large.
        """
        low = self.fewest(end)
        spare = int(self.slots.sum()) - int(low.sum())
        if spare < 0:
            return None
        count = low[:, None] + np.arange(spare + 1)
        size = self.load[:, None] // count
        gain = self.problem.num_gpus * self.unit - int((prices.on_load * self.gpus).sum())
        on_slots, on_load = prices.on_slots[:, None, None], prices.on_load[:, None, None]
        # Sizes of an expert's replicas add up to its load, so that prices of load count once.
        of_load = (int(on_load.max()) + self.price) * self.scale + abs(gain) * end
        if int(np.abs(on_slots).max()) * int(count.max()) * len(low) + of_load >= MOST:
            return np.zeros(self.num_choices, dtype=np.int64)
        there = on_slots + on_load * size  # [num_nodes, num_experts, num_counts]
        each = np.minimum(there, there.min(axis=0) + self.price * size)
        whole = there + (count - 1) * each if self.anchored else count * each
        cost = whole.min(axis=2).T
        experts = np.arange(len(low))
        least = cost[experts, self.place].sum(axis=1)
        constant = min(gain * begin, gain * end) - int((prices.on_slots * self.slots).sum())
        worth: np.ndarray = np.maximum(least + constant, 0)
        return worth


def _all_homes(problem: Problem) -> np.ndarray:
    """The home of each expert in every choice, int64 [num_choices, num_experts]."""
    rules = problem.topology
    if rules is not None and rules.homes is not None:
        return np.asarray(rules.homes[:1])
    choices = home_choices(problem)
    group = topology.group_of_experts(problem)
    if choices is None:
        return np.zeros((0, problem.num_experts), dtype=np.int64)
    return np.asarray(choices[:, group])


def _places(problem: Problem, homes: np.ndarray) -> np.ndarray:
    """Whose prices each expert's home has in every choice, int64 [num_choices, num_experts]."""
    kinds = np.array(node_kinds.kinds_of_nodes(problem))
    at_home = np.zeros((len(homes), problem.num_nodes), dtype=np.int64)
    for node in range(problem.num_nodes):
        at_home[:, node] = ((homes == node) * problem.load[0]).sum(axis=1)
    place = np.zeros_like(at_home)
    for kind in np.unique(kinds):
        nodes = np.flatnonzero(kinds == kind)
        order = np.argsort(-at_home[:, nodes], axis=1, kind="stable")
        np.put_along_axis(place, nodes[order], np.broadcast_to(nodes, order.shape), axis=1)
    return np.asarray(np.take_along_axis(place, homes, axis=1))
