"""DeepSeek's EPLB: the three tensors that its rebalance_experts returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import EngineRefusal, FormatError
from eplb_opt.io.containers.torch_file import import_torch, tensor_values, torch_bytes
from eplb_opt.io.engines.runtime import check_map
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array
from eplb_opt.placement.plan import Plan

if TYPE_CHECKING:
    from eplb_opt.io.engines.runtime import Runtime
    from eplb_opt.io.placement import Placement

ENGINE = "DeepSeek's EPLB"
PLAN_KEY = "phy2log"
SLOTS_KEY = "log2phy"
COUNT_KEY = "logcnt"


def has_plan(document: Any) -> bool:
    """Whether a document has DeepSeek's names, or is the bare triple of the call."""
    return PLAN_KEY in document if isinstance(document, Mapping) else _is_triple(document)


def plan_from_deepseek(document: Any) -> StoredPlan:
    """Expert ids of the first of the three tensors."""
    if not has_plan(document):
        raise FormatError(f"there is no {PLAN_KEY}, nor a triple (phy2log, log2phy, logcnt).")
    values = document[PLAN_KEY] if isinstance(document, Mapping) else document[0]
    return StoredPlan(id_array(tensor_values(values, PLAN_KEY), PLAN_KEY))


def document_for_deepseek(placement: Placement) -> dict[str, np.ndarray]:
    """phy2log [L, P], log2phy [L, E, max count] (-1 padded) and logcnt [L, E], int64."""
    plan = placement.plan
    return {
        PLAN_KEY: plan.physical_to_logical,
        SLOTS_KEY: plan.logical_to_physical,
        COUNT_KEY: plan.logical_count,
    }


def tensors_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """A .pt of the arrays by name."""
    torch = import_torch()
    return torch_bytes({key: torch.from_numpy(array.copy()) for key, array in arrays.items()})


def check_deepseek(document: Any, runtime: Runtime) -> StoredPlan:
    """Whether the three tensors tell of one placement, in which every expert has a slot.

    Raises
    ------
    EngineRefusal
        When they do not; the padding of log2phy may be of any width.
    """
    stored = plan_from_deepseek(document)
    placed = stored.physical_to_logical
    check_map(placed, runtime, ENGINE)
    plan = Plan(placed, 1, runtime.num_experts or 0)
    keys = (COUNT_KEY, SLOTS_KEY)
    given = (
        [document[key] for key in keys if key in document]
        if isinstance(document, Mapping)
        else [document[2], document[1]]
    )
    for key, values in zip(keys, given, strict=False):
        if not _same(np.asarray(tensor_values(values, key)), plan, key):
            raise EngineRefusal(f"{key} tells of another placement than {PLAN_KEY}.")
    return stored


def _same(values: np.ndarray, plan: Plan, key: str) -> bool:
    if key == COUNT_KEY:
        return np.array_equal(values, plan.logical_count)
    due = plan.logical_to_physical
    if values.ndim != 3 or values.shape[:2] != due.shape[:2] or values.shape[2] < due.shape[2]:
        return False
    width = due.shape[2]
    # Any order of an expert's slots will do.
    ordered = np.sort(np.where(values < 0, np.iinfo(np.int64).max, values), axis=2)[..., :width]
    return bool(
        (np.where(ordered == np.iinfo(np.int64).max, -1, ordered) == due).all()
        and (np.count_nonzero(values >= 0, axis=2) == plan.logical_count).all()
    )


def _is_triple(document: Any) -> bool:
    return isinstance(document, tuple | list) and len(document) == 3
