"""The five-argument call that every engine copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from eplb_opt.arrays import as_int, as_numpy
from eplb_opt.errors import ProblemError
from eplb_opt.hot.call import rebalance
from eplb_opt.hot.door import in_kind
from eplb_opt.planner import plan
from eplb_opt.problem import Problem

#: Seconds for a call that names neither time nor effort.
DEFAULT_TIME_LIMIT = 1.0
#: Below this limit the exact rooms' overhead is not worth its time, and the hot path answers.
HOT_SECONDS = 0.05


def rebalance_experts(
    weight: Any,
    num_replicas: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    *,
    time_limit: float | None = None,
    effort: int | None = None,
    current: Any = None,
) -> tuple[Any, Any, Any]:
    """Drop-in for DeepSeek EPLB's call: hierarchical when num_groups % num_nodes == 0, else flat.

    Parameters
    ----------
    weight
        [num_layers, num_experts] loads, a torch tensor on any device or an array.
    num_replicas, num_groups, num_nodes, num_gpus
        Slots a layer, expert groups, nodes and GPUs.
    time_limit
        Seconds; without it and `effort`, one second. Below `HOT_SECONDS` compiled code answers, in
        the milliseconds that are given; while it is not loaded (see `eplb_opt.warmup`), numpy
        does. A serving engine that plans on every rank must give `effort` instead, or the ranks'
        plans may differ.
    effort
        Counted work: steps of the compiled refinement a layer, each one exchange of the heaviest
        GPU or one kick, about a microsecond. The same bytes on every rank, and a layer's plan
        depends on that layer alone. 0 asks for the greedy.
    current
        The [num_layers, num_replicas] map in force; where it is still valid no layer gets a worse
        plan.

    Returns
    -------
    physical_to_logical int64 [num_layers, num_replicas], logical_to_physical int64 [num_layers,
    num_experts, largest count] padded with -1, logical_count int64 [num_layers, num_experts];
    torch tensors on the weight's device where a tensor came in, else numpy.

    Raises
    ------
    ProblemError
        For loads, sizes or a budget that cannot be used.
    """
    if effort is None and time_limit is None:
        time_limit = DEFAULT_TIME_LIMIT
    if effort is not None:
        if time_limit is not None:
            raise ProblemError(f"time_limit={time_limit} and effort={effort} exclude each other.")
        effort = as_int(effort, "effort", least=0)
    elif not _is_short(time_limit):
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
    """Whether the hot path answers; the planner refuses what is no number of seconds."""
    number = isinstance(time_limit, int | float | np.number) and not isinstance(time_limit, bool)
    return number and 0 <= time_limit < HOT_SECONDS


def _planned(
    weight: Any,
    num_replicas: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    time_limit: float | None,
    current: Any,
) -> tuple[Any, Any, Any]:
    """The same from the planner, for limits that leave it time to work."""
    groups, nodes = as_int(num_groups, "num_groups"), as_int(num_nodes, "num_nodes")
    if groups % nodes:
        groups, nodes = 1, 1
    problem = Problem(as_numpy(weight, "weight"), num_replicas, num_gpus, nodes, groups)
    answer = plan(problem, time_limit=time_limit, current=current).plan
    maps = answer.physical_to_logical, answer.logical_to_physical, answer.logical_count
    return in_kind(weight, tuple(array.copy() for array in maps))
