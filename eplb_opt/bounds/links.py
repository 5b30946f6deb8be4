"""Lower bounds of a layer's load and price of links, by Lagrangian duality.

Say that the largest GPU load is T. A plan serves a part f of expert e's load w on each place n (a
node, or a GPU where links tell GPUs of a node apart), which adds up to 1 over the places. A place
with g GPUs and s slots

- carries at most g T: sum_e w f <= g T;
- has s slots, of which a part f of e's load takes f c, for e has at least c = max(1, ceil(w / T))
  replicas that all serve the same: sum_e c f <= s.

The links cost sum_e w cost[e, n] f. For any prices l of load and m of slots, not negative, of each
place, this is therefore at least (weak duality)

    sum_e min_n (w (cost[e, n] + l_n) + m_n c) - T sum_n l_n g_n - sum_n m_n s_n.

So the objective is at least the least, over T from the flat bound on, of T over the mean, plus the
price of that sum over the total. The range of T is cut into pieces. On each the c are those at its
end, where they are least, and the rest is linear in T, so that its ends are looked at. Where homes
are chosen with the plan, every expert has the least of its costs over all homes, which is weaker.

Where GPUs have speeds, T counts as what the fastest GPU carries, g is what the speeds over the
largest one add up to, and c is that of the place: a replica there carries at most T times the
place's largest speed, so that an expert with one there has at least so many.

Good prices come from `link_prices`, in floating point; what they prove is computed in integers that
are rounded to the side on which the bound stays true.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.link_prices import PriceProblem

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Parts of a layer's load; the dearest link's cost in parts; the largest price of load likewise;
#: and the most that slots may cost together. So sums fit int64.
SCALE, COST_PARTS, MAX_LOAD_PRICE, MAX_SLOT_PRICES = 2**32, 2**24, 2**26, 2**59
#: The first piece of T is this part of its beginning, each so many times the one before, and there
#: are no more of them.
FIRST_PIECE, GROWTH, MAX_PIECES = 5e-4, 1.5, 60
#: Newton steps where a bound is wanted at once, and where it is to be good.
FEW_STEPS, MANY_STEPS = 14, 30
#: Pieces that get prices of their own, at most; where a bound is wanted at once, it is one.
ROUNDS = 3


@dataclass(frozen=True)
class LinkBound:
    """The bound of one layer, and the prices that prove it.

    Parameters
    ----------
    value
        The bound, largest over mean load plus price.
    levels
        Where the pieces of T begin, ascending, and the last one's end, as parts of `scale` of the
        layer's load; from there on load alone is worth the bound.
    scale
        What the layer's load counts as.
    unit
        What makes a cost of 1 in the prices.
    load_prices, slot_prices
        int64 [num_pieces, num_places]: l in parts of `unit`, m in parts of `scale` times `unit`.
    """

    value: Fraction
    levels: tuple[int, ...]
    scale: int
    unit: int
    load_prices: np.ndarray
    slot_prices: np.ndarray

    @property
    def data(self) -> dict[str, int | list[int]]:
        """The data of a certificate of kind "traffic"; empty where there is nothing to prove."""
        if not self.levels:
            return {}
        return {
            "levels": list(self.levels),
            "scale": self.scale,
            "unit": self.unit,
            "load_prices": self.load_prices.ravel().tolist(),
            "slot_prices": self.slot_prices.ravel().tolist(),
        }


def link_bound(problem: Problem, flat: Fraction, steps: int = FEW_STEPS) -> LinkBound:
    """The bound of the module's docstring, for a problem of one layer.

    Parameters
    ----------
    problem
        A problem of one layer with a topology.
    flat
        A lower bound of its largest GPU load, in integer units.
    steps
        Newton steps for each set of prices; more find better ones, and 0 leaves prices at 0.
    """
    total = int(problem.load.sum())
    if total == 0:
        nothing = np.zeros((0, 0), dtype=np.int64)
        return LinkBound(Fraction(1), (), 1, 1, nothing, nothing)
    layer = _Layer(problem, floor(flat * problem.fastest * SCALE / total))
    prices = [layer.no_prices]
    levels, chosen, values = layer.pieces(prices)
    for _ in range(ROUNDS if steps > FEW_STEPS else min(steps, 1)):
        at = min(range(len(values)), key=values.__getitem__)
        begin, end = levels[at], levels[at + 1]
        prices.append(layer.better_prices(begin, end, steps))
        before = values[at]
        levels, chosen, values = layer.pieces(prices)
        if values[min(at, len(values) - 1)] <= before:
            break
    used = np.array([prices[i] for i in chosen])
    # A float load that was rounded down lacks less than a unit; no plan is better for what it lacks
    # than in proportion to the total.
    true = Fraction(total, total + int(problem.rounded[0]) * problem.num_experts)
    least = min(*values, layer.alone(levels[-1]))
    return LinkBound(least * true, tuple(levels), SCALE, layer.unit, used[:, 0], used[:, 1])


def cost_rows(problem: Problem) -> tuple[np.ndarray, int]:
    """The least that an assignment costs in a layer, int64 [num_experts, num_places], and its unit.

    Parameters
    ----------
    problem
        A problem of one layer with a topology.
    """
    links, rules = problem.link_costs, problem.topology
    if rules is not None and rules.chooses_homes:
        least = links.table[0].min(axis=0)
        return np.broadcast_to(least, (problem.num_experts, links.num_places)), links.unit[0]
    homes = None if rules is None else rules.homes
    return links.of_experts(0, np.zeros(0, np.int64) if homes is None else homes[0]), links.unit[0]


@dataclass(frozen=True)
class Place:
    """A node, or a GPU, whose GPUs are there.

    Parameters
    ----------
    idx
        Its column in the table of costs.
    rate, fastest
        The speeds of its GPUs over the largest of all, added up, and the largest.
    slots
        The slots that can be filled.
    """

    idx: int
    rate: Fraction
    fastest: Fraction
    slots: int


def places_of(problem: Problem) -> list[Place]:
    """The places where replicas can stand, those of lost GPUs left out, ascending."""
    links, slots = problem.link_costs, problem.open_slots.tolist()
    gpus: dict[int, list[tuple[Fraction, int]]] = {}
    for place, speed, held in zip(links.place.tolist(), problem.speed, slots, strict=True):
        if held:
            gpus.setdefault(place, []).append((speed / problem.fastest, held))
    return [
        Place(
            idx,
            sum((speed for speed, _ in those), Fraction(0)),
            max(speed for speed, _ in those),
            sum(held for _, held in those),
        )
        for idx, those in gpus.items()
    ]


class _Layer:
    """A layer in integers, and the same in floating point for the steps."""

    def __init__(self, problem: Problem, first: int) -> None:
        rules = problem.topology
        total = int(problem.load.sum())
        self.first = first
        self.price = Fraction(0) if rules is None else rules.exact_price
        is_free = rules is None or rules.max_off_home is None
        self.most = None if is_free or rules is None else rules.most_off_home
        loads = problem.load[0].tolist()
        self.load = np.array([w * SCALE // total for w in loads], dtype=np.int64)
        table, unit = cost_rows(problem)
        dearest = max(ceil(Fraction(int(table.max()), unit)), 1)
        self.unit = max(COST_PARTS // dearest, 1)
        # Costs that are rounded down never raise the bound.
        self.cost = (table.astype(object) * self.unit // unit).astype(np.int64)
        places = places_of(problem)
        self.cost = self.cost[:, [place.idx for place in places]]
        self.rates = [place.rate for place in places]
        self.fastest = [place.fastest for place in places]
        self.slots = np.array([place.slots for place in places])
        self.no_prices = np.zeros((2, len(places)), dtype=np.int64)
        self.capacity = sum(self.rates, Fraction(0))
        self._lines: dict[tuple[bytes, int], tuple[int, Fraction]] = {}

    def pieces(self, prices: list[np.ndarray]) -> tuple[list[int], list[int], list[Fraction]]:
        """Levels, the best prices on each piece and what these prove there."""
        levels, chosen = [self.first], list[int]()
        values: list[Fraction] = []
        best: Fraction | None = None
        while best is None or (self.alone(levels[-1]) < best and len(chosen) < MAX_PIECES):
            part = Fraction(round(FIRST_PIECE * GROWTH ** len(chosen) * 2**30), 2**30)
            begin, end = levels[-1], floor(self.first * (1 + part)) + 1
            if best is not None:  # no further than where load alone is worth what is proven
                end = min(end, max(ceil(best * SCALE / self.capacity), begin + 1))
            found = [self._least(pair, begin, end) for pair in prices]
            chosen.append(max(range(len(prices)), key=lambda i: found[i]))
            values.append(found[chosen[-1]])
            levels.append(end)
            best = min(values)
        return levels, chosen, values

    def alone(self, level: int) -> Fraction:
        """What a largest load is worth without the links."""
        return self.capacity * level / SCALE

    def _least(self, prices: np.ndarray, begin: int, end: int) -> Fraction:
        """The least that prices prove of the objective on a piece, which may hold no plan."""
        fixed, slope = self._line(prices, end)
        first = Fraction(begin)
        if self.most is not None:
            # Links cost no more than allowed, so that T is at least this.
            over = fixed - self.most * SCALE * self.unit
            if over > slope * first:
                if slope <= 0 or over > slope * end:
                    return Fraction(10**9)
                first = Fraction(over) / slope
        ends = (first, Fraction(end))
        return min(
            (self.capacity * t + self.price * (fixed - slope * t) / self.unit) / SCALE for t in ends
        )

    def _counts(self, end: int) -> np.ndarray:
        """The fewest replicas of each expert with one on a place; loads are rounded down.

        int64 [num_experts, num_places], or [num_experts, 1] where that is the same on all places.
        """
        speeds = self.fastest[:1] if len(set(self.fastest)) == 1 else self.fastest
        largest = np.array([ceil(end * speed) for speed in speeds])
        counts = np.maximum(-(-self.load[:, None] // largest), 1)
        return np.asarray(np.minimum(counts, max(int(self.slots.sum()), 1)))

    def _line(self, prices: np.ndarray, end: int) -> tuple[int, Fraction]:
        """What links cost at least at T = 0, and how much that falls with T."""
        load, slot = prices
        key = prices.tobytes(), end if slot.any() else 0  # counts matter where slots have prices
        if key not in self._lines:
            rows = self.load[:, None] * (self.cost + load) + self._counts(end) * slot
            paid = sum(p * n for p, n in zip(slot.tolist(), self.slots.tolist(), strict=True))
            falls = (p * rate for p, rate in zip(load.tolist(), self.rates, strict=True))
            self._lines[key] = int(rows.min(axis=1).sum()) - paid, sum(falls, Fraction(0))
        return self._lines[key]

    def better_prices(self, begin: int, end: int, steps: int) -> np.ndarray:
        """Prices that prove much on a piece, int64 [2, num_places]."""
        price = float(self.price)
        if price == 0 and self.most is None:
            return self.no_prices
        # With more a larger T would be worth less than a smaller one. With a limit on what links
        # cost that may be so: they show that there is no plan.
        is_free = self.most is None
        asked = PriceProblem(
            self.load / SCALE,
            self.cost / self.unit,
            self._counts(end).astype(np.float64),
            np.array([float(rate) for rate in self.rates]),
            self.slots.astype(np.float64),
            (begin if is_free else end) / SCALE,
            float(self.capacity) / price if is_free else np.inf,
        )
        load, slot = asked.best(steps)
        whole = np.rint(load * self.unit), np.rint(slot * self.unit * SCALE)
        most = MAX_LOAD_PRICE, MAX_SLOT_PRICES // int(self.slots.sum())
        return np.asarray(np.minimum(whole, np.array(most)[:, None]).astype(np.int64))
