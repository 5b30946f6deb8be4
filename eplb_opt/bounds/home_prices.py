"""Lower bounds of load and price where GPUs have two slots, by prices of what stands on a node.

Say that no GPU has more than T. A replica of size s is big when 2 s > T, with key s, and small
otherwise, with key T - s. Two big ones never share a GPU, and the small one beside a big one has a
key of at least the big one's. So on every node, and for every threshold t,

    (big replicas with a key of at least t) <= (small replicas with a key of at least t),

and a node holds as many replicas as it has slots. With a price for each of these conditions, a
replica of a given size costs something on every node: the slot's price, and for each threshold up
to its key the threshold's price, added where it is big and taken off where it is small. What an
expert with c replicas costs at least is then c times the cheaper of its home and the cheapest node,
where what is off home is paid for too; where experts are anchored, one of the c is at home. The sum
over the experts of the least over c, less what all the slots cost, is at most what any plan of at
most T pays for being off home: a Lagrangian bound, true for all prices (of thresholds at least 0).

The range of T is cut into pieces, each with prices of its own; on each the bound is the load at its
beginning plus what is proven at its end. Loads are rounded down: a big replica has then no larger a
key and a small one no smaller a key than in truth, and one taken for small that is big only weakens
the condition. Everything is integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.topology import PRICE_BITS, SUM_BITS, home_choices
from eplb_opt.problem import topology

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Bits of the price; costs of all counts of all experts are added up, so that few are left.
UNIT_BITS = 16
#: Sums of costs stay below this; prices that would exceed it prove nothing.
MOST = 2**61
#: What is proven where no plan has so little load: more than any plan is worth.
NO_PLAN = 2**61


@dataclass(frozen=True)
class NodePrices:
    """Prices of the conditions at one level of T, in units of the objective; see `PricedLayer`.

    Parameters
    ----------
    thresholds
        int64 [num_thresholds], ascending, in parts of the layer's scale.
    at_threshold
        int64 [num_nodes, num_thresholds], at least 0.
    on_slots
        int64 [num_nodes], of either sign.
    on_away
        What the limit on what is off home adds to the price, at least 0.
    """

    thresholds: np.ndarray
    at_threshold: np.ndarray
    on_slots: np.ndarray
    on_away: int = 0

    @classmethod
    def none(cls, num_nodes: int) -> NodePrices:
        """No thresholds, and slots that cost nothing."""
        nothing = np.zeros(0, dtype=np.int64)
        slots = np.zeros(num_nodes, dtype=np.int64)
        return cls(nothing, np.zeros((num_nodes, 0), dtype=np.int64), slots)

    def stretched(self, numerator: int, denominator: int) -> NodePrices:
        """The same prices at thresholds for a level that is larger by a factor."""
        moved = [t * numerator // denominator for t in self.thresholds.tolist()]
        kept = np.array(moved, dtype=np.int64)
        return NodePrices(kept, self.at_threshold, self.on_slots, self.on_away)


@dataclass(frozen=True)
class Piece:
    """What is proven of plans whose largest load lies between `begin` and `end`.

    Parameters
    ----------
    begin, end
        In parts of the layer's scale.
    prices
        Prices at `end`.
    away
        What plans pay for being off home, at least, in units of the objective.
    """

    begin: int
    end: int
    prices: NodePrices
    away: int


class PricedLayer:
    """A layer in integers: `scale` parts are its load, `scale * unit` units 1 of the objective.

    Parameters
    ----------
    problem
        A problem of one layer with some load and homes that are known: given, or the same in every
        choice but for the names of nodes that are alike.
    """

    def __init__(self, problem: Problem) -> None:
        rules = problem.topology
        total = int(problem.load.sum())
        if rules is None or total == 0 or problem.slots_per_gpu != 2:
            raise ValueError("PricedLayer needs a layer with load, a topology and two slots a GPU.")
        home = known_homes(problem)
        if home is None:
            raise ValueError("PricedLayer needs homes that are known.")
        self.problem, self.home = problem, home
        self.scale: int = 2 ** (SUM_BITS - PRICE_BITS - problem.num_gpus.bit_length() - 1)
        self.unit: int = 2 ** max(UNIT_BITS - int(rules.exact_price).bit_length(), 0)
        self.price = floor(rules.exact_price * self.unit)
        self.anchored = rules.anchored
        self.most = floor(rules.most_off_home * self.scale)
        parts = [w * self.scale // total for w in problem.load[0].tolist()]
        self.load = np.array(parts, dtype=np.int64)
        self.slots = topology.slots_of_nodes(problem)
        self.total = total
        lacking = int(problem.rounded[0]) * problem.num_experts
        self.true = Fraction(total, total + lacking)

    def level_of(self, load: Fraction) -> int:
        """A GPU load in parts of the scale, rounded down."""
        level: int = floor(load * self.scale / self.total)
        return level

    def value(self, begin: int, away: int) -> int:
        """Load and price together, in units of the objective."""
        return int(self.problem.num_gpus * self.unit * begin + away)

    def as_ratio(self, units: int) -> Fraction:
        """Units of the objective as largest over mean load plus price."""
        return Fraction(units, self.scale * self.unit) * self.true

    def fewest(self, level: int) -> np.ndarray:
        """The replicas that each expert has at least in a plan of at most that level."""
        fewest: np.ndarray = np.maximum(-(-self.load // level), 1)
        return fewest

    def away(self, level: int, prices: NodePrices) -> int:
        """What a plan of at most that level pays for being off home, at least; at least 0."""
        return self.away_by_count(level, prices)[0]

    def away_by_count(self, level: int, prices: NodePrices) -> tuple[int, np.ndarray]:
        """The same, and what an expert costs with each count, int64 [num_experts, num_counts].

        Counts begin with the fewest replicas that the expert has; none where there is no plan.
        """
        low = self.fewest(level)
        spare = int(self.slots.sum()) - int(low.sum())
        if spare < 0:
            return NO_PLAN, np.zeros((len(low), 0), dtype=np.int64)
        count = low[:, None] + np.arange(spare + 1)
        size = self.load[:, None] // count
        is_big = 2 * size > level
        key = np.where(is_big, size, level - size)
        kind = np.searchsorted(prices.thresholds, key.ravel(), side="right").reshape(key.shape)
        up_to = np.cumsum(prices.at_threshold, axis=1)
        up_to = np.concatenate([np.zeros((len(up_to), 1), dtype=np.int64), up_to], axis=1)
        kind = np.where(is_big, kind, up_to.shape[1] + kind)
        cost = np.concatenate([up_to, -up_to], axis=1) + prices.on_slots[:, None]
        dearest = max(int(np.abs(cost).max()), 1)
        if dearest * int(count.max()) * len(low) >= MOST:
            return 0, np.zeros(count.shape, dtype=np.int64)
        there = cost[self.home[:, None], kind]
        elsewhere = cost.min(axis=0)[kind] + (self.price + prices.on_away) * size
        cheaper = np.minimum(there, elsewhere)
        whole = there + (count - 1) * cheaper if self.anchored else count * cheaper
        least = int(whole.min(axis=1).sum()) - sum(
            price * slots
            for price, slots in zip(prices.on_slots.tolist(), self.slots.tolist(), strict=True)
        )
        return max(least - prices.on_away * self.most, 0), whole


def known_homes(problem: Problem) -> np.ndarray | None:
    """The home of each expert, int64 [num_experts], where there is nothing to choose; else None."""
    rules = problem.topology
    if rules is None or not rules.counts_off_home:
        return None
    if rules.homes is not None:
        return np.asarray(rules.homes[0])
    choices = home_choices(problem)
    if choices is None or len(choices) != 1:
        return None
    return np.asarray(choices[0][topology.group_of_experts(problem)])
