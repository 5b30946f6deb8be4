"""The five-argument call that every engine copies."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from eplb_opt.engines.serving.arguments import in_kind
from eplb_opt.engines.serving.call import rebalance, rebalance_near
from eplb_opt.engines.serving.near import NearRules, is_number
from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_int, as_numpy
from eplb_opt.problem.problem import Problem

if TYPE_CHECKING:
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
    move_cost: MoveCost | None = None,
) -> tuple[Any, Any, Any]:
    """Drop-in for DeepSeek EPLB's call: hierarchical when num_groups % num_nodes == 0, else flat.

    Parameters
    ----------
    weight
        [num_layers, num_experts] loads, a torch tensor on any device or an array.
    num_replicas, num_groups, num_nodes, num_gpus
        Slots a layer, expert groups, nodes and GPUs.
    *further
        Further positional arguments that some engine passes; they are not looked at.
    time_limit
        Seconds; without it and `effort`, one second. Below `HOT_SECONDS` the serving path answers,
        in the milliseconds that are given, on one core; beyond, the planner goes on from what
        that has found, on all cores. A serving engine that plans on every rank must give
        `effort` instead, or the ranks' plans may differ.
    effort
        Counted work: steps of the compiled refinement a layer, each one exchange of the heaviest
        GPU or one kick, about a microsecond. The same bytes on every rank, and a layer's plan
        depends on that layer alone. 0 asks for the greedy.
    current
        The [num_layers, num_replicas] map in force; where it is still valid no layer gets a worse
        plan.
    move_tolerance
        With `current`: the fewest moves with which every layer's largest GPU load is within
        (1 + move_tolerance) times the bound, or, where no plan found is, of the best one. A move
        is a slot whose expert is new on its GPU. Some milliseconds; what stays keeps its slot.
    max_moves
        With `current`, in the place of `move_tolerance`: the least load with so many moves, a
        number for the model or one a layer.
    active_gpus
        With `current`, bool [num_gpus]: GPUs that are there. Every expert gets a slot on one of
        them, and slots of the others hold -1. Alone it means move_tolerance=`LOST_TOLERANCE`.
    move_cost
        With `current`, in the place of `move_tolerance`: every layer gets the plan with which
        moving and imbalance until the next rebalance together take least time; see
        `eplb_opt.MoveCost`, whose `assess` tells the seconds.

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
    limits = move_tolerance, max_moves, active_gpus, move_cost
    is_near = any(limit is not None for limit in limits)
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
                move_tolerance, max_moves, active_gpus=active_gpus, move_cost=move_cost
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
) -> tuple[Any, Any, Any]:
    """The serving path's plan, from which the planner goes on while there is time."""
    # Not at the top: a process that never gets here does not wait for the planner's rooms.
    from eplb_opt.planner.arguments import MAX_SECONDS
    from eplb_opt.planner.planner import plan

    began = time.monotonic()
    groups, nodes = as_int(num_groups, "num_groups"), as_int(num_nodes, "num_nodes")
    if groups % nodes:
        groups, nodes = 1, 1
    values = as_numpy(weight, "weight")
    problem = Problem(values, num_replicas, num_gpus, nodes, groups)
    start = None
    if (
        time_limit is not None
        and is_number(time_limit)
        and HOT_SECONDS <= time_limit <= MAX_SECONDS
    ):
        is_few = problem.slots_per_gpu <= FEW_SLOTS_PER_GPU
        seconds = START_SECONDS_FEW_SLOTS if is_few else START_SECONDS
        sizes = num_replicas, groups, nodes, num_gpus
        start = rebalance(values, *sizes, time_limit=seconds)[0]
        time_limit = max(time_limit - (time.monotonic() - began), 0.0)
    result = plan(problem, time_limit=time_limit, current=current, start=start)
    for message in result.messages:
        LOGGER.warning("%s", message)
    answer = result.plan
    maps = answer.physical_to_logical, answer.logical_to_physical, answer.logical_count
    return in_kind(weight, tuple(array.copy() for array in maps))
