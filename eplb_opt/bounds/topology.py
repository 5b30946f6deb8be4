"""Lower bounds of a layer's load and price of what is served off home.

Say that the largest GPU load is T. On a node with g GPUs and s slots, replicas of the experts at
home there

- serve at most g T, what its GPUs carry; where GPUs have speeds, g is what these add up to;
- fill at most s slots. An expert of load w with a replica there has at least
  c = max(1, ceil(w / T)) of them, so a share f of its load kept at home takes f c slots: what is
  kept is at most the fractional knapsack of the loads w in s slots. Where GPUs have speeds, a
  replica there carries at most T times the largest speed of the node. Where experts are anchored,
  each takes a slot in any case.

What is at home there beyond both is served elsewhere. So the objective is at least the least, over
T from the flat bound on, of T over the mean, plus the price of the sum over nodes of what is left.
The range of T is cut into pieces; on each the knapsack is taken at the end of the piece, where it
is largest, and the rest is convex and piecewise linear in T, so that its least value is at an end
or a kink. Where homes are chosen with the plan, the least over all choices is taken; where there
are too many, every group is taken as if it had a node for itself, which leaves less over.

Everything is integers that are rounded to the side on which the bound stays true. T counts as what
the fastest GPU carries at that level.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from math import ceil, floor, log2
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.problem import node_kinds, topology

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.problem.problem import Problem

#: More choices of homes than this are not looked at one by one.
MAX_CHOICES = 3000
#: Bits of the price, and of all that is added up.
PRICE_BITS, SUM_BITS = 20, 60
#: The first piece of T is this part of its beginning, and each is so many times the one before.
FIRST_PIECE, GROWTH = 5e-4, 1.5
#: Speeds count as parts of the largest in this unit, and slower GPUs as if they had the least part.
RATE_BITS, LEAST_RATE_BITS = 20, 10
#: Where a piece has no end; above any load, and so small that sums of it fit.
ENDLESS = 2**40


@dataclass(frozen=True)
class HomeBound:
    """The bound of one layer.

    Parameters
    ----------
    value
        The bound, largest over mean load plus price. By rounding it may be a little below that of
        the load alone.
    levels
        Where the pieces of T begin, ascending, as parts of `scale` of the layer's load.
    scale
        What the layer's load counts as.
    choices
        int64 [num_choices, num_groups], the node of each group in each choice of homes, those with
        the least bounds first; empty where the problem has homes or there are too many choices.
    of_choice
        [num_choices], their bounds.
    """

    value: Fraction
    levels: tuple[int, ...]
    scale: int
    choices: np.ndarray
    of_choice: tuple[Fraction, ...]


@dataclass(frozen=True)
class _Households:
    """Sets of experts at home on a node, and the choices of homes as lists of such sets."""

    experts: list[np.ndarray]
    rates: np.ndarray  # of the node of each set: its speeds over the largest of all, in `RATE_BITS`
    fastest: np.ndarray  # its own largest, likewise
    slots: np.ndarray
    of_choice: np.ndarray  # [num_choices, sets of a choice]


def home_bound(problem: Problem, flat: Fraction) -> HomeBound:
    """The bound of the module's docstring, for a problem of one layer.

    Parameters
    ----------
    problem
        A problem of one layer with a topology.
    flat
        A lower bound of its largest GPU load, in integer units.
    """
    total = int(problem.load.sum())
    nothing = np.zeros((0, problem.num_groups), dtype=np.int64)
    rules = problem.topology
    if total == 0 or rules is None:
        return HomeBound(Fraction(1), (), 1, nothing, ())
    choices = None if rules.homes is not None else home_choices(problem)
    sets = _households(problem)
    slowness = (2**RATE_BITS // min(sets.fastest.tolist())).bit_length() - 1
    scale = 2 ** (SUM_BITS - PRICE_BITS - problem.num_gpus.bit_length() - 1 - slowness)
    load = np.array([w * scale // total for w in problem.load[0].tolist()], dtype=np.int64)
    first = flat * problem.fastest * scale / total
    levels = _levels(first, float(rules.exact_price), rules.max_off_home is None)
    values, levels = _Pieces(problem, sets, load, scale).least(levels)
    # A float load that was rounded down lacks less than a unit; no plan is better for what it lacks
    # than in proportion to the total.
    true = Fraction(total, total + int(problem.rounded[0]) * problem.num_experts)
    bounds = values if true == 1 else [value * true for value in values]
    order = sorted(range(len(bounds)), key=lambda i: (float(bounds[i]), i))
    return HomeBound(
        min(bounds),
        tuple(levels),
        scale,
        nothing if choices is None else choices[order],
        () if choices is None else tuple(bounds[i] for i in order),
    )


def home_choices(problem: Problem) -> np.ndarray | None:
    """Every choice of a node for each group, int64 [num_choices, num_groups]; None for too many.

    Nodes whose GPUs are alike are, too, so they are taken in the order of their first groups.
    """
    return _shared_out(_shape_of(problem))


@dataclass(frozen=True)
class _Shape:
    """All that the choices of homes depend on; layers share it."""

    num_experts: int
    group_size: int
    num_groups: int
    kinds: tuple[int, ...]  # and what is known of each node, see `_Households`
    rates: tuple[int, ...]
    fastest: tuple[int, ...]
    slots: tuple[int, ...]
    least: tuple[int, ...]
    most: tuple[int, ...]


def _shape_of(problem: Problem) -> _Shape:
    least, most = topology.group_rooms(problem)
    return _Shape(
        problem.num_experts,
        topology.experts_per_group(problem),
        problem.num_groups,
        node_kinds.kinds_of_nodes(problem),
        _parts(problem, node_kinds.rates_of_nodes(problem)),
        _parts(problem, node_kinds.fastest_of_nodes(problem)),
        tuple(topology.slots_of_nodes(problem).tolist()),
        tuple(least.tolist()),
        tuple(most.tolist()),
    )


def _parts(problem: Problem, rates: list[int]) -> tuple[int, ...]:
    """Speeds of nodes over a GPU's largest, rounded up: a higher one never raises the bound."""
    fastest = int(problem.fastest * problem.whole_speed[1])
    least = 2 ** (RATE_BITS - LEAST_RATE_BITS)
    return tuple(max(-(-(rate << RATE_BITS) // fastest), least) for rate in rates)


@lru_cache(maxsize=8)
def _shared_out(shape: _Shape) -> np.ndarray | None:
    found = list(islice(_choices(shape), MAX_CHOICES + 1))
    if len(found) > MAX_CHOICES:
        return None
    choices = np.array(found, dtype=np.int64).reshape(-1, shape.num_groups)
    choices.flags.writeable = False
    return choices


def _choices(shape: _Shape) -> Iterator[list[int]]:
    held = [0] * len(shape.kinds)
    choice: list[int] = []

    def place() -> Iterator[list[int]]:
        left = shape.num_groups - len(choice)
        if left < sum(max(low - h, 0) for low, h in zip(shape.least, held, strict=True)):
            return
        if not left:
            yield list(choice)
            return
        empty: set[int] = set()
        for node, kind in enumerate(shape.kinds):
            if held[node] == shape.most[node] or (held[node] == 0 and kind in empty):
                continue
            if held[node] == 0:
                empty.add(kind)
            held[node] += 1
            choice.append(node)
            yield from place()
            choice.pop()
            held[node] -= 1

    return place()


#: Rate, largest speed and slots of a node, see `_Households`, and its groups.
_Key = tuple[tuple[int, int, int], tuple[int, ...]]


def _households(problem: Problem) -> _Households:
    rules = problem.topology
    if rules is None or rules.homes is None:
        return _households_of(_shape_of(problem))
    held = [np.flatnonzero(rules.homes[0] == node) for node in range(problem.num_nodes)]
    shape = _shape_of(problem)
    rates, fastest, slots = np.array([shape.rates, shape.fastest, shape.slots])
    return _Households(held, rates, fastest, slots, np.arange(len(held))[None, :])


@lru_cache(maxsize=8)
def _households_of(shape: _Shape) -> _Households:
    group = np.arange(shape.num_experts) // shape.group_size
    choices = _shared_out(shape)
    nodes = list(zip(shape.rates, shape.fastest, shape.slots, strict=True))
    if choices is None:  # every group as if alone on a node that is the best in all
        best = max(shape.rates), max(shape.fastest), max(shape.slots)
        keys: list[list[_Key]] = [[(best, (g,)) for g in range(shape.num_groups)]]
    else:
        keys = [
            [(node, tuple(np.flatnonzero(c == n).tolist())) for n, node in enumerate(nodes)]
            for c in choices
        ]
    known: dict[_Key, int] = {}
    of_choice = np.array([[known.setdefault(key, len(known)) for key in row] for row in keys])
    held = [np.flatnonzero(np.isin(group, groups)) for _, groups in known]
    rates, fastest, slots = np.array([node for node, _ in known]).T
    return _Households(held, rates, fastest, slots, of_choice)


def _levels(first: Fraction, price: float, is_free: bool) -> list[int]:
    """Where the pieces of T begin: from the flat bound on, until load alone costs all the price."""
    most = price if is_free else max(price, 1.0)
    num = 0 if most <= FIRST_PIECE else int(log2(most / FIRST_PIECE) / log2(GROWTH)) + 2
    parts = [Fraction(round(FIRST_PIECE * GROWTH**i * 2**30), 2**30) for i in range(num)]
    return sorted({floor(first * (1 + part)) for part in (Fraction(0), *parts)})


class _Pieces:
    """The objective's bound on each piece of T, for every choice of homes."""

    def __init__(self, problem: Problem, sets: _Households, load: np.ndarray, scale: int) -> None:
        rules = problem.topology
        price = Fraction(0) if rules is None else rules.exact_price
        bits = PRICE_BITS - max(int(price).bit_length(), 0)
        self.unit = 2**bits  # a lower price never raises the bound
        self.price = floor(price * self.unit)
        self.scale, self.sets = scale, sets
        capacity = problem.capacity / problem.fastest
        self.whole = floor(capacity * self.unit)  # what a unit of T on every GPU is worth
        self.most_gpus = ceil(capacity)
        self.anchored = rules is not None and rules.anchored
        most = Fraction(1) if rules is None else rules.most_off_home
        self.most = floor(most * scale)
        self.load = load
        self.loads = [load[held] for held in sets.experts]
        self.held = np.array([int(row.sum()) for row in self.loads])

    def least(self, levels: list[int]) -> tuple[list[Fraction], list[int]]:
        """The least over all pieces, for each choice, and the levels up to the last that counts."""
        best = np.full(len(self.sets.of_choice), np.iinfo(np.int64).max)
        used: list[int] = []
        for begin, end in zip(levels, [*levels[1:], ENDLESS], strict=True):
            used.append(begin)
            alone = self.whole * begin
            if (best <= alone).all():  # beyond it load alone is worth more
                break
            best = np.minimum(best, self._on_piece(begin, end))
        # Kinks lie between integers: there a value may be lower by a unit of T on every GPU.
        slack = self.most_gpus * (self.unit + self.price)
        values = [Fraction(value - slack, self.scale * self.unit) for value in best.tolist()]
        return values, used

    def _on_piece(self, begin: int, end: int) -> np.ndarray:
        # Loads are rounded down, so that these are at most the replicas there are.
        fastest = self.sets.fastest.tolist()
        largest = {part: -(-(part * end) >> RATE_BITS) for part in set(fastest)}  # of a replica
        count = {part: np.maximum(-(-self.load // most), 1) for part, most in largest.items()}
        kept = np.array([self._kept(j, count[part]) for j, part in enumerate(fastest)])
        kept = np.minimum(kept, self.held)
        rates, kept = self.sets.rates[self.sets.of_choice], kept[self.sets.of_choice]
        whole = self.held[self.sets.of_choice]
        first = self._first_allowed(begin, end, whole, kept, rates)
        kinks = np.clip((kept << RATE_BITS) // rates, first[:, None], end)
        # Beyond the last kink load alone grows, so the end of a piece need not be looked at.
        at = np.concatenate([first[:, None], kinks], axis=1)
        served = _served(rates[:, None], at[:, :, None], kept[:, None])
        away = (whole[:, None] - served).sum(axis=2)
        value = (self.whole * at + self.price * away).min(axis=1)
        never = away.min(axis=1) > self.most + kept.shape[1]
        return np.where(never, np.iinfo(np.int64).max, value)

    def _first_allowed(
        self, begin: int, end: int, whole: np.ndarray, kept: np.ndarray, rates: np.ndarray
    ) -> np.ndarray:
        """The least T of the piece with no more off home than allowed, less 1 for rounding."""
        low = np.full(len(whole), begin)
        if self.most >= self.scale:
            return low
        high = np.full(len(whole), end)
        while (high - low > 1).any():
            middle = (low + high) // 2
            away = (whole - _served(rates, middle[:, None], kept)).sum(axis=1)
            fits = away <= self.most + kept.shape[1]
            high, low = np.where(fits, middle, high), np.where(fits, low, middle)
        return low

    def _kept(self, j: int, counts: np.ndarray) -> int:
        """The most load that the slots of a node keep at home, by the knapsack's dual.

        With a price d for each slot, no more is kept than s d + sum max(0, w - c d).
        """
        slots, count = int(self.sets.slots[j]), counts[self.sets.experts[j]]
        if not self.anchored and int(count.sum()) <= slots:
            return int(self.held[j]) + len(count)
        load = self.loads[j] + 1  # they are rounded down
        each = -(-load // count) if self.anchored else np.zeros_like(load)
        bare = np.ones_like(count) if self.anchored else np.zeros_like(count)
        spare = slots - int(bare.sum())
        if int(count.sum()) <= slots or spare < 0:
            return int(load.sum())
        order = np.argsort(-(load / count), kind="stable")
        filled = np.cumsum((count - bare)[order])
        last = order[np.searchsorted(filled, spare)]
        dual = int(load[last] // count[last])
        return slots * dual + int(np.maximum(load - count * dual, each - bare * dual).sum())


def _served(rates: np.ndarray, level: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """What nodes serve of their own at a level, rounded up: their speeds times it, or all kept."""
    # From the kink on all is kept; a product of a level far above it would not fit.
    level = np.minimum(level, (kept << RATE_BITS) // rates + 1)
    return np.asarray(np.minimum(-(-(rates * level) >> RATE_BITS), kept))
