"""SGLang's --init-expert-location: the map as JSON or as .pt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import EngineRefusal, FormatError
from eplb_opt.io.containers.torch_file import tensor_values
from eplb_opt.io.engines.runtime import check_map
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array, keys_found

if TYPE_CHECKING:
    from eplb_opt.io.engines.runtime import Runtime
    from eplb_opt.io.placement import Placement

ENGINE = "SGLang"
#: SGLang takes this key alone; any other is a TypeError there.
PLAN_KEY = "physical_to_logical_map"


def has_plan(document: Any) -> bool:
    """Whether a document is a map of SGLang's."""
    return isinstance(document, dict) and PLAN_KEY in document


def plan_from_sglang(document: Any) -> StoredPlan:
    """Expert ids of a map, a row for every hidden layer."""
    if not has_plan(document):
        raise FormatError(f"there is no key {PLAN_KEY}, which SGLang writes and reads.")
    return StoredPlan(id_array(tensor_values(document[PLAN_KEY], PLAN_KEY), PLAN_KEY))


def document_for_sglang(placement: Placement) -> dict[str, np.ndarray]:
    """The map with a row for every hidden layer; dense ones get the trivial row."""
    trivial = np.arange(placement.plan.num_slots) % placement.plan.num_experts
    rows = np.tile(trivial, (placement.num_hidden_layers, 1))
    rows[list(placement.layer_ids)] = placement.plan.physical_to_logical
    return {PLAN_KEY: rows}


def check_sglang(document: Any, runtime: Runtime) -> StoredPlan:
    """Repeat what SGLang fails on when it starts, and what it would silently misread.

    Raises
    ------
    EngineRefusal
        For other keys, too few layers, empty slots, unknown ids and experts without a slot.
    """
    stored = plan_from_sglang(document)
    if set(document) != {PLAN_KEY}:
        raise EngineRefusal(f"{keys_found(document)}; SGLang takes {PLAN_KEY} alone.")
    num_rows = len(stored.physical_to_logical)
    if runtime.num_hidden_layers is not None and num_rows < runtime.num_hidden_layers:
        raise EngineRefusal(
            f"there are {num_rows} rows; SGLang wants one for each of "
            f"{runtime.num_hidden_layers} hidden layers, dense ones included."
        )
    check_map(stored.physical_to_logical, runtime, ENGINE)
    return stored
