"""Counts and sizes in the exact model of a layer with a priced topology.

With z_ec = 1 when expert e has c replicas, y_ecg how many of them stand on GPU g, x_hn = 1 when
group h is at home on node n and o_ecn how many replicas of e stand on n, which is not its home:

    minimise (sum_g r_g) T + price sum o_ecn size_ec
    sum_c z_ec = 1                                            for every e
    sum_g y_ecg = c z_ec                                      for every e, c
    sum_ec y_ecg = slots of g                                 for every g
    sum_ec size_ec y_ecg <= r_g T                             for every g
    o_ecn >= sum_(g on n) y_ecg - c x_hn, with h the group of e, for every e, c, n
    sum_n x_hn = 1, and each node has its number of groups    where homes are chosen

Where links have other costs, or tokens sources, o_ecn is what the links of these replicas cost.
r_g is the speed of GPU g over the largest one, and T what the fastest GPU carries. Speeds that are
no small fractions are rounded up in the rows and down in the sum.

Sizes are Q w_e / c rounded down for some integer Q, and the price and the costs of links are
rounded down too. So every plan is a solution that is worth at most Q times the truth, and a bound
of all solutions is one of the optimum; where the least common multiple of all counts fits as Q,
nothing is rounded. T is whole; where speeds would make it a fraction, Q is a multiple that avoids
that, or else a bound is lower by a unit of T.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, floor, gcd, lcm
from typing import TYPE_CHECKING

from eplb_opt.problem.topology import Topology

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: The minimised sum stays below this, so that CP-SAT's integers and float bounds hold it.
MAX_SUM = 2**50
#: Denominators of the price above this are rounded to it.
PRICE_UNIT = 2**16
#: Costs of links are taken in parts no finer than this.
COST_UNIT = 2**10
#: Parts of the largest speed that others are rounded to, where they are no parts of this size.
RATE_UNIT = 2**10
#: With more replicas than this the least common multiple of all counts is no use.
MAX_EXACT_COUNT = 20


@dataclass(frozen=True)
class Columns:
    """What the replicas of each expert can be, and what they weigh.

    Parameters
    ----------
    problem
        A problem of one layer with a topology and some load.
    upper
        The value of a known plan: none that is worse is looked for.
    """

    problem: Problem
    upper: Fraction

    @property
    def rules(self) -> Topology:
        """The problem's topology."""
        return self.problem.topology or Topology()

    @cached_property
    def load(self) -> list[int]:
        """Loads in the problem's units."""
        return [int(w) for w in self.problem.load[0].tolist()]

    @cached_property
    def total(self) -> int:
        """The load of the layer."""
        return sum(self.load)

    @cached_property
    def counts(self) -> list[range]:
        """The counts that each expert can have in a plan no worse than the known one."""
        problem = self.problem
        num_slots = int(problem.open_slots.sum())
        peak = self.upper * self.total * problem.fastest / problem.capacity
        fewest = [max(-(-w // peak), 1) for w in self.load]
        spare = num_slots - sum(fewest)
        num_gpus = int((problem.open_slots > 0).sum())
        most = num_gpus if problem.colocation == "forbid" else num_slots
        return [range(low, min(low + spare, most) + 1) for low in fewest]

    @property
    def num_columns(self) -> int:
        """About how many columns the model has."""
        choices = sum(len(counts) for counts in self.counts)
        away = self.problem.num_nodes if self.rules.chooses_homes else 0
        return choices * (1 + self.problem.num_gpus + away)

    @cached_property
    def price(self) -> Fraction:
        """The price, rounded down where its denominator is large."""
        exact = self.rules.exact_price
        if exact.denominator <= PRICE_UNIT:
            return exact
        return Fraction(floor(exact * PRICE_UNIT), PRICE_UNIT)

    @cached_property
    def cost_unit(self) -> int:
        """What makes a cost of 1 in `cost`."""
        return min(self.problem.link_costs.unit[0], COST_UNIT)

    @cached_property
    def cost(self) -> list[list[int]]:
        """What an assignment costs on each place: a row for each home node, or each expert."""
        links = self.problem.link_costs
        unit = links.unit[0]
        return [[c * self.cost_unit // unit for c in row] for row in links.table[0].tolist()]

    @cached_property
    def rates(self) -> tuple[tuple[int, ...], int]:
        """Speeds over the largest one, rounded up, [num_gpus], and what 1 is in their unit."""
        used = zip(self.problem.speed, self.problem.open_slots.tolist(), strict=True)
        speeds = [speed / self.problem.fastest if n else Fraction(1) for speed, n in used]
        unit = lcm(*(speed.denominator for speed in speeds))
        unit = unit if unit <= RATE_UNIT else RATE_UNIT
        return tuple(ceil(speed * unit) for speed in speeds), unit

    @cached_property
    def capacity(self) -> int:
        """The speeds of GPUs that are there, over the largest and added up, rounded down."""
        return floor(self.problem.capacity / self.problem.fastest * self.rates[1])

    @cached_property
    def slowness(self) -> int:
        """The largest over the least speed, rounded up: what T may be of the load of a GPU."""
        rates, unit = self.rates
        return -(-unit // min(rates))

    @cached_property
    def load_weight(self) -> int:
        """What a unit of T counts in the minimised sum."""
        return self.price.denominator * self.capacity * self.cost_unit

    @cached_property
    def price_weight(self) -> int:
        """What a unit of size that is served off home counts in it."""
        return self.price.numerator * self.rates[1]

    @cached_property
    def scale(self) -> int:
        """Q: units of a size per unit of load."""
        dearest = max(max(row) for row in self.cost)
        weight = self.load_weight * self.slowness + self.price_weight * dearest
        most = max(MAX_SUM // (weight * self.total), 1)
        highest = max(counts[-1] for counts in self.counts if counts)
        exact = lcm(*range(1, highest + 1)) if highest <= MAX_EXACT_COUNT else most + 1
        exact *= self.grain
        return exact if exact <= most else most

    @cached_property
    def grain(self) -> int:
        """With sizes that are multiples of this every plan's T is a whole number."""
        rates, unit = self.rates
        return lcm(*(rate // gcd(rate, unit) for rate in rates))

    def size(self, expert: int, count: int) -> int:
        """What one of `count` replicas of an expert weighs."""
        return self.load[expert] * self.scale // count

    def value(self, units: int) -> Fraction:
        """What the minimised sum stands for, as largest over mean load plus price."""
        lacking = int(self.problem.rounded[0]) * self.problem.num_experts
        bottom = self.price.denominator * self.rates[1] * self.cost_unit
        bottom *= self.scale * (self.total + lacking)
        if self.scale % self.grain:  # T is rounded up, by less than one
            units = max(units - self.load_weight, 0)
        return Fraction(units, bottom)
