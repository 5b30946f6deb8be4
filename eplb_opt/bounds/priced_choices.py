"""Prices of slots and of load for every choice of homes, the least proven one first.

The choice of homes of which least is proven gets prices of its own (`price_ascent`), and these are
tried on all others. That goes on until nothing more is gained, or time is up. Under a bound of the
largest load that is known of a plan, experts have the more replicas the better the plan is, so all
that is proven is proven anew where a better one has come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.node_prices import NodePrices, PricedNodes
from eplb_opt.bounds.price_ascent import Ascent, Households, ascend

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline

#: The most prices of a layer; a certificate has to be verified in seconds.
MAX_PRICES = 120


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
        self.ascents: dict[int, Ascent] = {}
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
        """Take a better plan's worth, in units of the objective."""
        if top < self.top:
            self._restate(top)

    @property
    def is_done(self) -> bool:
        """Whether the least choice has had its prices, or there is none, or no room for more."""
        if not len(self.worth) or len(self.prices) >= MAX_PRICES:
            return True
        least = int(self.worth.argmin())
        return int(self.worth[least]) >= self.top or least in self.ascents

    @property
    def units(self) -> int:
        """The bound, in units of the objective."""
        return int(self.worth.min()) if len(self.worth) else 0

    def step(self, deadline: Deadline) -> bool:
        """Find prices for the choice of which least is proven; whether there was time."""
        layer, choice = self.layer, int(self.worth.argmin())
        mean = layer.scale / layer.problem.num_gpus
        units = float(layer.scale) * layer.unit
        asked = Households(
            load=layer.load / mean,
            home=layer.place[choice],
            slots=layer.slots.astype(np.float64),
            gpus=layer.gpus.astype(np.float64),
            price=layer.price / layer.unit,
            bare=int(layer.anchored),
            least=self.first / mean,
            most=self.end / mean,
            enough=self.top / units,
        )
        found = ascend(asked, deadline)
        if found is None:
            return False
        self.ascents[choice] = found
        on_slots = np.rint(found.on_slots * units).astype(np.int64)
        on_load = np.rint(found.on_load * layer.of_load(1)).astype(np.int64)
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
