"""DeepSeek's EPLB: the three tensors that its rebalance_experts returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb_opt.errors import FormatError
from eplb_opt.io.placement import Placement, every_expert_placed
from eplb_opt.io.shapes import id_array
from eplb_opt.io.torch_file import import_torch, tensor_values, torch_bytes

if TYPE_CHECKING:
    import numpy as np

PLAN_KEY = "phy2log"


def has_plan(document: Any) -> bool:
    """Whether a document has DeepSeek's names, or is the bare triple of the call."""
    return PLAN_KEY in document if isinstance(document, dict) else _is_triple(document)


def plan_from_deepseek(document: Any) -> np.ndarray:
    """Expert ids of the first of the three tensors."""
    if not has_plan(document):
        raise FormatError(f"there is no {PLAN_KEY}, nor a triple (phy2log, log2phy, logcnt).")
    values = document[PLAN_KEY] if isinstance(document, dict) else document[0]
    return id_array(tensor_values(values, PLAN_KEY), PLAN_KEY)


def placement_to_deepseek(placement: Placement) -> bytes:
    """A .pt of phy2log [L, P], log2phy [L, E, max count] (-1 padded) and logcnt [L, E], int64."""
    every_expert_placed(placement, "DeepSeek's EPLB")
    torch, plan = import_torch(), placement.plan
    arrays = {
        PLAN_KEY: plan.physical_to_logical,
        "log2phy": plan.logical_to_physical,
        "logcnt": plan.logical_count,
    }
    return torch_bytes({key: torch.from_numpy(array.copy()) for key, array in arrays.items()})


def _is_triple(document: Any) -> bool:
    return isinstance(document, tuple | list) and len(document) == 3
