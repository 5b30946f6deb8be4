"""Plans near the map in force: as level as asked for the fewest moves, or with so many at most.

A move is a slot whose expert is new on its GPU; a second replica of one is one more. Everything is
counted and in integers, so that all ranks get the same bytes.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.clock import Deadline
from eplb_opt.core import near, serving
from eplb_opt.engines.serving.arguments import plain
from eplb_opt.engines.serving.group_homes import on_home_nodes
from eplb_opt.engines.serving.priced import PricedSearch, assessed, prices
from eplb_opt.engines.serving.regroup import (
    after_trades,
    heaviest_nodes,
    homes_of,
    with_traded_groups,
)
from eplb_opt.engines.serving.rows import Rows
from eplb_opt.engines.serving.shared_moves import share_out
from eplb_opt.errors import ProblemError
from eplb_opt.placement.relabel import relabelled
from eplb_opt.problem.arrays import as_int

if TYPE_CHECKING:
    from eplb_opt.engines.serving.arguments import Call
    from eplb_opt.engines.serving.near_rules import NearRules
    from eplb_opt.placement.move_cost import MoveCost

LOGGER = logging.getLogger("eplb_opt")

#: Steps of a descent where a call counts none, or none at all: most layers need 10 to 40.
DEFAULT_STEPS = 200
#: Fresh plans that near ones are held against have this effort, where a call counts none.
FRESH_EFFORT = 100
#: Far above the rounding of a float64 product, far below any tolerance that matters.
ROUNDING = 1e-12


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
    held
        The map in force as `as_current` gives it: int64 [num_layers, num_slots], -1 for an empty
        slot.
    rules
        See `NearRules`.

    Raises
    ------
    ProblemError
        For rules that do not fit the call.
    """

    def __init__(self, call: Call, held: np.ndarray, rules: NearRules) -> None:
        layout = call.layout
        self.call, self.rules, self.held = call, rules, held
        self.active = rules.active(layout.num_gpus)
        #: Where a layer's descent begins: `held`, without what is off its group's node.
        self.start, self.is_strange = self.held, np.zeros(call.num_layers, dtype=bool)
        if layout.num_nodes > 1:
            self.start, self.is_strange = on_home_nodes(self.held, layout)
        self.weights, self.unit = serving.fixed_point(plain(call.values))
        num_nodes = layout.num_nodes
        if rules.cross_node_price > 1 and rules.num_nodes is not None and num_nodes == 1:
            num_nodes = as_int(rules.num_nodes, "num_nodes")
            if layout.num_gpus % num_nodes:
                raise ProblemError(f"num_nodes={num_nodes} does not divide {layout.num_gpus} GPUs.")
        sizes = layout.num_slots, layout.num_groups, num_nodes, layout.num_gpus
        price = as_int(rules.cross_node_price, "cross_node_price")
        self.planner = near.Planner(layout.num_experts, sizes, self.active, price, rules.apart)
        self.priced: PricedSearch | None = None

    def plan(self, steps: int | None, seconds: float | None = None) -> NearPlan:
        """The near plan; see `eplb_opt.rebalance_experts`."""
        deadline = Deadline.after(seconds)
        steps = DEFAULT_STEPS if steps is None else max(steps, 1)
        if self.rules.max_moves is not None:
            found = self._limited(steps, deadline)
        elif self.rules.move_cost is not None:
            found = self._cheapest(self.rules.move_cost, steps, deadline)
        else:
            given = self.weights, self.start, self.rules.tolerance or 0.0, steps, seconds
            found = Rows(*self.planner.within(*given, bisects=not self.may_plan_anew))
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

    def _limited(self, steps: int, deadline: Deadline) -> Rows:
        """Moves limited layer by layer, or shared out where they gain most.

        Fronts end with the time; a limit of every layer's own takes tens of milliseconds at most.
        """
        most = self.rules.per_layer(len(self.weights))
        if most is not None:
            return Rows(*self.planner.at_most(self.weights, self.start, most, steps))
        budget = as_int(self.rules.max_moves, "max_moves", least=0)
        fronts = []
        for i in range(len(self.weights)):
            row = slice(i, i + 1)
            seconds = None if deadline.is_open else deadline.remaining
            fronts.append(
                Rows(*self.planner.front(self.weights[row], self.start[row], steps, seconds))
            )
        if not all(len(front.placed) for front in fronts):
            raise ProblemError("max_moves needs current=, a map that is valid in every layer.")
        worth = [front.largest * unit for front, unit in zip(fronts, self.unit, strict=True)]
        chosen = share_out([front.price for front in fronts], worth, budget)
        points = list(zip(fronts, chosen, strict=True))
        return Rows(
            np.array([front.placed[i] for front, i in points]),
            np.array([front.numbers[i] for front, i in points]),
        )

    def _cheapest(self, cost: MoveCost, steps: int, deadline: Deadline) -> Rows:
        """The plans that cost least time; layers whose turn does not come stay."""
        found = self._stay(self.weights, self.start)
        self.priced = PricedSearch(
            self.planner,
            self.weights,
            self.start,
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
        is_above = answer.largest > level * (1 + ROUNDING)
        answer.reached[is_above & (answer.bound > 0)] = False  # without load everything is level

    @property
    def may_plan_anew(self) -> bool:
        """Whether the serving path's own plans keep the rules."""
        return bool(not self.rules.apart and self.active.all())

    def _hold_against_fresh(
        self, answer: NearPlan, found: Rows, steps: int, deadline: Deadline
    ) -> None:
        """Bring layers that missed their level within the tolerance of plans made anew.

        Such a layer gets the fewest moves found to (1 + tolerance) times the fresh plan's largest
        load. Where there are none it gets the fresh plan, under the names of the map in force.
        Once the time is up only layers without any plan get one.
        """
        if not self.may_plan_anew:
            return
        is_missed = ~answer.reached | self.is_strange
        if self.priced is None:
            is_missed |= self._is_lopsided(found)
        missed = np.flatnonzero(is_missed)
        if not missed.size:
            return
        layout = self.call.layout
        sizes = layout.num_slots, layout.num_groups, layout.num_nodes, layout.num_gpus
        session = serving.Session(plain(self.call.values)[missed], sizes)
        is_late = deadline.expired
        if deadline.is_open:
            session.refine(max(steps, FRESH_EFFORT), None)
        else:
            session.refine(0, deadline.remaining)
        weights = self.weights[missed]
        fresh = self._stay(weights, session.placed)
        has_none = found.largest[missed] == 0
        level = fresh.largest + (fresh.largest * (self.rules.tolerance or 0.0)).astype(np.int64)
        if not is_late and self.priced is None:
            some = np.flatnonzero(~has_none)
            self._come_down(answer, missed[some], session.placed[some], level[some], steps)
        lower = ~has_none & (answer.largest[missed] > level * self.unit[missed]) & (not is_late)
        for i in np.flatnonzero(lower | has_none).tolist():
            if has_none[i] or self._is_cheaper(int(missed[i]), fresh, i, found):
                self._take(answer, int(missed[i]), fresh, i)

    def _come_down(
        self, answer: NearPlan, layers: np.ndarray, fresh: np.ndarray, level: np.ndarray, steps: int
    ) -> None:
        """Fewest moves to the levels of fresh plans, with groups in trade where that takes them."""
        again = Rows(*self.planner.below(self.weights[layers], self.start[layers], level, steps))
        reached = again.largest <= level
        is_above = answer.largest[layers] > level * self.unit[layers]
        is_better = is_above | (again.moves < answer.moves[layers])
        for i in np.flatnonzero(reached & is_better).tolist():
            self._take(answer, int(layers[i]), again, i)
        rest = np.flatnonzero(~reached & is_above)
        if self.call.layout.num_nodes == 1 or not rest.size:
            return
        traded = self._with_traded_groups(layers[rest], fresh[rest])
        again = Rows(*self.planner.below(self.weights[layers[rest]], traded, level[rest], steps))
        is_level = (again.largest > 0) & (again.largest <= level[rest])
        for i in np.flatnonzero(is_level).tolist():
            self._take(answer, int(layers[rest[i]]), again, i)

    def _is_lopsided(self, found: Rows) -> np.ndarray:
        """Layers whose heaviest node is heavier than it has to be, bool [num_layers]."""
        layout = self.call.layout
        if layout.num_nodes == 1:
            return np.zeros(len(self.held), dtype=bool)
        homes = homes_of(self.start, layout)
        nothing = np.zeros(len(homes))
        others = (
            homes_of(self.call.session.placed, layout),
            after_trades(self.weights, homes, layout, nothing),
        )
        least = np.minimum(*(heaviest_nodes(self.weights, other, layout) for other in others))
        ours = heaviest_nodes(self.weights, homes, layout)
        is_heavier = ours > least * (1 + (self.rules.tolerance or 0.0))
        return np.asarray(is_heavier & (found.largest > 0))

    def _with_traded_groups(self, layers: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        """The maps in force after few groups have changed nodes, int64 [num, num_slots]."""
        layout, weights, held = self.call.layout, self.weights[layers], self.start[layers]
        before = homes_of(held, layout)
        level = heaviest_nodes(weights, homes_of(fresh, layout), layout)
        level = level * (1 + (self.rules.tolerance or 0.0))
        after = after_trades(weights, before, layout, level)
        rows = zip(held, before, after, strict=True)
        return np.array([with_traded_groups(*row, layout) for row in rows])

    def _take(self, answer: NearPlan, layer_idx: int, rows: Rows, i: int) -> None:
        """One layer's plan, under the names of the map in force."""
        layout, held = self.call.layout, self.held[layer_idx]
        named = relabelled(held, rows.placed[i], layout.num_gpus, layout.num_nodes)
        answer.placed[layer_idx] = named
        answer.moves[layer_idx] = (named != held).sum()
        answer.largest[layer_idx] = rows.largest[i] * self.unit[layer_idx]
        answer.bound[layer_idx] = rows.bound[i] * self.unit[layer_idx]
        level = answer.bound[layer_idx] * (1 + (self.rules.tolerance or 0.0))
        answer.reached[layer_idx] = answer.largest[layer_idx] <= level

    def _is_cheaper(self, layer_idx: int, fresh: Rows, i: int, found: Rows) -> bool:
        """Whether a fresh plan is to be taken for its lower load, dear as its moves may be."""
        if self.priced is None:
            return True
        layout = self.call.layout
        named = relabelled(self.held[layer_idx], fresh.placed[i], layout.num_gpus, layout.num_nodes)
        near_cost = self.priced.cost(
            layer_idx, found.placed[layer_idx], int(found.largest[layer_idx])
        )
        return self.priced.cost(layer_idx, named, int(fresh.largest[i])) < near_cost

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
        slots_per_gpu = self.held.shape[1] // self.active.size
        placed = np.where(np.repeat(self.active, slots_per_gpu), self.held, -1)
        return NearPlan(placed, none, before, answer.bound, reached)

    def _is_worth_it(self, answer: NearPlan, found: Rows) -> bool:
        """Whether the loads fall by enough; a map that cannot stay in force is always changed."""
        if found.forced.any() or (found.largest == 0).any():
            return True
        # Summed without rounding in between, so that the same comes out everywhere.
        before, after = math.fsum(found.before * self.unit), math.fsum(answer.largest)
        return before - after >= self.rules.min_gain * before
