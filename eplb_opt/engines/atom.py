"""ATOM: our placement as its per-layer policy."""

from __future__ import annotations

from typing import Any

import numpy as np

from eplb_opt.engines.every_rank import place
from eplb_opt.engines.tensors import like
from eplb_opt.errors import ProblemError
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.arrays import as_numpy


def rebalance_layer(
    weight: Any, num_physical: int, num_gpus: int, old_physical_to_logical: Any = None
) -> tuple[Any, Any, Any]:
    """Place one layer's experts, flat; the same bytes on every rank.

    Parameters
    ----------
    weight
        [num_experts], a tensor or an array.
    num_physical, num_gpus
        Slots, and the GPUs they divide among.
    old_physical_to_logical
        [num_physical], the map in force: the plan stays near it, see `place`, and what stays on
        its GPU keeps its slot.

    Returns
    -------
    physical_to_logical int64 [num_physical], rank int64 [num_physical]: which of its expert's
    replicas a slot holds, from 0 on in the order of slots; count int64 [num_experts]. In the
    weight's kind. EPLB_OPT_EFFORT is the counted work. A call sees one layer alone: in
    EPLB_OPT_MOVE_COST step_seconds is a step's time over the number of MoE layers.

    Raises
    ------
    ProblemError
        For loads or sizes that cannot be planned.
    """
    load = as_numpy(weight, "weight")
    if load.ndim != 1:
        raise ProblemError(f"weight has shape {list(load.shape)}; it must be [num_experts].")
    old = old_physical_to_logical
    if old is not None:
        old = as_numpy(old, "old_physical_to_logical")[None, ...]
    placed = place(load[None, :], num_physical, 1, 1, num_gpus, current=old)[0]
    maps = Plan(placed, num_gpus, len(load))
    rank = np.empty(placed.shape[1], dtype=np.int64)
    expert_idx, replica_idx = np.nonzero(maps.logical_to_physical[0] >= 0)
    rank[maps.logical_to_physical[0][expert_idx, replica_idx]] = replica_idx
    return like(weight, placed[0]), like(weight, rank), like(weight, maps.logical_count[0])
