"""Lower bounds of a layer's load and price where GPUs send, and what crosses nodes has the price.

Say that the largest GPU load is T. There are G GPUs that send, and s slots.

- An expert of load w has at least c replicas: at most m = min(G, floor(G T / w)) of the GPUs may
  send to one of them, so c = ceil(G / m).
- Its n replicas serve at most g(n) GPUs on their own nodes. Under nearest copy that is all GPUs of
  the n largest nodes. Under rank modulo one replica has at most ceil(h / n) GPUs of its node, where
  h is the largest node's number, for a node's senders are neighbours; so g(n) = n ceil(h / n), at
  most G.

All experts together have s replicas. So for any price d of a slot, what does not cross is at most
s d + sum of max over n >= c of (w g(n) - d n), in GPUs' parts of the loads; and the objective is at
least the least, over T from the flat bound on, of T over the mean, plus the price of what is left.
The range of T is cut into pieces; on each T counts as at the beginning, and c as at the end, where
it is smallest. Pieces on which more crosses than is allowed hold no plan.

The best d is where the slots run out when experts get them by what each more brings: where g is
concave no plan's counts do better, so that the price of a piece is the true least then.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import floor, log2
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.problem import topology

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: What is added up stays below this power of two.
SUM_BITS = 60
#: The first piece of T is this part of its beginning, and each is so many times the one before.
FIRST_PIECE, GROWTH = 1e-4, 1.8
#: With more replicas than this an expert is taken to serve every GPU on its own node.
MOST_COUNTS = 1024


@dataclass(frozen=True)
class CrossingBound:
    """The bound of one layer.

    Parameters
    ----------
    value
        The bound, largest over mean load plus price.
    levels
        Where the pieces of T begin, ascending, as parts of `scale` of the layer's load.
    prices
        The price of a slot on each piece, in parts of `scale` of the layer's load and a GPU; the
        last level may have none, for load alone is worth the bound there.
    scale
        What the layer's load counts as.
    """

    value: Fraction
    levels: tuple[int, ...]
    prices: tuple[int, ...]
    scale: int

    @property
    def data(self) -> dict[str, int | list[int]]:
        """The data of a certificate of kind "crossing"; empty where there is nothing to prove."""
        if not self.levels:
            return {}
        return {"levels": list(self.levels), "prices": list(self.prices), "scale": self.scale}


def crossing_bound(problem: Problem, flat: Fraction) -> CrossingBound:
    """The bound of the module's docstring, for a problem of one layer.

    Parameters
    ----------
    problem
        A problem of one layer with a topology whose dispatch is "nearest" or "rank_modulo".
    flat
        A lower bound of its largest GPU load, in integer units.
    """
    total, rules = int(problem.load.sum()), problem.topology
    if total == 0 or rules is None:
        return CrossingBound(Fraction(1), (), (), 1)
    gpus = problem.num_senders
    scale = 2 ** (SUM_BITS - 2 * gpus.bit_length() - problem.num_slots.bit_length())
    low = np.array([w * scale // total for w in problem.load[0].tolist()], dtype=np.int64)
    price, limit = rules.exact_price, rules.most_off_home
    most = price if rules.max_off_home is None else max(price, Fraction(1))
    levels = _levels(flat * scale / total, float(most))
    best: Fraction | None = None
    prices: list[int] = []
    used: list[int] = []
    pieces = _Pieces(problem, low, scale)
    for begin, end in zip(levels, [*levels[1:], scale], strict=True):
        used.append(begin)
        alone = Fraction(begin * gpus, scale)
        if best is not None and best <= alone:  # beyond it load alone is worth more
            break
        slot, served = pieces.served(min(end, scale))
        prices.append(slot)
        if served is None:  # not that many slots
            continue
        crossed = max(1 - Fraction(served, scale * gpus), Fraction(0))
        if crossed <= limit:
            value = alone + price * crossed
            best = value if best is None else min(best, value)
    if best is None:  # no plan keeps the limit, whatever its load
        best = alone
    # A float load that was rounded down lacks less than a unit; no plan is better for what it lacks
    # than in proportion to the total.
    true = Fraction(total, total + int(problem.rounded[0]) * problem.num_experts)
    return CrossingBound(best * true, tuple(used), tuple(prices), scale)


def _levels(first: Fraction, price: float) -> list[int]:
    """Where the pieces of T begin: from the flat bound on, until load alone costs all the price."""
    num = 0 if price <= FIRST_PIECE else int(log2(price / FIRST_PIECE) / log2(GROWTH)) + 2
    parts = [Fraction(round(FIRST_PIECE * GROWTH**i * 2**30), 2**30) for i in range(num)]
    return sorted({floor(first * (1 + part)) for part in (Fraction(0), *parts)})


class _Pieces:
    """What the nodes can serve by themselves at most, for a range of T.

    Parameters
    ----------
    problem
        A problem of one layer.
    low
        int64 [num_experts], the loads in parts of the scale, rounded down.
    scale
        What the layer's load counts as.
    """

    def __init__(self, problem: Problem, low: np.ndarray, scale: int) -> None:
        self.gpus, self.slots = problem.num_senders, int(problem.open_slots.sum())
        spare = self.slots - problem.num_experts
        nodes = tuple(topology.gpus_of_nodes(problem).tolist())
        self.served_by = most_at_hand(problem.dispatch, nodes, min(spare + 1, MOST_COUNTS))
        self.counts = np.arange(1, len(self.served_by) + 1)
        self.low, self.high, self.scale = low, low + 1, scale

    def served(self, end: int) -> tuple[int, int | None]:
        """The price of a slot, and GPUs' parts of loads that nodes serve by themselves at most.

        None for T so small that the slots are too few. `end` is where the range of T ends, at most
        the scale: from there on one replica may carry everything.
        """
        fewest = self._fewest(end)
        spare = self.slots - int(fewest.sum())
        if spare < 0:
            return 0, None
        last = len(self.served_by)
        within = np.minimum(fewest, last)
        slot = self._slot_price(within, spare)
        worth = self.high[:, None] * self.served_by - slot * self.counts
        worth = np.where(self.counts >= within[:, None], worth, np.iinfo(np.int64).min)
        beyond = slot * int((fewest - within).sum())
        return slot, self.slots * slot + int(worth.max(axis=1).sum()) - beyond

    def _fewest(self, end: int) -> np.ndarray:
        if end >= self.scale:
            return np.ones_like(self.low)
        shared = np.minimum(end * self.gpus // np.maximum(self.low, 1), self.gpus)
        shared = np.where(self.low == 0, self.gpus, np.maximum(shared, 1))
        return np.asarray(-(-self.gpus // shared))

    def _slot_price(self, fewest: np.ndarray, spare: int) -> int:
        """What the last slot brings where experts get them by what each more brings."""
        gains, sizes = [], []
        for count in np.unique(fewest).tolist():
            loads = self.high[fewest == count]
            for gain, size in hull_steps(tuple(self.served_by.tolist()), count):
                gains.append(loads * gain.numerator // gain.denominator)
                sizes.append(np.full(len(loads), size))
        if not gains:
            return 0
        brought = np.concatenate(gains)
        order = np.argsort(-brought, kind="stable")
        filled = np.cumsum(np.concatenate(sizes)[order])
        at = int(np.searchsorted(filled, spare, side="right"))
        return int(brought[order[at]]) if at < len(order) else 0


@lru_cache(maxsize=64)
def hull_steps(served_by: tuple[int, ...], count: int) -> list[tuple[Fraction, int]]:
    """The least concave function above g from a count on: gain a replica, and replicas, descending.

    Parameters
    ----------
    served_by
        g of 1, 2, ... replicas.
    count
        Where it begins, from 1.
    """
    corners: list[tuple[int, int]] = []
    for point in enumerate(served_by[count - 1 :], count):
        while len(corners) > 1 and _gain(corners[-2], corners[-1]) <= _gain(corners[-1], point):
            corners.pop()
        corners.append(point)
    steps = [(_gain(a, b), b[0] - a[0]) for a, b in pairwise(corners)]
    return [(gain, size) for gain, size in steps if gain > 0]


def _gain(a: tuple[int, int], b: tuple[int, int]) -> Fraction:
    return Fraction(b[1] - a[1], b[0] - a[0])


@lru_cache(maxsize=16)
def most_at_hand(dispatch: str, gpus: tuple[int, ...], most: int) -> np.ndarray:
    """g(n) of n = 1, 2, ... replicas, int64; it ends where every GPU is served on its node.

    Parameters
    ----------
    dispatch
        "nearest" or "rank_modulo".
    gpus
        GPUs of each node that send.
    most
        The most replicas that are looked at; the last entry is all GPUs where it is `MOST_COUNTS`.
    """
    everyone = sum(gpus)
    if dispatch == "nearest":
        found = np.cumsum(sorted(gpus, reverse=True))[:most]
    else:
        count = np.arange(1, most + 1)
        found = np.minimum(count * -(-max(gpus) // count), everyone)
        full = np.flatnonzero(found == everyone)
        found = found[: full[0] + 1] if full.size else found
    if most == MOST_COUNTS:
        found[-1] = everyone
    found.flags.writeable = False
    return found
