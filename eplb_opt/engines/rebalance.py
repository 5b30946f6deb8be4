"""The five-argument call that every engine copies."""

from __future__ import annotations

import logging
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.engines.serving.arguments import in_kind
from eplb_opt.engines.serving.at_price import (
    PriceRules,
    rebalance_at_price,
    refuse_other_limits,
    usable_sizes,
)
from eplb_opt.engines.serving.call import rebalance, rebalance_near
from eplb_opt.engines.serving.near_rules import NearRules
from eplb_opt.errors import ProblemError
from eplb_opt.placement.padding import is_partly_empty
from eplb_opt.problem.arrays import as_int, as_numpy, is_number
from eplb_opt.problem.problem import Problem
from eplb_opt.problem.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.engines.serving.senders import SenderRules
    from eplb_opt.placement.move_cost import MoveCost

LOGGER = logging.getLogger("eplb_opt")

#: Seconds for a call that names neither time nor effort.
DEFAULT_TIME_LIMIT = 1.0
#: Below this limit the planner's overhead is not worth its time: the serving path answers alone.
HOT_SECONDS = 0.5
#: Beyond it the serving path makes the planner's start in so many seconds; with few slots a GPU it
#: has more to find, and the planner needs more time to do better.
START_SECONDS, START_SECONDS_FEW_SLOTS = 0.1, 0.25
FEW_SLOTS_PER_GPU = 3
#: Of a plan for the GPUs that are left, where no other limit is given.
LOST_TOLERANCE = 0.003


def rebalance_experts(
    weight: Any,
    num_replicas: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    *further: Any,
    time_limit: float | None = None,
    effort: int | None = None,
    current: Any = None,
    move_tolerance: float | None = None,
    max_moves: Any = None,
    active_gpus: Any = None,
    cross_node_price: int = 1,
    move_cost: MoveCost | None = None,
    dispatch: str = "uniform",
    topology_price: float | None = None,
) -> tuple[Any, Any, Any]:
    """Drop-in for DeepSeek EPLB's call: hierarchical when num_groups % num_nodes == 0, else flat.

    Parameters
    ----------
    weight
        [num_layers, num_experts] loads, a torch tensor on any device or an array.
    num_replicas, num_groups, num_nodes, num_gpus
        Slots a layer, expert groups, nodes and GPUs.
    *further
        Further positional arguments that some engine passes. FastDeploy's sixth is the name of its
        strategy. It calls on every rank, so that with a name and no limit the work is counted,
        `EPLB_OPT_EFFORT` or 100 steps. Its call at the start says 64 GPUs however many there are,
        so that with a name the slots need be no multiple of the GPUs: the plan is then for their
        greatest common divisor.
    time_limit
        Seconds; without it, `effort` and a name, one second. Below `HOT_SECONDS` the serving path
        answers, in the milliseconds that are given, on one core; beyond, the planner goes on from
        what that has found, on all cores. A serving engine that plans on every rank must give
        `effort` instead, or the ranks' plans may differ.
    effort
        Counted work: steps of the compiled refinement a layer, each one exchange of the heaviest
        GPU or one kick, about a microsecond. The same bytes on every rank, and a layer's plan
        depends on that layer alone. 0 asks for the greedy.
    current
        The [num_layers, num_replicas] map in force; where it is still valid no layer gets a worse
        plan. Where GPUs have empty slots (-1) beside full ones, as where there are redundant
        experts on some GPUs only, those slots stay empty; a GPU of empty slots alone is filled.
    move_tolerance
        With `current`: the fewest moves with which every layer's largest GPU load is within
        (1 + move_tolerance) times the bound, or, where no plan found is, of the best one. A move
        is a slot whose expert is new on its GPU. Some milliseconds; what stays keeps its slot.
        Where groups are bound to nodes that have drifted apart, few of them trade places.
    max_moves
        With `current`, in the place of `move_tolerance`: the least load with so many moves, a
        number for the model or one a layer.
    active_gpus
        With `current`, bool [num_gpus]: GPUs that are there. Every expert gets a slot on one of
        them, and slots of the others hold -1. Alone it means move_tolerance=`LOST_TOLERANCE`. What
        `current` says of a lost GPU is not looked at; of one that has returned it is what the GPU
        holds, -1 where it has to be filled, as in the map made without it. Groups stay on their
        nodes while the GPUs that are left of every node hold its experts; else they leave them,
        with a warning in the log, and come home with the GPUs.
    cross_node_price
        With one of these, or a price: so many moves within a node are as dear as one to a node on
        which its expert did not stand, 1 to 1000. Where groups are bound to nodes no move crosses.
    move_cost
        With `current`, in the place of `move_tolerance`: every layer gets the plan with which
        moving and imbalance until the next rebalance together take least time; see
        `eplb_opt.MoveCost`, whose `assess` tells the seconds.
    dispatch
        How the engine sends an expert's tokens to its copies: "uniform", or "nearest" or
        "rank_modulo" as of `Problem`. With the last two, `num_nodes` is the machine's whether
        groups are bound to nodes or not; `current` and `move_tolerance` are for plans that are
        level under the dispatch, and `max_moves`, `move_cost`, lost GPUs, empty slots and
        `cross_node_price` do not go with them. Under `effort` a step is some microseconds.
    topology_price
        Groups no longer bind: minimise the largest over the mean GPU load plus this price times the
        share of assignments that is served away from the nodes of their experts' groups; see
        `eplb_opt.Topology`. Groups, nodes and GPUs need not divide. With `current` and
        `move_tolerance`, few moves with which every layer costs no more than (1 + move_tolerance)
        times the plan made freely. Does not combine with the other limits.

    Returns
    -------
    physical_to_logical
        Logical expert of every slot, int64 [num_layers, num_replicas].
    logical_to_physical
        Slots of every expert, int64 [num_layers, num_experts, largest count], padded with -1.
    logical_count
        Replicas of every expert, int64 [num_layers, num_experts]. All three are torch tensors on
        the weight's device where a tensor came in, else numpy arrays.

    Raises
    ------
    ProblemError
        For loads, sizes or a budget that cannot be used.
    """
    if further and isinstance(further[0], str):
        slots, gpus = as_int(num_replicas, "num_replicas"), as_int(num_gpus, "num_gpus")
        num_gpus = math.gcd(slots, gpus)
        if effort is None and time_limit is None:
            from eplb_opt.engines.every_rank import chosen_effort  # not before it is needed

            effort = chosen_effort(None)
    if topology_price is not None:
        if dispatch != "uniform":
            raise ProblemError(
                f'topology_price does not go with dispatch="{dispatch}": it takes the uniform '
                "split. Leave one of them out."
            )
        refuse_other_limits(max_moves=max_moves, active_gpus=active_gpus, move_cost=move_cost)
        price = PriceRules(topology_price, move_tolerance, across=cross_node_price)
        sizes = num_replicas, num_groups, num_nodes, num_gpus
        return _at_price(weight, sizes, price, (time_limit, effort), current)
    if dispatch != "uniform":
        return _by_senders(
            (weight, num_replicas, num_groups, num_nodes, num_gpus),
            dispatch,
            (time_limit, effort),
            (current, move_tolerance),
            {
                "max_moves": max_moves,
                "active_gpus": active_gpus,
                "move_cost": move_cost,
                "cross_node_price": None if cross_node_price == 1 else cross_node_price,
            },
        )
    if current is not None and active_gpus is None:
        held = _partly_empty(current, num_replicas, num_gpus)
        if held is not None:
            limits = {
                "move_tolerance": move_tolerance,
                "max_moves": max_moves,
                "move_cost": move_cost,
            }
            return _padded(weight, held, (num_gpus, num_nodes), (time_limit, effort), limits)
    near_limits = move_tolerance, max_moves, active_gpus, move_cost
    is_near = any(limit is not None for limit in near_limits)
    if effort is None and time_limit is None and not is_near:
        time_limit = DEFAULT_TIME_LIMIT
    if effort is not None:
        if time_limit is not None:
            raise ProblemError(f"time_limit={time_limit} and effort={effort} exclude each other.")
        effort = as_int(effort, "effort", least=0)
    if is_near:
        if current is None:
            raise ProblemError(
                "move_tolerance, max_moves, move_cost and active_gpus need current=, the map in "
                "force."
            )
        if time_limit is not None and not (is_number(time_limit) and time_limit >= 0):
            raise ProblemError(f"time_limit={time_limit} must be seconds, at least 0.")
        if move_tolerance is None and max_moves is None and move_cost is None:
            move_tolerance = LOST_TOLERANCE
        return rebalance_near(
            weight,
            num_replicas,
            num_groups,
            num_nodes,
            num_gpus,
            current=current,
            rules=NearRules(
                move_tolerance,
                max_moves,
                active_gpus=active_gpus,
                cross_node_price=cross_node_price,
                num_nodes=num_nodes,
                move_cost=move_cost,
            ),
            time_limit=time_limit,
            effort=effort,
        )[0]
    if effort is None and not _is_short(time_limit):
        return _planned(weight, num_replicas, num_groups, num_nodes, num_gpus, time_limit, current)
    return rebalance(
        weight,
        num_replicas,
        num_groups,
        num_nodes,
        num_gpus,
        time_limit=time_limit,
        effort=effort,
        current=current,
    )


def _by_senders(
    call: tuple[Any, Any, Any, Any, Any],
    dispatch: str,
    budget: tuple[float | None, int | None],
    near: tuple[Any, float | None],
    refused: dict[str, Any],
) -> tuple[Any, Any, Any]:
    """The plan where every GPU sends an expert's tokens to one copy."""
    # Not at the top: a process that never gets here does not wait for it.
    from eplb_opt.engines.serving.senders import SenderRules, rebalance_by_senders

    (time_limit, effort), (current, tolerance) = budget, near
    for name, value in refused.items():
        if value is not None:
            raise ProblemError(
                f'{name} does not go with dispatch="{dispatch}": take move_tolerance, or plan for '
                "the uniform split."
            )
    if tolerance is not None and current is None:
        raise ProblemError("move_tolerance needs current=, the map in force.")
    if effort is not None and time_limit is not None:
        raise ProblemError(f"time_limit={time_limit} and effort={effort} exclude each other.")
    if effort is not None:
        effort = as_int(effort, "effort", least=0)
    elif time_limit is None and tolerance is None:
        time_limit = DEFAULT_TIME_LIMIT
    if time_limit is not None and not (is_number(time_limit) and time_limit >= 0):
        raise ProblemError(f"time_limit={time_limit} must be seconds, at least 0.")
    rules = SenderRules(dispatch, as_int(call[3], "num_nodes"), tolerance)
    if time_limit is not None and not _is_short(time_limit) and tolerance is None:
        return _planned(*call, time_limit, current, rules)
    return rebalance_by_senders(
        *call, rules=rules, time_limit=time_limit, effort=effort, current=current
    )


def _at_price(
    weight: Any,
    sizes: tuple[Any, Any, Any, Any],
    price: PriceRules,
    budget: tuple[float | None, int | None],
    current: Any,
) -> tuple[Any, Any, Any]:
    """The serving path's plan for a price; beyond its time the planner goes on from that."""
    time_limit, effort = budget
    if effort is not None and time_limit is not None:
        raise ProblemError(f"time_limit={time_limit} and effort={effort} exclude each other.")
    if price.tolerance is not None and current is None:
        raise ProblemError("move_tolerance needs current=, the map in force.")
    if effort is not None:
        effort = as_int(effort, "effort", least=0)
    elif time_limit is None:
        time_limit = DEFAULT_TIME_LIMIT
    if effort is not None or _is_short(time_limit) or price.tolerance is not None:
        given = {"time_limit": time_limit, "effort": effort, "current": current}
        return rebalance_at_price(weight, *sizes, rules=price, **given)
    return _planned(weight, *sizes, time_limit, current, price=price)


def _partly_empty(current: Any, num_replicas: Any, num_gpus: Any) -> np.ndarray | None:
    """The map in force where it is padded, int64 [num_layers, num_replicas]; else None.

    What is no map of these slots is for the checks of the other paths.
    """
    placed = as_numpy(getattr(current, "physical_to_logical", current), "current")
    is_map = placed.ndim == 2 and placed.size and placed.dtype.kind in "iu"
    if not is_map or placed.min() >= 0:
        return None
    slots, gpus = as_int(num_replicas, "num_replicas"), as_int(num_gpus, "num_gpus")
    if placed.shape[1] != slots or slots % gpus or not is_partly_empty(placed, gpus):
        return None
    return np.maximum(placed.astype(np.int64), -1)


def _padded(
    weight: Any,
    held: np.ndarray,
    machine: tuple[int, int],
    budget: tuple[float | None, int | None],
    limits: dict[str, Any],
) -> tuple[Any, Any, Any]:
    """The planner's answer, which knows of slots that stay empty."""
    # Not at the top: most processes never get here, and need not wait for the planner's rooms.
    from eplb_opt.engines.every_rank import effort_units
    from eplb_opt.engines.padded import PaddedRules, plan_padded
    from eplb_opt.placement.plan import Plan

    (num_gpus, num_nodes), (time_limit, effort) = machine, budget
    if effort is not None and time_limit is not None:
        raise ProblemError(f"time_limit={time_limit} and effort={effort} exclude each other.")
    units = None if effort is None else effort_units(as_int(effort, "effort", least=0))
    if units is None and time_limit is None:
        time_limit = DEFAULT_TIME_LIMIT
    rules = PaddedRules(time_limit=time_limit, effort=units, num_nodes=num_nodes, **limits)
    values = as_numpy(weight, "weight")
    if values.ndim != 2 or len(values) != len(held):
        raise ProblemError(
            f"weight has shape {list(values.shape)}, current {list(held.shape)}; they have the "
            "same layers."
        )
    answer = Plan(plan_padded(values, held, num_gpus, rules), num_gpus, values.shape[1])
    maps = answer.physical_to_logical, answer.logical_to_physical, answer.logical_count
    return in_kind(weight, tuple(array.copy() for array in maps))


def _is_short(time_limit: Any) -> bool:
    """Whether the serving path answers; the planner refuses what is no number of seconds."""
    return is_number(time_limit) and 0 <= time_limit < HOT_SECONDS


def _planned(
    weight: Any,
    num_replicas: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    time_limit: float | None,
    current: Any,
    rules: SenderRules | None = None,
    price: PriceRules | None = None,
) -> tuple[Any, Any, Any]:
    """The serving path's plan, from which the planner goes on while there is time."""
    # Not at the top: a process that never gets here does not wait for the planner's rooms.
    from eplb_opt.planner.arguments import MAX_SECONDS
    from eplb_opt.planner.planner import plan

    began = time.monotonic()
    groups, nodes = as_int(num_groups, "num_groups"), as_int(num_nodes, "num_nodes")
    values = as_numpy(weight, "weight")
    topology, dispatch = None, "uniform"
    serve: Callable[..., Any] = rebalance
    if price is not None:
        used = usable_sizes(values, groups, nodes, num_gpus)
        groups, nodes = used or (1, 1)
        topology = Topology(price=price.price) if used else None
        serve = partial(rebalance_at_price, rules=price)
    elif groups % nodes:
        groups, nodes = 1, 1 if rules is None else nodes
    if rules is not None:
        from eplb_opt.engines.serving.senders import rebalance_by_senders

        dispatch, serve = rules.dispatch, partial(rebalance_by_senders, rules=rules)
    problem = Problem(
        values, num_replicas, num_gpus, nodes, groups, dispatch=dispatch, topology=topology
    )
    starts = None
    if (
        time_limit is not None
        and is_number(time_limit)
        and HOT_SECONDS <= time_limit <= MAX_SECONDS
    ):
        is_few = problem.slots_per_gpu <= FEW_SLOTS_PER_GPU
        seconds = START_SECONDS_FEW_SLOTS if is_few else START_SECONDS
        sizes = num_replicas, groups, nodes, num_gpus
        starts = {"serving call": serve(values, *sizes, time_limit=seconds)[0]}
        time_limit = max(time_limit - (time.monotonic() - began), 0.0)
    result = plan(problem, time_limit=time_limit, current=current, starts=starts)
    for message in result.messages:
        LOGGER.warning("%s", message)
    answer = result.plan
    maps = answer.physical_to_logical, answer.logical_to_physical, answer.logical_count
    return in_kind(weight, tuple(array.copy() for array in maps))
