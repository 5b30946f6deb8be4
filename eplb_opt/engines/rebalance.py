"""The five-argument call that every engine copies, answered by the planner."""

from __future__ import annotations

from typing import Any

from eplb_opt.arrays import as_int, as_numpy
from eplb_opt.engines.tensors import like
from eplb_opt.planner import plan
from eplb_opt.problem import Problem

#: Seconds for a call that names neither time nor effort.
DEFAULT_TIME_LIMIT = 1.0


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
        Seconds; without it and `effort`, one second. A serving engine that plans on every rank must
        give `effort` instead, or the ranks' plans may differ.
    effort
        Counted work a layer: the same answer on every rank.
    current
        The [num_layers, num_replicas] map in force.

    Returns
    -------
    physical_to_logical int64 [num_layers, num_replicas], logical_to_physical int64 [num_layers,
    num_experts, largest count] padded with -1, logical_count int64 [num_layers, num_experts];
    torch tensors on the weight's device where a tensor came in, else numpy.

    Raises
    ------
    ProblemError
        For loads or sizes that cannot be planned.
    """
    groups, nodes = as_int(num_groups, "num_groups"), as_int(num_nodes, "num_nodes")
    if groups % nodes:
        groups, nodes = 1, 1
    if time_limit is None and effort is None:
        time_limit = DEFAULT_TIME_LIMIT
    problem = Problem(as_numpy(weight, "weight"), num_replicas, num_gpus, nodes, groups)
    answer = plan(problem, time_limit=time_limit, effort=effort, current=current).plan
    maps = (answer.physical_to_logical, answer.logical_to_physical, answer.logical_count)
    return tuple(like(weight, array) for array in maps)
