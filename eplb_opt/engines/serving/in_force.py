"""The plan in force: where it is still valid and as good, it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.placement import scoring
from eplb_opt.problem.arrays import as_numpy

if TYPE_CHECKING:
    from eplb_opt.engines.serving.arguments import Call
    from heuristics.layout import Layout


def keep_current(call: Call, current: Any, *, exactly: bool) -> None:
    """Let the call go on from the plan in force, in the layers in which it is as good.

    Fixed-point loads decide where they differ by more than their rounding. Elsewhere rationals
    do, or, where there is no time for them (some 0.1 ms a layer), the plan in force stays: nothing
    moves then, for a difference below 1e-15 of the layer's load.

    Parameters
    ----------
    call
        The loads and sizes of the call, with what has been found so far; changed.
    current
        [num_layers, num_replicas], a map or a Plan. Layers that are no longer valid are not used.
    exactly
        Whether there is time for rationals.

    Raises
    ------
    ProblemError
        When it is of another shape.
    """
    placed, valid = admit_current(call, current)
    if not valid.any():
        return
    old = np.where(valid[:, None], placed, call.session.placed)
    verdicts = call.session.compare(old)
    keep = verdicts <= 0
    doubtful = np.flatnonzero(verdicts == 0)
    if exactly and doubtful.size:
        load = call.problem().load[doubtful]
        theirs, ours = (
            scoring.largest_gpu_loads(load, plan[doubtful], call.layout.num_gpus)
            for plan in (old, call.session.placed)
        )
        keep[doubtful] = [a <= b for a, b in zip(theirs, ours, strict=True)]
    call.session.keep(old, keep)


def admit_current(call: Call, current: Any) -> tuple[np.ndarray, np.ndarray]:
    """The plan in force, int64, and in which layers it is still valid, bool [num_layers].

    Raises
    ------
    ProblemError
        When it is of another shape.
    """
    placed = _admit_map(call.num_layers, call.layout, current)
    num_experts = call.layout.num_experts
    valid = (placed.min(axis=1) >= 0) & (placed.max(axis=1) < num_experts)
    placed = np.where(valid[:, None], placed, 0).astype(np.int64)
    present = np.zeros((call.num_layers, num_experts), dtype=bool)
    present[np.arange(call.num_layers)[:, None], placed] = True
    valid &= present.all(axis=1)
    if call.layout.num_nodes > 1:
        valid &= _keeps_groups(call, placed)
    return placed, np.asarray(valid)


def as_current(num_layers: int, layout: Layout, current: Any) -> np.ndarray:
    """The map in force, int64; what is no expert's id is an empty slot, -1.

    Raises
    ------
    ProblemError
        When it is of another shape.
    """
    placed = _admit_map(num_layers, layout, current)
    is_expert = (placed >= 0) & (placed < layout.num_experts)
    return np.where(is_expert, placed, -1).astype(np.int64)


def _admit_map(num_layers: int, layout: Layout, current: Any) -> np.ndarray:
    placed = as_numpy(getattr(current, "physical_to_logical", current), "current")
    wanted = (num_layers, layout.num_slots)
    if placed.shape != wanted or placed.dtype.kind not in "iu":
        raise ProblemError(
            f"current is {placed.dtype} {list(placed.shape)}; it must hold integers "
            f"{list(wanted)}: the expert of every slot."
        )
    return placed


def _keeps_groups(call: Call, placed: np.ndarray) -> np.ndarray:
    """Whether each group stands on one node and each node has its number of groups."""
    layout, num_layers = call.layout, call.num_layers
    seen = np.zeros((num_layers, layout.num_nodes, layout.num_groups), dtype=bool)
    node_idx = np.arange(layout.num_slots) // layout.node_slots
    seen[np.arange(num_layers)[:, None], node_idx, placed // layout.group_size] = True
    on_one = (seen.sum(axis=1) == 1).all(axis=1)
    equal = (seen.sum(axis=2) == layout.num_groups // layout.num_nodes).all(axis=1)
    return np.asarray(on_one & equal)
