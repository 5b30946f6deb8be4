"""Good prices of slots and of load on nodes, by Newton's method on a smoothed dual.

`bounds.node_prices` says what any prices prove; here are prices that prove much. What an expert
costs at least, the least over its options, is replaced by its soft minimum at a temperature, and
the prices of load are kept above 0 by a logarithm. That makes a smooth concave function of two
variables a node, so that Newton steps are cheap; as the temperature falls it becomes the dual of
the linear program over all options. (Nesterov, Smooth minimization of non-smooth functions, 2005;
the fall of the temperature is an interior-point method's.) A solver for linear programs takes ten
times as long, for the program has thousands of columns and this has a few variables.

Nothing here is a proof: floating-point prices are rounded and evaluated in integers elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline

#: Counts beyond the fewest that an expert may have.
MORE = np.array([0, 1, 2, 3, 4, 6, 9, 14, 22, 40])
#: The first temperature and the last, in units of the objective, how it falls, and Newton steps at
#: each. The last ones bring a ten-thousandth.
FIRST_HEAT, LAST_HEAT, FALL, STEPS = 2e-3, 4e-6, 5.0, 12
#: A step is halved, or so, until it brings this part of what its slope promises; at most so often.
ENOUGH, SHORTER, MAX_SHORTER = 0.1, 0.4, 12
#: A price of load keeps this part of the way to 0; and steps promise at least so many
#: temperatures, or the turn of the next one has come.
KEPT, PROMISED = 0.05, 2.0
#: No slot is worth more, in units of the objective.
MOST_WORTH = 2.0


@dataclass(frozen=True, eq=False)
class Households:
    """One layer with homes: loads in mean GPU loads, and what its nodes have room for.

    Parameters
    ----------
    load
        float64 [num_experts], relative to the mean GPU load.
    home
        int64 [num_experts], the place of each expert's home among the nodes.
    slots, gpus
        float64 [num_nodes].
    price
        Of a share of 1 off home.
    bare
        1 where one replica of each expert is at home whatever the others do, else 0.
    least, most
        Between what the largest GPU load is, relative to the mean.
    enough
        What prices need not prove more than, in units of the objective. Where no plan has so little
        load, the dual has no bound.
    """

    load: np.ndarray
    home: np.ndarray
    slots: np.ndarray
    gpus: np.ndarray
    price: float
    bare: int
    least: float
    most: float
    enough: float


@dataclass(frozen=True, eq=False)
class Ascent:
    """Prices, and what the program whose dual values they are does with each expert.

    Parameters
    ----------
    on_slots, on_load
        float64 [num_nodes]: of a slot, and of a mean GPU load.
    level
        The largest GPU load of its solution, relative to the mean.
    count
        int64 [num_experts, num_counts], the counts that an expert may have.
    chance
        float64 [num_experts, num_counts, num_nodes], how much of each: an expert with so many
        replicas, all but the `bare` one on that node.
    """

    on_slots: np.ndarray
    on_load: np.ndarray
    level: float
    count: np.ndarray
    chance: np.ndarray


class _Dual:
    """The smoothed dual of one layer."""

    def __init__(self, asked: Households) -> None:
        num_nodes = len(asked.slots)
        fewest = np.maximum(np.ceil(asked.load / asked.most - 1e-9), 1).astype(np.int64)
        most = int(asked.slots.sum()) - int(fewest.sum())
        self.asked, self.count = asked, fewest[:, None] + MORE[most >= MORE]
        self.size = asked.load[:, None] / self.count
        self.more = (self.count - asked.bare).astype(np.float64)
        self.is_home = (asked.home[:, None] == np.arange(num_nodes)).astype(np.float64)
        away = asked.price / asked.gpus.sum() * self.size * self.more
        self.direct = away[:, :, None] * (1 - self.is_home)[:, None, :]
        self.ends = np.array([asked.least, asked.most])
        self.num_nodes = num_nodes

    def value(self, prices: np.ndarray, heat: float) -> float:
        """The smoothed dual's value."""
        return self.soft(prices, heat)[0]

    def soft(self, prices: np.ndarray, heat: float) -> tuple[float, np.ndarray, np.ndarray, float]:
        """The value, how much of each option and of each end of the range, and the true value."""
        asked, n = self.asked, self.num_nodes
        on_slots, on_load = prices[:n], prices[n:]
        each = self.size[:, :, None] * on_load + on_slots
        cost = self.more[:, :, None] * each + self.direct
        if asked.bare:
            experts = np.arange(len(asked.load))
            cost += each[experts, :, asked.home][:, :, None]
        least = cost.min(axis=(1, 2))
        chance = np.exp((least[:, None, None] - cost) / heat)
        whole = chance.sum(axis=(1, 2))
        of_load = (1 - asked.gpus @ on_load) * self.ends
        low = of_load.min()
        part = np.exp((low - of_load) / heat)
        true = float(least.sum() + low - on_slots @ asked.slots)
        logs = np.log(on_load).sum() - np.log(whole).sum() - np.log(part.sum())
        value = true + heat * float(logs)
        return value, chance / whole[:, None, None], part / part.sum(), true

    def slopes(self, prices: np.ndarray, heat: float) -> tuple[float, np.ndarray, np.ndarray]:
        """The value, its gradient, and its curvature (the Hessian's negative)."""
        asked, n = self.asked, self.num_nodes
        value, chance, part, _ = self.soft(prices, heat)
        level = float(part @ self.ends)
        # What an option puts on nodes: one for slots, its size for load.
        powers = [np.ones_like(self.size), self.size, self.size**2]
        once = [_mean(chance, self.more * power) for power in powers]
        twice = [_mean(chance, self.more**2 * power) for power in powers]
        bare = [asked.bare * (chance.sum(axis=2) * power).sum(axis=1) for power in powers]
        held = [bare[i][:, None] * self.is_home + once[i] for i in (0, 1)]
        gradient = np.concatenate([row.sum(axis=0) for row in held])
        gradient -= np.concatenate([asked.slots, asked.gpus * level])
        curve = np.zeros((2 * n, 2 * n))
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            both = asked.bare * self.is_home.T @ once[i + j]
            alone = self.is_home.T @ bare[i + j] + twice[i + j].sum(axis=0)
            curve[i * n : (i + 1) * n, j * n : (j + 1) * n] = both + both.T + np.diag(alone)
        both = np.concatenate(held, axis=1)
        curve -= both.T @ both
        spread = float(part @ self.ends**2) - level**2
        curve[n:, n:] += spread * np.outer(asked.gpus, asked.gpus)
        curve /= heat
        gradient[n:] += heat / prices[n:]
        curve[n:, n:] += np.diag(heat / prices[n:] ** 2)
        return value, gradient, curve

    def solution(self, prices: np.ndarray, heat: float) -> Ascent:
        """The prices with what they stand for."""
        n = self.num_nodes
        _, chance, part, _ = self.soft(prices, heat)
        return Ascent(prices[:n], prices[n:], float(part @ self.ends), self.count, chance)


def _mean(chance: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """[num_experts, num_nodes]."""
    return np.asarray((chance * weight[:, :, None]).sum(axis=1))


def ascend(asked: Households, deadline: Deadline, start: Ascent | None = None) -> Ascent | None:
    """Prices for one layer; None where the deadline comes before the first temperature's end.

    Parameters
    ----------
    asked
        The layer. Its slots hold the fewest replicas that experts have at the highest level.
    deadline
        When to stop, at the temperature that has been reached.
    start
        Prices of a like layer to begin with.
    """
    dual, n = _Dual(asked), len(asked.slots)
    prices = np.concatenate([np.zeros(n), np.full(n, 1 / asked.gpus.sum())])
    if start is not None:
        prices = np.concatenate([start.on_slots, np.maximum(start.on_load, 1e-9)])
    heat, found = FIRST_HEAT, None
    while heat >= LAST_HEAT and not deadline.expired:
        for _ in range(STEPS):
            further = _step(dual, prices, heat)
            if further is None:
                break
            prices = further
            if dual.soft(prices, heat)[3] >= asked.enough:
                return dual.solution(prices, heat)
        found = heat
        heat /= FALL
    return None if found is None else dual.solution(prices, found)


def _step(dual: _Dual, prices: np.ndarray, heat: float) -> np.ndarray | None:
    """A damped Newton step; None where it promises too little, or none is found."""
    n = dual.num_nodes
    value, gradient, curve = dual.slopes(prices, heat)
    # Where all on a node have as many slots as they can, its price of slots may be anything.
    curve[np.arange(2 * n), np.arange(2 * n)] += 1e-9 * np.trace(curve) / (2 * n) + 1e-12
    try:
        step = np.linalg.solve(curve, gradient)
    except np.linalg.LinAlgError:
        return None
    promised = float(step @ gradient)
    if not promised > PROMISED * heat:  # also where it is no number
        return None
    down = step[n:] < 0
    length = 1.0
    if down.any():
        length = min(length, float((1 - KEPT) * (prices[n:][down] / -step[n:][down]).min()))
    for _ in range(MAX_SHORTER):
        further = prices + length * step
        further[:n] = np.clip(further[:n], -MOST_WORTH, MOST_WORTH)
        if dual.value(further, heat) >= value + ENOUGH * length * promised:
            return np.asarray(further)
        length *= SHORTER
    return None
