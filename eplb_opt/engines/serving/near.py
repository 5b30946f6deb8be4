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

from eplb_opt.clock import Deadline
from eplb_opt.core import near, serving
from eplb_opt.engines.serving.arguments import plain
from eplb_opt.engines.serving.in_force import as_current
from eplb_opt.engines.serving.priced import PricedSearch, assessed, prices
from eplb_opt.engines.serving.shared_moves import share_out
from eplb_opt.errors import ProblemError
from eplb_opt.placement.move_cost import refuse_two_limits
from eplb_opt.placement.relabel import relabelled
from eplb_opt.problem.arrays import as_int, as_numpy
from eplb_opt.problem.gpu_rules import as_mask

if TYPE_CHECKING:
    from eplb_opt.engines.serving.arguments import Call
    from eplb_opt.placement.move_cost import MoveCost

LOGGER = logging.getLogger("eplb_opt")

#: Steps of a descent where a call counts none, or none at all: most layers need 10 to 40.
DEFAULT_STEPS = 200
#: Fresh plans that near ones are held against have this effort, where a call counts none.
FRESH_EFFORT = 100
#: Far above the rounding of a float64 product, far below any tolerance that matters.
ROUNDING = 1e-12


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
    move_cost
        Instead of `tolerance` and `max_moves`: every layer's plan is the one that loses least time
        to moving and to imbalance until the next rebalance.

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
    move_cost: MoveCost | None = None

    def __post_init__(self) -> None:
        refuse_two_limits(self.max_moves, self.tolerance, self.move_cost)
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
        mask = as_mask(self.active_gpus, "active_gpus", (num_gpus,))
        if not mask.any():
            raise ProblemError(f"active_gpus names none of the {num_gpus} GPUs.")
        return mask

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
        return np.asarray(np.minimum(most, 2**30), dtype=np.int64)


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
        bool [num_layers], whether the load is within the tolerance of the bound; with a move cost,
        whether it is as low as was looked for.
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
        self.priced: PricedSearch | None = None

    def plan(self, steps: int | None, seconds: float | None = None) -> NearPlan:
        """The near plan; see `eplb_opt.rebalance_experts`."""
        deadline = Deadline.after(seconds)
        steps = DEFAULT_STEPS if steps is None else max(steps, 1)
        if self.rules.max_moves is not None:
            found = self._limited(steps)
        elif self.rules.move_cost is not None:
            found = self._cheapest(self.rules.move_cost, steps, deadline)
        else:
            tolerance = self.rules.tolerance or 0.0
            found = Rows(*self.planner.within(self.weights, self.held, tolerance, steps, seconds))
        answer = self._answer(found)
        if self.rules.max_moves is None:
            if self.priced is None:
                self._require_reached(answer)
            self._hold_against_fresh(answer, found, steps, deadline)
        self._require_all(answer)
        if not self._is_worth_it(answer, found):
            answer = self._as_it_was(answer, found)
        self._tell_seconds(answer, found)
        return answer

    def _stay(self, weights: np.ndarray, held: np.ndarray) -> Rows:
        """Maps as they are, with what must move: the time is up when their planning begins."""
        return Rows(*self.planner.within(weights, held, 0.0, 0, 0.0))

    def _limited(self, steps: int) -> Rows:
        """Moves limited layer by layer, or shared out where they gain most."""
        most = self.rules.per_layer(len(self.weights))
        if most is not None:
            return Rows(*self.planner.at_most(self.weights, self.held, most, steps))
        budget = as_int(self.rules.max_moves, "max_moves", least=0)
        fronts = [
            Rows(*self.planner.front(self.weights[i : i + 1], self.held[i : i + 1], steps))
            for i in range(len(self.weights))
        ]
        if not all(len(front.placed) for front in fronts):
            raise ProblemError("max_moves needs current=, a map that is valid in every layer.")
        worth = [front.largest * unit for front, unit in zip(fronts, self.unit, strict=True)]
        chosen = share_out([front.moves for front in fronts], worth, budget)
        points = list(zip(fronts, chosen, strict=True))
        return Rows(
            np.array([front.placed[i] for front, i in points]),
            np.array([front.numbers[i] for front, i in points]),
        )

    def _cheapest(self, cost: MoveCost, steps: int, deadline: Deadline) -> Rows:
        """The plans that cost least time; layers whose turn does not come stay."""
        found = self._stay(self.weights, self.held)
        self.priced = PricedSearch(
            self.planner,
            self.weights,
            self.held,
            self.call.layout.num_gpus,
            prices(cost, found.before, self.unit),
        )
        self.priced.find((found.placed, found.numbers), steps, deadline)
        return found

    def _tell_seconds(self, answer: NearPlan, found: Rows) -> None:
        """What the plan costs and saves goes to the log of who has told what moving costs."""
        cost = self.rules.move_cost
        if cost is None or not LOGGER.isEnabledFor(logging.INFO):
            return
        mean = self.weights.sum(axis=1) * self.unit / int(self.active.sum())
        loads = found.before * self.unit, answer.largest, mean
        told = assessed(cost, (self.held, answer.placed), loads, self.call.layout.num_gpus)
        LOGGER.info("%s", told)

    def _require_reached(self, answer: NearPlan) -> None:
        """A layer whose turn did not come is as level as it was, which is said."""
        level = answer.bound * (1 + (self.rules.tolerance or 0.0))
        answer.reached[answer.largest > level * (1 + ROUNDING)] = False

    def _hold_against_fresh(
        self, answer: NearPlan, found: Rows, steps: int, deadline: Deadline
    ) -> None:
        """Take fresh plans, under the names of the map in force, where near ones are not as good.

        A layer keeps the near plan unless a fresh one's load is lower by more than the tolerance;
        once the time is up only what has no plan gets one.
        """
        missed = np.flatnonzero(~answer.reached)
        if not missed.size or self.rules.apart or not self.active.all():
            return
        layout = self.call.layout
        sizes = layout.num_slots, layout.num_groups, layout.num_nodes, layout.num_gpus
        session = serving.Session(plain(self.call.values)[missed], sizes)
        is_late = deadline.expired
        if deadline.is_open:
            session.refine(max(steps, FRESH_EFFORT), None)
        else:
            session.refine(0, deadline.remaining)
        fresh = self._stay(self.weights[missed], session.placed)
        tolerance = self.rules.tolerance or 0.0
        lower = answer.largest[missed] > fresh.largest * self.unit[missed] * (1 + tolerance)
        lower &= not is_late
        for i in np.flatnonzero(lower | (found.largest[missed] == 0)).tolist():
            layer_idx, held = int(missed[i]), self.held[missed[i]]
            named = relabelled(held, fresh.placed[i], layout.num_gpus, layout.num_nodes)
            if found.largest[layer_idx] and not self._is_cheaper(
                layer_idx, named, int(fresh.largest[i]), found
            ):
                continue
            answer.placed[layer_idx] = named
            answer.moves[layer_idx] = (named != held).sum()
            answer.largest[layer_idx] = fresh.largest[i] * self.unit[layer_idx]
            answer.bound[layer_idx] = fresh.bound[i] * self.unit[layer_idx]
            level = answer.bound[layer_idx] * (1 + tolerance)
            answer.reached[layer_idx] = answer.largest[layer_idx] <= level

    def _is_cheaper(self, layer_idx: int, named: np.ndarray, largest: int, found: Rows) -> bool:
        """Whether a fresh plan is to be taken for its lower load, dear as its moves may be."""
        if self.priced is None:
            return True
        near_cost = self.priced.cost(
            layer_idx, found.placed[layer_idx], int(found.largest[layer_idx])
        )
        return self.priced.cost(layer_idx, named, largest) < near_cost

    def _require_all(self, answer: NearPlan) -> None:
        """Every layer has a plan."""
        missing = np.flatnonzero(answer.largest == 0)
        if missing.size:
            raise ProblemError(
                f"Layer {missing[0]} cannot be planned from its map: groups are not on one node "
                "each, or the GPUs that are left of a node do not hold all of its experts."
            )

    def _answer(self, found: Rows) -> NearPlan:
        largest, bound = found.largest * self.unit, found.bound * self.unit
        return NearPlan(found.placed, found.moves, largest, bound, found.reached)

    def _as_it_was(self, answer: NearPlan, found: Rows) -> NearPlan:
        before = found.before * self.unit
        tolerance = self.rules.tolerance or 0.0
        reached = before <= answer.bound * (1 + tolerance)
        none = np.zeros_like(answer.moves)
        return NearPlan(self.held.copy(), none, before, answer.bound, reached)

    def _is_worth_it(self, answer: NearPlan, found: Rows) -> bool:
        """Whether the loads fall by enough; a map that cannot stay in force is always changed."""
        if found.forced.any() or (found.largest == 0).any() or not self.active.all():
            return True
        # Summed without rounding in between, so that the same comes out everywhere.
        before, after = math.fsum(found.before * self.unit), math.fsum(answer.largest)
        return before - after >= self.rules.min_gain * before


@dataclass(frozen=True, eq=False)
class Rows:
    """Plans as the core gives them: see `eplb_opt.core.near.Planner`.

    Parameters
    ----------
    placed
        int64 [num, num_slots].
    numbers
        int64 [num, 7].
    """

    placed: np.ndarray
    numbers: np.ndarray

    @property
    def moves(self) -> np.ndarray:
        """Slots whose expert is new on its GPU, int64 [num]."""
        return self.numbers[:, 0].copy()

    @property
    def largest(self) -> np.ndarray:
        """The largest GPU load, in fixed point, int64 [num]."""
        return self.numbers[:, 2]

    @property
    def bound(self) -> np.ndarray:
        """The proven lower bound of it, in fixed point, int64 [num]."""
        return self.numbers[:, 3]

    @property
    def before(self) -> np.ndarray:
        """The largest GPU load under the map in force, in fixed point, int64 [num]."""
        return self.numbers[:, 4]

    @property
    def forced(self) -> np.ndarray:
        """Moves that the map in force needs to be valid at all, int64 [num]."""
        return self.numbers[:, 5]

    @property
    def reached(self) -> np.ndarray:
        """Whether the tolerance was reached, bool [num]."""
        return self.numbers[:, 6] > 0


def is_number(value: Any) -> bool:
    """Whether it is a real number, and no flag."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
