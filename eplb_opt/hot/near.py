"""Plans near the map in force: as level as asked for the fewest moves, or with so many at most.

A move is a slot whose expert is new on its GPU; a second replica of one is one more. Everything is
counted and in integers, so that all ranks get the same bytes.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.arrays import as_int, as_numpy
from eplb_opt.core import near, serving
from eplb_opt.errors import ProblemError
from eplb_opt.hot.current import as_current
from eplb_opt.hot.door import plain
from eplb_opt.hot.shared_moves import share_out
from eplb_opt.relabel import relabelled

if TYPE_CHECKING:
    from eplb_opt.hot.door import Call

LOGGER = logging.getLogger("eplb_opt")

#: Steps of a descent where a call counts none, or none at all: most layers need 10 to 40.
DEFAULT_STEPS = 200
#: Fresh plans that near ones are held against have this effort, where a call counts none.
FRESH_EFFORT = 100


@dataclass(frozen=True, eq=False)
class NearRules:
    """How near a plan is to stay, and on what machine.

    Parameters
    ----------
    tolerance
        The largest GPU load may be so much above the bound, as a share of it.
    max_moves
        Moves at most: a number for the model, or one a layer; instead of `tolerance`.
    min_gain
        Where the largest GPU loads, summed over the layers, would fall by less than this share, the
        map in force stays, byte for byte.
    active_gpus
        bool [num_gpus], or None where all are there; slots of the others get -1.
    far_price
        What a move to a node costs where the expert did not stand; within a node it is 1.
    apart
        Whether no GPU may get an expert that it holds.

    Raises
    ------
    ProblemError
        For limits that are none, or two that exclude each other.
    """

    tolerance: float | None = None
    max_moves: Any = None
    min_gain: float = 0.0
    active_gpus: Any = None
    far_price: int = 1
    apart: bool = False

    def __post_init__(self) -> None:
        if self.max_moves is not None and self.tolerance is not None:
            raise ProblemError(
                f"max_moves={self.max_moves} and move_tolerance={self.tolerance} exclude each "
                "other: one limits the moves, the other the load."
            )
        for name, value in (("move_tolerance", self.tolerance), ("min_gain", self.min_gain)):
            if value is not None and not (is_number(value) and 0 <= value < math.inf):
                raise ProblemError(f"{name}={value} must be finite and at least 0.")

    def active(self, num_gpus: int) -> np.ndarray:
        """Which GPUs are there, bool [num_gpus].

        Raises
        ------
        ProblemError
            For a mask of another shape or type, or one without any GPU.
        """
        if self.active_gpus is None:
            return np.ones(num_gpus, dtype=bool)
        mask = as_numpy(self.active_gpus, "active_gpus")
        if mask.shape != (num_gpus,) or mask.dtype.kind not in "biu" or not mask.any():
            raise ProblemError(
                f"active_gpus is {mask.dtype} {list(mask.shape)}; it must be bool [{num_gpus}], "
                "with one GPU at least that is there."
            )
        return mask.astype(bool)

    def per_layer(self, num_layers: int) -> np.ndarray | None:
        """The most moves of every layer, int64 [num_layers]; None where the model shares them."""
        if np.ndim(self.max_moves) == 0:
            return None
        most = as_numpy(self.max_moves, "max_moves")
        if most.shape != (num_layers,) or most.dtype.kind not in "iu" or most.min() < 0:
            raise ProblemError(
                f"max_moves={self.max_moves} must be one number, or {num_layers} integers from 0 "
                "on, one a layer."
            )
        return np.minimum(most, 2**30).astype(np.int64)


@dataclass(frozen=True, eq=False)
class NearPlan:
    """What a near plan came to, layer by layer.

    Parameters
    ----------
    placed
        int64 [num_layers, num_slots], -1 on lost GPUs.
    moves
        int64 [num_layers].
    largest, bound
        float64 [num_layers], in the caller's unit: the largest GPU load, rounded up, and what no
        plan is below with the groups on the nodes where they are.
    reached
        bool [num_layers], whether the load is within the tolerance of the bound.
    """

    placed: np.ndarray
    moves: np.ndarray
    largest: np.ndarray
    bound: np.ndarray
    reached: np.ndarray

    def message(self, tolerance: float) -> str:
        """By how much layers are not as level as asked; empty where all are."""
        missed = np.flatnonzero(~self.reached)
        if not missed.size:
            return ""
        above = self.largest[missed] / np.maximum(self.bound[missed], np.finfo(float).tiny) - 1
        worst = int(missed[np.argmax(above)])
        return (
            f"{missed.size} of {len(self.moves)} layers are not within {tolerance:.2%} of the "
            f"bound; layer {worst} is {above.max():.2%} above it, the farthest"
        )


class NearPlanner:
    """Plans one call's layers near a map.

    Parameters
    ----------
    call
        Loads and sizes; its greedy plan is used where a layer cannot be planned from the map.
    current
        The map in force, a Plan or [num_layers, num_slots]; -1 is an empty slot.
    rules
        See `NearRules`.

    Raises
    ------
    ProblemError
        For a map of another shape, or lost GPUs that leave fewer slots than experts.
    """

    def __init__(self, call: Call, current: Any, rules: NearRules) -> None:
        layout = call.layout
        self.call, self.rules = call, rules
        self.held = as_current(call, current)
        self.active = rules.active(layout.num_gpus)
        open_slots = int(self.active.sum()) * (layout.num_slots // layout.num_gpus)
        if open_slots < layout.num_experts:
            raise ProblemError(
                f"{int(self.active.sum())} GPUs are there, with {open_slots} slots for "
                f"{layout.num_experts} experts."
            )
        self.weights, self.unit = serving.fixed_point(plain(call.values))
        sizes = layout.num_slots, layout.num_groups, layout.num_nodes, layout.num_gpus
        self.planner = near.Planner(
            layout.num_experts, sizes, self.active, rules.far_price, rules.apart
        )

    def plan(self, steps: int | None, seconds: float | None = None) -> NearPlan:
        """The near plan; see `eplb_opt.rebalance_experts`."""
        steps = DEFAULT_STEPS if steps is None else max(steps, 1)
        stay = self.planner.within(self.weights, self.held, 0.0, 0, 0.0)
        if self.rules.max_moves is not None:
            found = self._limited(stay, steps)
        else:
            tolerance = self.rules.tolerance or 0.0
            found = self.planner.within(self.weights, self.held, tolerance, steps, seconds)
        answer = self._answer(found)
        if self.rules.max_moves is None:
            answer = self._held_against_fresh(answer, found[3] == 0, steps)
        return answer if self._is_worth_it(answer, stay) else self._answer(stay)

    def _limited(self, stay: Columns, steps: int) -> Columns:
        """Moves limited layer by layer, or shared out where they gain most."""
        most = self.rules.per_layer(len(self.weights))
        if most is None:
            budget = as_int(self.rules.max_moves, "max_moves", least=0)
            rows = [slice(i, i + 1) for i in range(len(self.weights))]
            fronts = [
                self.planner.front(self.weights[row], self.held[row], steps)
                if stay[3][i]
                else tuple(column[row] for column in stay)
                for i, row in enumerate(rows)
            ]
            worth = [front[3] * unit for front, unit in zip(fronts, self.unit, strict=True)]
            chosen = share_out([front[1] for front in fronts], worth, budget)
            picked = [[column[i] for column in f] for f, i in zip(fronts, chosen, strict=True)]
            return tuple(np.array(column) for column in zip(*picked, strict=True))
        return self.planner.at_most(self.weights, self.held, most, steps)

    def _held_against_fresh(self, found: NearPlan, unsound: np.ndarray, steps: int) -> NearPlan:
        """Fresh plans, under the names of the map in force, where near ones cannot be as good.

        A layer keeps the near plan unless a fresh one's load is lower by more than the tolerance.
        """
        missed = np.flatnonzero(~found.reached)
        if not missed.size:
            return found
        if self.rules.apart or not self.active.all():
            if unsound.any():
                raise ProblemError(
                    f"Layer {int(np.argmax(unsound))} cannot be planned from its map: the GPUs "
                    "that are left do not hold a part of the experts of each group's node."
                )
            return found
        layout = self.call.layout
        sizes = layout.num_slots, layout.num_groups, layout.num_nodes, layout.num_gpus
        session = serving.Session(plain(self.call.values)[missed], sizes)
        session.refine(max(steps, FRESH_EFFORT), None)
        fresh = self.planner.within(self.weights[missed], session.placed, 0.0, 0, 0.0)
        largest = fresh[3] * self.unit[missed]
        tolerance = self.rules.tolerance or 0.0
        takes = unsound[missed] | (found.largest[missed] > largest * (1 + tolerance))
        for layer_idx, row, load in zip(missed[takes], fresh[0][takes], largest[takes], strict=True):
            held = self.held[layer_idx]
            named = relabelled(held, row, layout.num_gpus, layout.num_nodes)
            found.placed[layer_idx] = named
            found.moves[layer_idx] = (named != held).sum()
            found.largest[layer_idx] = load
        level = found.bound * (1 + tolerance)
        return NearPlan(
            found.placed, found.moves, found.largest, found.bound, found.reached | (found.largest <= level)
        )

    def _answer(self, found: Columns) -> NearPlan:
        placed, moves, _, largest, bound, reached = found
        return NearPlan(placed, moves, largest * self.unit, bound * self.unit, reached)

    def _is_worth_it(self, answer: NearPlan, stay: Columns) -> bool:
        """Whether the loads fall by enough; a map that cannot stay in force is always changed."""
        if stay[1].any() or not stay[3].all() or not self.active.all():
            return True
        # Summed without rounding in between, so that the same comes out everywhere.
        before, after = math.fsum(stay[3] * self.unit), math.fsum(answer.largest)
        return before - after >= self.rules.min_gain * before


#: Plans, moves, prices, largest loads, bounds and whether the level is reached, as the core has them.
Columns = tuple[np.ndarray, ...]


def is_number(value: Any) -> bool:
    """Whether it is a real number, and no flag."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
