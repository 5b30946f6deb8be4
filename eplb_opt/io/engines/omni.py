"""OmniPlacement's pattern: a .npy of 0 and 1, [devices, layers with experts, experts].

A device holds the experts that are 1 in its row in ascending order, at most one copy of each.
Devices and layers may hold differently many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import EngineRefusal, FormatError
from eplb_opt.io.engines.runtime import check_layer_count
from eplb_opt.io.placement import StoredPlan

if TYPE_CHECKING:
    from eplb_opt.io.engines.runtime import Runtime
    from eplb_opt.io.placement import Placement

ENGINE = "OmniPlacement"


def has_plan(document: Any) -> bool:
    """Whether an array holds 0 and 1 alone, and every expert of a layer stands somewhere.

    Loads of three dimensions are [snapshots, layers, experts]; those in which all experts get one
    token or none, and each of them one in some snapshot, do not occur.
    """
    return (
        isinstance(document, np.ndarray)
        and document.ndim == 3
        and document.size > 0
        and document.dtype.kind in "biuf"
        and bool(((document == 0) | (document == 1)).all())
        and bool((document != 0).any(axis=0).all())
    )


def plan_from_omni(pattern: Any) -> StoredPlan:
    """The experts of every device; -1 pads where one holds fewer than another.

    Raises
    ------
    FormatError
        When the array is no pattern.
    """
    is_array = isinstance(pattern, np.ndarray) and pattern.ndim == 3 and pattern.size > 0
    if not is_array or not ((pattern == 0) | (pattern == 1)).all():
        shape = f"an array {list(pattern.shape)}" if isinstance(pattern, np.ndarray) else "no array"
        raise FormatError(
            f"{shape}; a pattern of {ENGINE} is 0 and 1 in [devices, layers, experts]."
        )
    held = pattern.transpose(1, 0, 2) != 0
    width = max(int(held.sum(axis=2).max()), 1)
    # A stable sort of "not here" brings the ids of the experts that are here to the front.
    order = np.argsort(~held, axis=2, kind="stable")[..., :width]
    placed = np.where(np.take_along_axis(held, order, axis=2), order, -1).astype(np.int64)
    return StoredPlan(
        placed.reshape(len(placed), -1), num_gpus=len(pattern), num_experts=pattern.shape[2]
    )


def document_for_omni(placement: Placement) -> np.ndarray:
    """The pattern, int32 as the engine takes it.

    Raises
    ------
    EngineRefusal
        When an expert stands twice on a device.
    """
    plan = placement.plan
    on = plan.physical_to_logical.reshape(plan.num_layers, plan.num_gpus, -1)
    count = np.zeros((plan.num_layers, plan.num_gpus, plan.num_experts), dtype=np.int32)
    layer, gpu, slot = np.nonzero(on >= 0)
    np.add.at(count, (layer, gpu, on[layer, gpu, slot]), 1)
    if count.max() > 1:
        layer_idx, gpu_idx, expert = np.argwhere(count > 1)[0]
        raise EngineRefusal(
            f"layer {layer_idx}: expert {expert} stands twice on device {gpu_idx}, which a pattern "
            f"of {ENGINE} cannot say; plan with colocation='forbid'."
        )
    return np.ascontiguousarray(count.transpose(1, 0, 2))


def check_omni(document: Any, runtime: Runtime) -> StoredPlan:
    """Repeat what OmniPlacement compares when it starts, and look for experts that are nowhere.

    Raises
    ------
    EngineRefusal
        For another number of devices, layers or experts, and for an expert on no device.
    """
    stored = plan_from_omni(document)
    for what, found, due in (
        ("devices", stored.num_gpus, runtime.num_gpus),
        ("experts", stored.num_experts, runtime.num_experts),
    ):
        if due not in (None, found):
            raise EngineRefusal(f"there are {found} {what}; {ENGINE} runs on {due}.")
    num_slots = stored.physical_to_logical.shape[1]
    if runtime.num_slots not in (None, num_slots):
        raise EngineRefusal(
            f"the devices have {num_slots} slots in all; {ENGINE} is started with "
            f"{runtime.num_slots}."
        )
    check_layer_count(len(stored.physical_to_logical), runtime, ENGINE)
    absent = np.argwhere(~(np.asarray(document) != 0).any(axis=0))
    if len(absent):
        layer_idx, expert = absent[0]
        raise EngineRefusal(f"layer {layer_idx}: expert {expert} is on no device; mend the plan.")
    return stored
