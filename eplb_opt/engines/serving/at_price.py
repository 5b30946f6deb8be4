"""The serving call with a price on what is served away from home."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.clock import Deadline
from eplb_opt.core import serving
from eplb_opt.engines.serving.arguments import Call, admit_sizes, in_kind, plain
from eplb_opt.engines.serving.call import rebalance, rebalance_near
from eplb_opt.engines.serving.in_force import admit_current
from eplb_opt.engines.serving.near_rules import MAX_PRICE, NearRules
from eplb_opt.engines.survivors import keep_slots
from eplb_opt.errors import ProblemError
from eplb_opt.placement.moves import MovePrice
from eplb_opt.placement.plan import Plan
from eplb_opt.placement.relabel import relabelled
from eplb_opt.problem.arrays import as_int, as_number
from eplb_opt.problem.topology import Topology

LOGGER = logging.getLogger("eplb_opt")

#: Steps of a descent from the map in force at most; each moves one slot or two.
NEAR_STEPS = 200
#: Seconds that are left for the maps, once the plan is made.
OUTPUT_SECONDS = 0.0004
#: Seconds that are left for the greedy's flat plans, where GPUs have no more slots than that: there
#: they can be better than what a short search has come to.
FLAT_SECONDS, FEW_SLOTS = 0.0008, 2

if TYPE_CHECKING:
    Maps = tuple[Any, Any, Any]


@dataclass(frozen=True)
class PriceRules:
    """What a call pays for, and how near it stays to the map in force.

    Parameters
    ----------
    price
        Of the share of all load that is served away from home, in mean GPU loads; as of `Topology`.
    tolerance
        With a map in force: few moves with which every layer costs no more than (1 + tolerance)
        times the plan that is made freely. None plans freely.
    min_gain
        Where the cost, summed over the layers, would fall by a smaller share, the map in force
        stays, byte for byte.
    across
        What a move counts to a node on which its expert did not stand; within a node it is 1.

    Raises
    ------
    ProblemError
        When a number cannot be used.
    """

    price: float
    tolerance: float | None = None
    min_gain: float = 0.0
    across: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "price", Topology(price=self.price).price)
        if self.tolerance is not None:
            object.__setattr__(self, "tolerance", as_number(self.tolerance, "move_tolerance"))
        as_int(self.across, "cross_node_price", most=MAX_PRICE)


def rebalance_at_price(
    weight: Any,
    num_replicas: Any,
    num_groups: Any,
    num_nodes: Any,
    num_gpus: Any,
    *,
    rules: PriceRules,
    time_limit: float | None = None,
    effort: int | None = None,
    current: Any = None,
) -> Maps:
    """Plan for the largest over the mean GPU load plus the price of what is served off home.

    Homes are chosen with the plan: each group of experts gets a node, and nodes equally many, or
    numbers that differ by one. Groups, nodes and GPUs need not divide. With one group or one node
    everything is at home, and the call is the one without a price.

    Where no time is given the same bytes come out everywhere, and no layer costs more than the
    greedy's flat plan, or than the plan of `rebalance` for groups that stay on their nodes with as
    much effort.

    Parameters
    ----------
    weight, num_replicas, num_groups, num_nodes, num_gpus
        As of `rebalance`.
    rules
        The price, and how near the plan stays to the map in force.
    time_limit
        Seconds.
    effort
        Steps a layer: exchanges of the heaviest GPU, copies, and exchanges that bring an expert
        home. More never cost more. Where a layer's GPUs are nearly level, a step counts for up to
        eight: there is little to gain.
    current
        The map in force, [num_layers, num_replicas]; layers that are not valid are not used.

    Returns
    -------
    The maps, as of `rebalance`.

    Raises
    ------
    ProblemError
        For an argument that cannot be used.
    """
    deadline = Deadline.after(time_limit)
    sizes = usable_sizes(weight, num_groups, num_nodes, num_gpus)
    if sizes is None:
        arguments = weight, num_replicas, 1, 1, num_gpus
        return _without_price(arguments, rules, time_limit, effort, current)
    values, layout = admit_sizes(weight, num_replicas, 1, 1, num_gpus)
    call = Call(values, layout, greedy=False)
    numbers = values if values.flags.aligned else plain(values)
    priced = _Priced(call, numbers, sizes, rules)
    priced.plan(effort, deadline)
    placed = np.asarray(priced.session.placed)
    if current is not None:
        placed = priced.near(*admit_current(call, current), effort)
    call.session.put(np.ascontiguousarray(placed))
    is_sound, maps = call.session.maps()
    if not is_sound:
        LOGGER.error("a priced plan broke a rule, and the greedy's took its place; please report")
    return in_kind(weight, maps)


def usable_sizes(
    weight: Any, num_groups: Any, num_nodes: Any, num_gpus: Any
) -> tuple[int, int] | None:
    """Groups and nodes of a call, fewer where some would be empty; None where a price buys nothing.

    Raises
    ------
    ProblemError
        When they are no integers of at least 1.
    """
    groups, nodes = (
        as_int(num_groups, "num_groups", least=1),
        as_int(num_nodes, "num_nodes", least=1),
    )
    gpus, experts = as_int(num_gpus, "num_gpus", least=1), int(weight.shape[-1])
    used_nodes = -(-gpus // -(-gpus // nodes))
    used_groups = -(-experts // -(-experts // groups))
    if (used_groups, used_nodes) != (groups, nodes):
        LOGGER.info(
            "%d GPUs fill %d of %d nodes, %d experts %d of %d groups; the others are left out",
            *(gpus, used_nodes, nodes, experts, used_groups, groups),
        )
    if used_groups > 1 and used_nodes > 1 and used_groups % used_nodes:
        LOGGER.info("%d groups on %d nodes: some are home to one more", used_groups, used_nodes)
    if used_groups == 1 or used_nodes == 1:
        LOGGER.info("with one group or one node everything is at home: the price buys nothing")
        return None
    return used_groups, used_nodes


def _without_price(
    arguments: tuple[Any, ...],
    rules: PriceRules,
    time_limit: float | None,
    effort: int | None,
    current: Any,
) -> Maps:
    if current is None or rules.tolerance is None:
        return rebalance(*arguments, time_limit=time_limit, effort=effort, current=current)
    near = NearRules(rules.tolerance, min_gain=rules.min_gain)
    found = rebalance_near(
        *arguments, current=current, rules=near, time_limit=time_limit, effort=effort
    )
    return found[0]


class _Priced:
    """One call's plans and what they cost."""

    def __init__(
        self, call: Call, numbers: np.ndarray, sizes: tuple[int, int], rules: PriceRules
    ) -> None:
        layout = call.layout
        self.call, self.layout, self.rules, self.numbers = call, layout, rules, numbers
        self.num_groups, self.num_nodes = sizes
        slots, gpus = layout.num_slots, layout.num_gpus
        try:
            self.session = serving.PricedSession(numbers, (slots, *sizes, gpus), rules.price)
        except TypeError:  # a type, byte order or stride that the core does not read
            self.numbers = plain(numbers)
            self.session = serving.PricedSession(self.numbers, (slots, *sizes, gpus), rules.price)

    def plan(self, effort: int | None, deadline: Deadline) -> None:
        """Plan freely; with counted work, other plans compete where they might cost less."""
        if effort is None:
            offers = self.layout.num_slots <= FEW_SLOTS * self.layout.num_gpus
            left = OUTPUT_SECONDS + (FLAT_SECONDS if offers else 0.0)
            self.session.plan(0, max(deadline.remaining - left, 0.0))
            if offers:
                self._offer_greedy()
            return
        self.session.plan(effort, None)
        self._offer_strict(effort)
        self._offer_flat(effort)

    def _offer_strict(self, effort: int) -> None:
        """The plans that keep a group on a node, where their bound is below what was found."""
        layout, groups, nodes = self.layout, self.num_groups, self.num_nodes
        if groups % nodes or layout.num_gpus % nodes or layout.num_experts % groups:
            return
        bounds = self.session.strict_bounds
        layers = np.flatnonzero(bounds < self.session.worth[:, 2])
        self._offer(layers, (layout.num_slots, groups, nodes, layout.num_gpus), effort)

    def _offer_flat(self, effort: int) -> None:
        """The greedy's flat plans, levelled where a price is next to nothing."""
        sizes = self.layout.num_slots, 1, 1, self.layout.num_gpus
        self._offer(np.flatnonzero(self._offer_greedy()), sizes, effort)

    def _offer_greedy(self) -> np.ndarray:
        """The greedy's flat plans; of every layer whether but for its load it costs nothing."""
        return self.session.offer(self.call.session.placed, np.arange(len(self.numbers)))

    def _offer(self, layers: np.ndarray, sizes: tuple[int, int, int, int], effort: int) -> None:
        if not layers.size:
            return
        other = serving.Session(plain(self.numbers)[layers], sizes)
        other.refine(effort, None)
        self.session.offer(other.placed, layers)

    def near(self, held: np.ndarray, valid: np.ndarray, effort: int | None) -> np.ndarray:
        """The plan that is near the map in force, int64 [num_layers, num_slots].

        Layers whose map is not valid, or from which no descent comes down far enough, get the plan
        that was made freely, its GPUs named so that few slots change.
        """
        fresh, tolerance = np.asarray(self.session.placed), self.rules.tolerance
        held = np.where(valid[:, None], held, fresh)
        if tolerance is None:
            self.session.offer(held, np.flatnonzero(valid))
            return np.asarray(self.session.placed)
        steps = NEAR_STEPS if effort is None else max(effort, NEAR_STEPS)
        found, reached = self.session.near(held, tolerance, steps)
        named = np.array([self._named(*rows) for rows in zip(held, fresh, strict=True)])
        gpus = self.layout.num_gpus
        node_of_gpu = np.arange(gpus) // -(-gpus // self.num_nodes)
        price = MovePrice(node_of_gpu, self.rules.across)
        few, many = (price.of(Plan(held, gpus), Plan(placed, gpus)) for placed in (found, named))
        is_near = (reached > 0) & (few <= many)
        placed = keep_slots(np.where(is_near[:, None], found, named), held, gpus)
        before, after = (self.session.worth_of(plan)[:, 2].sum() for plan in (held, placed))
        if valid.all() and before - after < self.rules.min_gain * before:
            return held
        return placed

    def _named(self, held: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        """A layer's free plan under the names that move least; unequal nodes keep theirs."""
        gpus, nodes = self.layout.num_gpus, self.num_nodes
        if gpus % nodes == 0:
            return relabelled(held, fresh, gpus, nodes, self.rules.across)
        ends = np.arange(1, nodes) * -(-gpus // nodes) * (self.layout.num_slots // gpus)
        rows = zip(np.split(held, ends), np.split(fresh, ends), strict=True)
        slots_per_gpu = self.layout.num_slots // gpus
        return np.concatenate([relabelled(*row, len(row[0]) // slots_per_gpu) for row in rows])


def refuse_other_limits(**limits: Any) -> None:
    """Say what a price in the serving call does not combine with.

    Parameters
    ----------
    **limits
        Arguments of `rebalance_experts` by their names; None where they are not given.

    Raises
    ------
    ProblemError
        When one is given.
    """
    given = [name for name, value in limits.items() if value is not None]
    if given:
        raise ProblemError(
            f"topology_price does not combine with {', '.join(given)}: near the map in force it "
            "takes move_tolerance. Leave the one or the other out."
        )
