"""vLLM: the tensors of its policies, and the JSON of initial_expert_map_path (not yet shipped)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import EngineRefusal, FormatError
from eplb_opt.io.containers.torch_file import import_torch, is_tensor, tensor_values, torch_bytes
from eplb_opt.io.engines.runtime import check_layer_count, check_map
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array

if TYPE_CHECKING:
    from eplb_opt.io.engines.runtime import Runtime
    from eplb_opt.io.placement import Placement

ENGINE = "vLLM"
PLAN_KEY = "physical_to_logical_map"
LOGICAL_KEY = "logical_to_physical_map"
COUNT_KEY = "logical_replica_count"
#: vLLM stops with more redundant experts: its maps have no room for them.
MAX_REDUNDANT = 1023


def has_plan(document: Any) -> bool:
    """Whether a document is one row of ids for all layers, or has vLLM's names."""
    if isinstance(document, Mapping):
        return PLAN_KEY in document
    return isinstance(document, list) and bool(document) and type(document[0]) is int


def plan_from_vllm(document: Any) -> StoredPlan:
    """The map of a policy's tensor, of its older triple, or of lists."""
    values = document
    if isinstance(document, Mapping):
        if PLAN_KEY not in document:
            raise FormatError(f"there is no {PLAN_KEY}.")
        values = document[PLAN_KEY]
    elif isinstance(document, tuple):
        values = document[0] if document else document
    array = tensor_values(values, "the map")
    if has_plan(array):
        return StoredPlan(id_array([array], "the map"), is_every_layer=True)
    return StoredPlan(id_array(array, "the map"))


def document_for_vllm(placement: Placement) -> dict[str, np.ndarray]:
    """The three maps that vLLM keeps, of the layers that have experts."""
    plan = placement.plan
    return {
        PLAN_KEY: plan.physical_to_logical,
        LOGICAL_KEY: plan.logical_to_physical,
        COUNT_KEY: plan.logical_count,
    }


def rows_bytes(document: dict[str, np.ndarray]) -> bytes:
    """What initial_expert_map_path takes: a list of ids a layer."""
    return (json.dumps(document[PLAN_KEY].tolist()) + "\n").encode()


def policy_bytes(document: dict[str, np.ndarray]) -> bytes:
    """What a policy returns: the one int64 tensor [num_layers, num_slots]."""
    return torch_bytes(import_torch().from_numpy(document[PLAN_KEY].copy()))


def check_vllm(document: Any, runtime: Runtime) -> StoredPlan:
    """Repeat what vLLM's asserts and index operations fail on.

    Raises
    ------
    EngineRefusal
        For a tensor other than int64, other layers or slots, empty slots, unknown ids, experts
        without a slot, and more redundant experts than vLLM has room for.
    """
    stored = plan_from_vllm(document)
    if is_tensor(document) and str(document.dtype) != "torch.int64":
        raise EngineRefusal(f"the tensor is {document.dtype}; a policy of {ENGINE} returns int64.")
    placed = stored.physical_to_logical
    if not stored.is_every_layer:
        check_layer_count(len(placed), runtime, ENGINE)
    if runtime.current is not None and placed.shape[1] != np.asarray(runtime.current).shape[1]:
        raise EngineRefusal(
            f"there are {placed.shape[1]} slots, in force are "
            f"{np.asarray(runtime.current).shape[1]}; {ENGINE} does not change them."
        )
    check_map(placed, runtime, ENGINE)
    redundant = placed.shape[1] - (runtime.num_experts or int(placed.max()) + 1)
    if redundant > MAX_REDUNDANT:
        raise EngineRefusal(f"{redundant} redundant experts; {ENGINE} takes {MAX_REDUNDANT}.")
    return stored
