"""Good prices of load and slots for the bound of `links`, in floating point.

They maximise a concave function: a least cost for each expert, less what the prices pay. Here every
least is smoothed, by the logarithm of a sum of exponentials at some temperature (Nesterov, "Smooth
minimization of non-smooth functions", 2005), logarithmic barriers keep the prices positive, and a
Newton step is made at each of a row of falling temperatures. Half a hundred steps come within 1e-5
of the optimum, where subgradients stop short of it by a percent. What the prices prove is computed
elsewhere, in integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: The first temperature and barrier, in the dearest link and as a part of the temperature, and how
#: both fall from step to step.
FIRST_HEAT, BARRIER, COOLING = 0.2, 0.02, 0.72
#: Where prices begin, in the dearest link.
FIRST_PRICE = 1e-2
#: A step ends this part of the way to where a price, or the room for prices, would be 0.
PART = 0.9
#: Halvings, nearly, of a step that does not raise the function.
TRIES, SHORTER = 6, 0.4
#: Loads below this part of a layer count as it.
LEAST_SHARE = 1e-9


@dataclass(frozen=True)
class PriceProblem:
    """A layer whose links are to be priced at a largest load, in parts of the layer's load.

    Parameters
    ----------
    share
        float64 [num_experts], loads, which add up to 1.
    cost
        float64 [num_experts, num_places], what an assignment costs on each place.
    counts
        float64 [num_experts, num_places], replicas that each expert needs if one is there; or one
        column for all places.
    gpus, slots
        float64 [num_places], of each place; GPUs by their speeds over the largest.
    level
        The largest load.
    limit
        The most that the prices of load of all GPUs may add up to; infinity for any.
    """

    share: np.ndarray
    cost: np.ndarray
    counts: np.ndarray
    gpus: np.ndarray
    slots: np.ndarray
    level: float
    limit: float

    def best(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """The best prices of load and of slots on the way, float64 [num_places] each.

        Parameters
        ----------
        steps
            Newton steps.
        """
        ascent = _Ascent(self)
        for step in range(steps):
            ascent.step(FIRST_HEAT * COOLING**step)
        return ascent.best_load, ascent.best_slot


class _Ascent:
    """The steps; prices are in the dearest link, those of slots for all slots together."""

    def __init__(self, asked: PriceProblem) -> None:
        num = len(asked.gpus)
        self.asked, self.num = asked, num
        self.dearest = float(asked.cost.max()) or 1.0
        self.all_slots = max(float(asked.slots.sum()), 1.0)
        self.share = np.maximum(asked.share, LEAST_SHARE)
        self.ratio = asked.counts / self.share[:, None] / self.all_slots
        self.cost = asked.cost / self.dearest
        self.limit = asked.limit / self.dearest
        self.paid = np.concatenate([asked.gpus * asked.level, asked.slots / self.all_slots])
        self.by_load = np.concatenate([asked.gpus, np.zeros(num)])
        self.prices = np.full(2 * num, FIRST_PRICE)
        self.prices[:num] *= min(1.0, 0.5 * self.limit / float(self.prices @ self.by_load))
        self.most = -np.inf
        self.best_load, self.best_slot = np.zeros(num), np.zeros(num)
        self._keep()

    def step(self, heat: float) -> None:
        """A Newton step at one temperature, as long as it raises the smoothed function."""
        barrier = BARRIER * heat / self.num
        slope, curve = self._derivatives(heat, barrier)
        try:
            step = np.linalg.solve(curve, slope)
        except np.linalg.LinAlgError:  # flat to the last digit: nothing to gain
            return
        length = self._longest(step)
        now, rise = self._value(self.prices, heat, barrier), float(slope @ step)
        for _ in range(TRIES):
            there = self._value(self.prices + length * step, heat, barrier)
            if there >= now + 1e-4 * length * rise:
                break
            length *= SHORTER
        if not np.isfinite(there):
            return
        self.prices = self.prices + length * step
        self._keep()

    def _rows(self, prices: np.ndarray) -> np.ndarray:
        """What an assignment costs with its prices, float64 [num_experts, num_places]."""
        load, slot = prices[: self.num], prices[self.num :]
        return np.asarray(self.cost + load + self.ratio * slot)

    def _room(self, prices: np.ndarray) -> float:
        return self.limit - float(prices @ self.by_load)

    def _value(self, prices: np.ndarray, heat: float, barrier: float) -> float:
        """The smoothed function with its barriers; -inf beyond these."""
        room = self._room(prices)
        if not (prices > 0).all() or room <= 0:
            return -np.inf
        rows = self._rows(prices)
        least = rows.min(axis=1, keepdims=True)
        smooth = least[:, 0] - heat * np.log(np.exp((least - rows) / heat).sum(axis=1))
        walls = np.log(prices).sum() + (np.log(room) if np.isfinite(room) else 0.0)
        return float(self.share @ smooth - prices @ self.paid + barrier * walls)

    def _derivatives(self, heat: float, barrier: float) -> tuple[np.ndarray, np.ndarray]:
        """The slope [2 num_places] and the curvature, positive, [2 num_places, 2 num_places]."""
        num, prices = self.num, self.prices
        rows = self._rows(prices)
        part = np.exp((rows.min(axis=1, keepdims=True) - rows) / heat)
        part /= part.sum(axis=1, keepdims=True)
        weight = self.share[:, None] * part
        slots = self.ratio * weight
        square = self.ratio * slots
        held = self.ratio * part
        slope = np.concatenate([weight.sum(axis=0), slots.sum(axis=0)]) - self.paid
        curve = np.empty((2 * num, 2 * num))
        curve[:num, :num] = np.diag(weight.sum(axis=0)) - part.T @ weight
        curve[:num, num:] = np.diag(slots.sum(axis=0)) - part.T @ slots
        curve[num:, :num] = curve[:num, num:].T
        curve[num:, num:] = np.diag(square.sum(axis=0)) - held.T @ slots
        curve /= heat
        curve[np.diag_indices(2 * num)] += barrier / prices**2
        room = self._room(prices)
        slope += barrier / prices - barrier / room * self.by_load
        curve += barrier / room**2 * np.outer(self.by_load, self.by_load)
        return slope, curve

    def _longest(self, step: np.ndarray) -> float:
        """The longest part of a step that leaves the prices positive and within the limit."""
        falls = step < 0
        ways = PART * self.prices[falls] / -step[falls]
        longest = min(1.0, float(ways.min(initial=1.0)))
        used = float(step @ self.by_load)
        return min(longest, PART * self._room(self.prices) / used) if used > 0 else longest

    def _keep(self) -> None:
        """Keep the prices that are best for what they prove, unsmoothed.

        All prices of load may fall by as much, and all of slots where counts are those of all
        places: as loads add up to no more than GPUs carry, and counts to no more than there are
        slots, that proves no less.
        """
        value = float(self.share @ self._rows(self.prices).min(axis=1) - self.prices @ self.paid)
        if value > self.most:
            load, slot = self.prices[: self.num], self.prices[self.num :]
            self.most = value
            self.best_load = (load - load.min()) * self.dearest
            fall = slot.min() if self.ratio.shape[1] == 1 else 0.0
            self.best_slot = (slot - fall) * self.dearest / self.all_slots
