"""Near plans where moving and imbalance together cost least time, layer by layer.

The load that is worth one move (`MoveCost.load_per_move`) turns the time of both into one integer,
in the fixed point of the layer's loads: the moves of the GPU that receives most, at that price,
plus the largest GPU load. Nothing is rounded after that, so all ranks choose the same plans.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.move_cost import MoveAssessment

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.core import near
    from eplb_opt.placement.move_cost import MoveCost

#: Levels closer to the bound than this part of it are not looked for. They take most of the time,
#: and loads that change until the next rebalance leave nothing of them: over windows of drifting
#: and of recorded DeepSeek-V3 loads they changed what followed by less than 0.1 %, up or down.
LEAST_EXCESS = 0.003


@dataclass(frozen=True, eq=False)
class PricedSearch:
    """Looks for the cheapest plan of every layer.

    Parameters
    ----------
    planner
        The core's planner of near plans.
    weights, held
        int64 [num_layers, num_experts] in fixed point, and int64 [num_layers, num_slots], the map
        in force.
    num_gpus
        GPUs that the slots are on.
    prices
        [num_layers], the load that is worth one move, in fixed point.
    """

    planner: near.Planner
    weights: np.ndarray
    held: np.ndarray
    num_gpus: int
    prices: list[int]

    def cost(self, layer_idx: int, placed: np.ndarray, largest: int) -> int:
        """What a plan of a layer costs, moving and imbalance, as a load in fixed point.

        Parameters
        ----------
        layer_idx
            The layer.
        placed
            int64 [num_slots], the plan.
        largest
            Its largest GPU load in fixed point.
        """
        moves = busiest_moves(self.held[layer_idx], placed, self.num_gpus)
        return moves * self.prices[layer_idx] + int(largest)

    def find(self, stay: tuple[np.ndarray, np.ndarray], steps: int, deadline: Deadline) -> None:
        """Put a cheaper plan in the place of the map in force, where there is one.

        The levels that are tried begin where all that is left to gain is worth half a move, but not
        below `LEAST_EXCESS`, and rise until a plan with a single move would cost as much as the
        best one so far. Where moves cost nothing the least load is looked for, and that alone. The
        last column of the numbers then says whether the lowest level was reached, or need not be.

        Parameters
        ----------
        stay
            The map in force in the core's form, see `near.Planner`; changed.
        steps
            Steps of a descent at most.
        deadline
            Layers whose turn comes later stay as they are.
        """
        placed, numbers = stay
        for layer_idx in range(len(placed)):
            if numbers[layer_idx, 2] and not deadline.expired:
                self._improve(layer_idx, placed, numbers, steps)

    def _improve(self, i: int, placed: np.ndarray, numbers: np.ndarray, steps: int) -> None:
        price, before, bound = self.prices[i], int(numbers[i, 2]), int(numbers[i, 3])
        row, best = slice(i, i + 1), self.cost(i, placed[i], before)
        excess = max(price // 2, int(bound * LEAST_EXCESS), 1) if price else 0
        numbers[i, 6] = is_first = True
        # A plan without any move is the one in force; without load everything is level.
        while bound and bound + excess + price < best and bound + excess < before:
            plans, facts = self.planner.within(
                self.weights[row],
                self.held[row],
                excess / bound,
                steps,
                None,
                bisects=not price,
            )
            largest, is_reached = int(facts[0, 2]), bool(facts[0, 6])
            cost = self.cost(i, plans[0], largest)
            if cost < best:
                best, placed[i], numbers[i, :6] = cost, plans[0], facts[0, :6]
            if is_first:
                numbers[i, 6] = is_reached
            if not price:
                return
            # What could not be reached will not be at a level below what was.
            excess = 3 * (excess if is_reached else max(excess, largest - bound)) // 2
            is_first = False


def busiest_moves(held: np.ndarray, placed: np.ndarray, num_gpus: int) -> int:
    """The most slots of one GPU whose expert is new on it.

    Parameters
    ----------
    held, placed
        int64 [num_slots], two maps of a layer; -1 is an empty slot.
    num_gpus
        GPUs that the slots are on.
    """
    changed = np.flatnonzero((placed != held) & (placed >= 0))
    if not changed.size:
        return 0
    slots_per_gpu = len(placed) // num_gpus
    before = held.reshape(num_gpus, slots_per_gpu)[changed // slots_per_gpu]
    is_new = (before != placed[changed, None]).all(axis=1)
    return int(np.bincount(changed[is_new] // slots_per_gpu, minlength=1).max())


def assessed(
    cost: MoveCost,
    maps: tuple[np.ndarray, np.ndarray],
    loads: tuple[np.ndarray, ...],
    num_gpus: int,
) -> MoveAssessment:
    """What a plan costs and saves, for people to read: in floats, where `MoveCost.assess` is exact.

    Parameters
    ----------
    cost
        What moving costs.
    maps
        int64 [num_layers, num_slots], the map in force and the plan.
    loads
        float64 [num_layers] each: the largest GPU loads under the two, and the mean ones.
    num_gpus
        GPUs that the slots are on.
    """
    before, after, mean = loads
    rate = cost.moe_seconds / before.sum() if before.any() else 0.0
    busiest = np.array([busiest_moves(*rows, num_gpus) for rows in zip(*maps, strict=True)])
    moving = busiest * cost.move_seconds
    return MoveAssessment(busiest, moving, (before - mean) * rate, (after - mean) * rate)


def prices(cost: MoveCost, before: np.ndarray, unit: np.ndarray) -> list[int]:
    """The load that is worth one move in every layer, in its fixed point, rounded down.

    Parameters
    ----------
    cost
        What a move costs.
    before, unit
        int64 and float64 [num_layers]: the largest GPU loads of the map in force in fixed point,
        and what one of its units is worth, a power of two.
    """
    units = [Fraction(value) for value in unit.tolist()]
    loads = zip(before.tolist(), units, strict=True)
    per_move = cost.load_per_move(sum((load * each for load, each in loads), Fraction(0)))
    return [int(per_move / each) for each in units]
