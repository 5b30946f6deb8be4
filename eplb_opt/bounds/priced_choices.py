"""Prices of slots and of load for every choice of homes, the least proven one first.

The choice of homes of which least is proven gets prices of its own (`core.bounds.ascend`), and
these are tried on all others. That goes on until nothing more is gained, or time is up. The better
the best plan known, the more replicas experts have below its worth, so that all that is proven is
proven anew where a better one has come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt import core
from eplb_opt.bounds.node_prices import NodePrices, PricedNodes

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline

#: The most prices of a layer; a certificate has to be verified in seconds.
MAX_PRICES = 120
#: Where the range of T has become shorter by less than this part, prices stay as they are.
LEAST_CHANGE = 0.004


@dataclass(frozen=True, eq=False)
class Solution:
    """What the program whose dual values are prices does with most of each expert.

    Parameters
    ----------
    count
        int64 [num_experts], replicas.
    at_home
        bool [num_experts], whether most of the replicas beyond the first are at home.
    """

    count: np.ndarray
    at_home: np.ndarray


class PricedChoices:
    """The bound of one layer, raised step by step.

    Parameters
    ----------
    layer
        The layer in integers, with its choices of homes.
    first
        A level that no plan's largest load is below, in parts of the scale.
    top
        What a known plan is worth, in units of the objective: no more can be proven.
    """

    def __init__(self, layer: PricedNodes, first: int, top: int) -> None:
        self.layer, self.first = layer, first
        self.prices: list[NodePrices] = []
        self.solutions: dict[int, Solution] = {}
        self.asked: set[int] = set()  # choices that have had prices for about this range
        self.asked_end = 0
        self.crowd = _heaviest_nodes(layer)
        self._restate(top)

    def _restate(self, top: int) -> None:
        """All that the prices prove below a plan's worth."""
        layer = self.layer
        self.top = top
        # From there on load alone is worth as much.
        self.end = max(-(-top // layer.of_load(1)), self.first + 1)
        self.worth = np.full(layer.num_choices, min(layer.of_load(self.first), top))
        self.by = np.full(layer.num_choices, -1)
        for i in range(len(self.prices)):
            self._try(i)

    def lower_top(self, top: int) -> None:
        """Take a better plan's worth, in units of the objective; prices may have to be renewed."""
        if top >= self.top:
            return
        self._restate(top)
        layer, before = self.layer, self.asked_end
        is_shorter = self.end * (1 + LEAST_CHANGE) < before
        if is_shorter and (layer.fewest(self.end) > layer.fewest(before)).any():
            self.asked.clear()

    @property
    def least(self) -> int:
        """The choice of which least is proven; of equals the one whose nodes are most level."""
        equals = np.flatnonzero(self.worth == self.worth.min())
        return int(equals[self.crowd[equals].argmin()])

    @property
    def is_done(self) -> bool:
        """Whether the least choice has had its prices, or there is none, or no room for more."""
        if not len(self.worth) or len(self.prices) >= MAX_PRICES:
            return True
        return self.units >= self.top or self.least in self.asked

    @property
    def units(self) -> int:
        """The bound, in units of the objective."""
        return int(self.worth.min()) if len(self.worth) else 0

    def step(self, deadline: Deadline) -> bool:
        """Find prices for the choice of which least is proven; whether there was time.

        Where no plan has so little load as a known one is worth, that one is proven best.
        """
        layer, choice = self.layer, self.least
        mean = layer.scale / layer.problem.num_gpus
        units = float(layer.scale) * layer.unit
        found = core.bounds.ascend(
            layer.load / mean,
            np.ascontiguousarray(layer.place[choice]),
            layer.slots,
            layer.gpus,
            layer.price / layer.unit,
            layer.anchored,
            self.first / mean,
            self.end / mean,
            self.top / units,
            deadline.remaining,
        )
        if found is None:
            return False
        slots, load, _, count, at_home = found
        self.solutions[choice] = Solution(count, at_home > 0)
        self.asked.add(choice)
        self.asked_end = self.end
        on_slots = np.rint(slots * units).astype(np.int64)
        on_load = np.rint(load * layer.of_load(1)).astype(np.int64)
        self.prices.append(NodePrices(on_slots, on_load))
        self._try(len(self.prices) - 1)
        return True

    def _try(self, i: int) -> None:
        values = self.layer.values(self.first, self.end, self.prices[i])
        if values is None:  # no plan has so little load
            values = np.full(len(self.worth), self.top)
        values = np.minimum(values, self.top)
        better = values > self.worth
        self.worth[better], self.by[better] = values[better], i

    def certified(self, first: int) -> tuple[int, dict[str, int | list[int]]]:
        """What is proven where T begins at another level, and the data of its certificate.

        Parameters
        ----------
        first
            A level that is certified, in parts of the scale.
        """
        layer = self.layer
        needed = sorted({int(i) for i in self.by if i >= 0})
        prices = [self.prices[i] for i in needed]
        worth = np.full(len(self.worth), min(layer.of_load(first), self.top))
        for one in prices:
            values = layer.values(first, self.end, one)
            worth = np.maximum(worth, self.top if values is None else values)
        data: dict[str, int | list[int]] = {
            "scale": layer.scale,
            "unit": layer.unit,
            "levels": [first, self.end],
            "on_slots": [m for one in prices for m in one.on_slots.tolist()],
            "on_load": [y for one in prices for y in one.on_load.tolist()],
        }
        return min(int(worth.min()), self.top), data


def _heaviest_nodes(layer: PricedNodes) -> np.ndarray:
    """What is at home on a node for each of its GPUs, at most, float64 [num_choices]."""
    most = np.zeros(layer.num_choices)
    for node, gpus in enumerate(layer.gpus.tolist()):
        most = np.maximum(most, ((layer.homes == node) * layer.load).sum(axis=1) / gpus)
    return most
