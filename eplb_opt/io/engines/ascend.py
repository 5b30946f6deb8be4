"""vllm-ascend's expert_map.json: the experts of every device of every MoE layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import EngineRefusal, FormatError
from eplb_opt.io.engines.runtime import check_layer_count, check_map
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array

if TYPE_CHECKING:
    from eplb_opt.io.engines.runtime import Runtime
    from eplb_opt.io.placement import Placement

ENGINE = "vllm-ascend"
LAYERS_KEY = "layer_list"
COUNT_KEY = "moe_layer_count"


def has_plan(document: Any) -> bool:
    """Whether a document is an expert map."""
    return isinstance(document, dict) and LAYERS_KEY in document


def plan_from_ascend(document: Any) -> StoredPlan:
    """The map; layers are counted among those that have experts.

    Raises
    ------
    FormatError
        When a count, an id or a list is not what its place says.
    """
    layers = _list(document, LAYERS_KEY, COUNT_KEY)
    devices = [_devices(layer, layer_idx) for layer_idx, layer in enumerate(layers)]
    num_slots = [len(slots) for row in devices for slots in row]
    if len(set(num_slots)) != 1 or len({len(row) for row in devices}) != 1:
        raise FormatError(
            f"devices have {min(num_slots, default=0)} to {max(num_slots, default=0)} experts; "
            "every layer has as many devices, every device as many experts."
        )
    placed = id_array([[e for slots in row for e in slots] for row in devices], "device_expert")
    return StoredPlan(placed, num_gpus=len(devices[0]))


def document_for_ascend(placement: Placement) -> dict[str, Any]:
    """The map as vllm-ascend itself exports it."""
    plan = placement.plan
    by_device = plan.physical_to_logical.reshape(plan.num_layers, plan.num_gpus, -1).tolist()
    layers = [
        {
            "layer_id": layer_idx,
            "device_count": plan.num_gpus,
            "device_list": [
                {"device_id": gpu, "device_expert": slots} for gpu, slots in enumerate(row)
            ],
        }
        for layer_idx, row in enumerate(by_device)
    ]
    return {COUNT_KEY: plan.num_layers, LAYERS_KEY: layers}


def check_ascend(document: Any, runtime: Runtime) -> StoredPlan:
    """Repeat what vllm-ascend's worker refuses; it would keep the old layer there.

    Raises
    ------
    EngineRefusal
        For an expert that is missing, stands twice on a device, or stays on its device in another
        slot than in the map in force; for other layers or devices, and for slots that are empty
        and are not so in the map in force, where redundant experts are on some devices only.
    """
    stored = plan_from_ascend(document)
    placed, num_gpus = stored.physical_to_logical, stored.num_gpus or 1
    if runtime.num_gpus not in (None, num_gpus):
        raise EngineRefusal(f"there are {num_gpus} devices; {ENGINE} runs on {runtime.num_gpus}.")
    check_layer_count(len(placed), runtime, ENGINE)
    check_map(placed, runtime, ENGINE, keeps_padding=True)
    rows = placed.reshape(len(placed), num_gpus, -1)
    _refuse_twice(rows)
    if runtime.current is not None:
        _refuse_moved(rows, np.asarray(runtime.current))
    return stored


def _refuse_twice(rows: np.ndarray) -> None:
    ordered = np.sort(rows, axis=2)
    twice = np.argwhere((ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] >= 0))
    if len(twice):
        layer_idx, gpu, k = twice[0]
        raise EngineRefusal(
            f"layer {layer_idx}: expert {ordered[layer_idx, gpu, k]} stands twice on device {gpu}, "
            f"which {ENGINE} refuses; plan with colocation='forbid'."
        )


def _refuse_moved(rows: np.ndarray, current: np.ndarray) -> None:
    if current.shape != (len(rows), rows[0].size):
        raise EngineRefusal(
            f"the map in force has shape {list(current.shape)}, the new one "
            f"{[len(rows), rows[0].size]}; {ENGINE} changes neither."
        )
    before = current.reshape(rows.shape)
    stays = (rows[..., :, None] == before[..., None, :]).any(axis=3)
    moved = np.argwhere(stays & (rows != before))
    if len(moved):
        layer_idx, gpu, k = moved[0]
        raise EngineRefusal(
            f"layer {layer_idx}: expert {rows[layer_idx, gpu, k]} stays on device {gpu} but "
            f"changes its slot, which {ENGINE} refuses; order it with engines.survivors.keep_slots."
        )


def _devices(layer: Any, layer_idx: int) -> list[list[Any]]:
    devices = _list(layer, "device_list", "device_count")
    if layer.get("layer_id") != layer_idx:
        raise FormatError(f"layer {layer_idx} is called {str(layer.get('layer_id'))[:40]}.")
    slots = []
    for gpu, device in enumerate(devices):
        if not isinstance(device, dict) or device.get("device_id") != gpu:
            raise FormatError(f"layer {layer_idx}: device {gpu} is not in its place.")
        slots.append(_list(device, "device_expert"))
    return slots


def _list(document: Any, key: str, count_key: str = "") -> list[Any]:
    values = document.get(key) if isinstance(document, dict) else None
    if not isinstance(values, list) or not values:
        raise FormatError(f"there is no list {key}, or nothing in it.")
    if count_key and document.get(count_key) != len(values):
        raise FormatError(
            f"{count_key} is {str(document.get(count_key))[:40]}, {key} has {len(values)} entries."
        )
    return values
