"""The serving call: loads in, three maps out, in the milliseconds or steps that are given."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.clock import Deadline
from eplb_opt.engines.serving.arguments import Call, admit, admit_sizes, in_kind
from eplb_opt.engines.serving.in_force import as_current, keep_current
from eplb_opt.engines.serving.live_gpus import EMPTY, LiveGpus
from eplb_opt.engines.serving.near import NearPlan, NearPlanner
from eplb_opt.errors import PlanError
from eplb_opt.placement.plan import Plan
from heuristics.layout import make_layout

if TYPE_CHECKING:
    from eplb_opt.engines.serving.near_rules import NearRules

LOGGER = logging.getLogger("eplb_opt")

Maps = tuple[np.ndarray, np.ndarray, np.ndarray]


def rebalance(
    weight: Any,
    num_replicas: Any,
    num_groups: Any,
    num_nodes: Any,
    num_gpus: Any,
    *,
    time_limit: float | None = None,
    effort: int | None = None,
    current: Any = None,
) -> tuple[Any, Any, Any]:
    """Plan within `time_limit` seconds from the call to the return, or with `effort` steps a layer.

    Parameters
    ----------
    weight, num_replicas, num_groups, num_nodes, num_gpus
        As in `eplb_opt.rebalance_experts`; any array or tensor.
    time_limit
        Seconds.
    effort
        Steps a layer, each an exchange of the heaviest GPU or a kick; the same bytes everywhere.
    current
        The map in force, [num_layers, num_replicas]: no layer's plan will be worse than it, where
        it is valid.

    Returns
    -------
    phy2log, log2phy, logcnt
        int64; log2phy is as wide as the largest count. Tensors on the weight's device where a
        tensor came in.

    Raises
    ------
    ProblemError
        For an argument that cannot be used.
    """
    began = time.perf_counter()
    call = admit(weight, num_replicas, num_groups, num_nodes, num_gpus)
    if current is not None:
        keep_current(call, current, exactly=effort is not None)
    if effort is not None:
        call.session.refine(effort, None)
    else:
        call.session.refine(0, (time_limit or 0.0) - (time.perf_counter() - began))
    is_sound, maps = call.session.maps()
    if not is_sound:
        # Cannot be; and were it a fault of ours, it would cost the caller the gain alone.
        LOGGER.error("a refined plan broke a rule, and the greedy's took its place; please report")
    return in_kind(weight, maps)


def rebalance_near(
    weight: Any,
    num_replicas: Any,
    num_groups: Any,
    num_nodes: Any,
    num_gpus: Any,
    *,
    current: Any,
    rules: NearRules,
    time_limit: float | None = None,
    effort: int | None = None,
) -> tuple[tuple[Any, Any, Any], NearPlan]:
    """Plan near the map in force; the same bytes everywhere where no time is given.

    Parameters
    ----------
    weight, num_replicas, num_groups, num_nodes, num_gpus, current
        As of `rebalance`.
    rules
        How near, and on what machine.
    time_limit
        Seconds; layers whose turn comes later stay as they are.
    effort
        Steps of a layer's descent at most, each an exchange or a replica turned into another.

    Returns
    -------
    The maps, as of `rebalance`, with -1 on lost GPUs; and what they came to. Where the GPUs that
    are left of a node do not hold the experts of its groups, groups leave their nodes, which is
    logged.

    Raises
    ------
    ProblemError
        For an argument that cannot be used.
    """
    deadline = Deadline.after(time_limit)
    values, layout = admit_sizes(weight, num_replicas, num_groups, num_nodes, num_gpus)
    live = LiveGpus(rules.active(layout.num_gpus), layout.num_slots // layout.num_gpus)
    live.require_room(layout.num_experts)
    held = as_current(len(values), layout, current)
    # Prices of moves need all nodes.
    is_priced = layout.num_nodes == 1 and rules.cross_node_price > 1
    if live.is_all or live.keep_groups(layout) or is_priced:
        maps, found = _near(Call(values, layout, greedy=False), held, rules, effort, deadline)
    else:
        if layout.num_nodes > 1:
            LOGGER.warning("%s", live.why_groups_leave(layout))
        left = make_layout(layout.num_experts, live.slots.size, 1, 1, live.num_gpus)
        flat = replace(rules, active_gpus=None)
        maps, found = _near(
            Call(values, left, greedy=False), live.cut(held), flat, effort, deadline
        )
        maps = live.spread(maps, lost=EMPTY)
        found = replace(found, placed=maps[0])
    if not live.is_all:
        require_homes(Plan(maps[0], layout.num_gpus, layout.num_experts), live.active)
    return in_kind(weight, maps), found


def _near(
    call: Call, held: np.ndarray, rules: NearRules, effort: int | None, deadline: Deadline
) -> tuple[Maps, NearPlan]:
    """The near plan of a call, with -1 on GPUs that the rules leave out."""
    planner = NearPlanner(call, held, rules)
    found = planner.plan(effort, None if deadline.is_open else deadline.remaining)
    message = found.message(rules.tolerance) if rules.tolerance is not None else ""
    if message:
        LOGGER.info("%s", message)
    if (found.placed < 0).any():
        plan = Plan(found.placed, call.layout.num_gpus, call.layout.num_experts)
        arrays = plan.physical_to_logical, plan.logical_to_physical, plan.logical_count
        return (arrays[0].copy(), arrays[1].copy(), arrays[2].copy()), found
    call.session.put(found.placed)
    is_sound, maps = call.session.maps()
    if not is_sound:
        LOGGER.error("a near plan broke a rule, and the greedy's took its place; please report")
    return maps, found


def require_homes(plan: Plan, active: np.ndarray) -> None:
    """Check a plan for the GPUs that are left; it shares no code with who made it.

    Parameters
    ----------
    plan
        With -1 on lost GPUs.
    active
        bool [num_gpus], which GPUs are there.

    Raises
    ------
    PlanError
        When an expert stands on a lost GPU, a slot of another one is empty, or an expert stands
        nowhere.
    """
    is_filled = plan.physical_to_logical.reshape(plan.num_layers, plan.num_gpus, -1) >= 0
    wrong = np.argwhere(is_filled != active[None, :, None])
    if len(wrong):
        layer_idx, gpu, _ = wrong[0].tolist()
        state = "lost, but holds an expert" if not active[gpu] else "there, but has an empty slot"
        raise PlanError(f"layer {layer_idx}: GPU {gpu} is {state}; please report.")
    homeless = np.argwhere(plan.logical_count == 0)
    if len(homeless):
        layer_idx, expert = homeless[0].tolist()
        raise PlanError(f"layer {layer_idx}: expert {expert} is on no GPU; please report.")
