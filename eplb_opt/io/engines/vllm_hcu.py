"""Maps of several models in one file, as HYGON's plug-in for vLLM (vllm_hcu) records and loads.

Version 2: ``{"version": 2, "format": ..., "model_maps": {CLASS: {"record_kind": "proposal",
"model_name", "model_class", "num_moe_layers", "num_logical_experts", "num_physical_experts",
"num_redundant_experts", "physical_to_logical_map": [layers][slots]}}}``. A target and its MTP
model have an entry each, a pipeline stage one called ``CLASS#pp_rank=N``. Version 1 is one such
entry with its version and format beside. All facts of an entry must agree with its map, and a map
of `record_kind` "initial" is not loaded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from eplb_opt.errors import EngineRefusal, FormatError
from eplb_opt.io.engines.models import NO_MODEL, pick_model
from eplb_opt.io.engines.runtime import Runtime, check_layer_count, check_map
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array, keys_found

if TYPE_CHECKING:
    from eplb_opt.io.placement import Placement

ENGINE = "vllm_hcu"
FORMATS = {
    1: "vllm_offline_eplb_physical_to_logical",
    2: "vllm_offline_eplb_physical_to_logical_by_model",
}
MAPS_KEY, PLAN_KEY, KIND_KEY = "model_maps", "physical_to_logical_map", "record_kind"
PROPOSAL = "proposal"
EXPERTS_KEY = "num_logical_experts"


def has_plan(document: Any) -> bool:
    """Whether a document says that it is of one of the two versions."""
    return isinstance(document, dict) and (
        document.get("format") in FORMATS.values() or MAPS_KEY in document
    )


def choose(document: Any, model: str | None) -> dict[str, Any]:
    """The entry of one model.

    Raises
    ------
    FormatError
        When the version is unknown, or no model or several may be meant.
    """
    entries = _entries(document)
    return entries[pick_model(list(entries), model)]


def plan_from_hcu(entry: dict[str, Any]) -> StoredPlan:
    """The map of an entry, a row for every layer with experts."""
    experts = entry.get(EXPERTS_KEY)
    placed = id_array(entry.get(PLAN_KEY), PLAN_KEY)
    return StoredPlan(placed, num_experts=experts if type(experts) is int else None)


def document_for_hcu(placement: Placement) -> dict[str, Any]:
    """A file of version 2 with the one model.

    Raises
    ------
    FormatError
        Without the model's name.
    """
    if not placement.model:
        raise FormatError(NO_MODEL.format("of its class in vLLM, such as DeepseekV3ForCausalLM"))
    entry = {
        KIND_KEY: PROPOSAL,
        "model_name": placement.model,
        "model_class": placement.model.partition("#")[0],
        **_facts(placement.plan.physical_to_logical.shape, placement.plan.num_experts),
        PLAN_KEY: placement.plan.physical_to_logical.tolist(),
    }
    return {"version": 2, "format": FORMATS[2], MAPS_KEY: {placement.model: entry}}


def joined(old: Any, new: dict[str, Any]) -> dict[str, Any]:
    """The models of an old file beside a new one, which takes the place of its namesake."""
    if not has_plan(old) or old.get("version") != 2:
        return new
    return {**new, MAPS_KEY: {**_entries(old), **new[MAPS_KEY]}}


def maps_bytes(document: dict[str, Any]) -> bytes:
    """Strict JSON."""
    return (json.dumps(document, allow_nan=False) + "\n").encode()


def check_hcu(document: Any, runtime: Runtime) -> StoredPlan:
    """Repeat what the plug-in refuses, of each model; one of them must be that of the runtime.

    Raises
    ------
    EngineRefusal
        For facts that are missing or do not agree with the map, maps of another kind than
        "proposal", empty slots, unknown ids, experts without a slot; and when no model fits the
        runtime.
    """
    models: list[StoredPlan] = []
    for name, entry in _entries(document).items():
        stored = plan_from_hcu(entry)
        placed = stored.physical_to_logical
        due = {KIND_KEY: PROPOSAL} | _facts(placed.shape, stored.num_experts or 0)
        for key, value in due.items():
            if entry.get(key) != value or type(entry.get(key)) is not type(value):
                raise EngineRefusal(
                    f"{name}: {key} is {str(entry.get(key))[:40]}; {ENGINE} wants {value}, as its "
                    "map has it."
                )
        check_map(placed, Runtime(num_experts=stored.num_experts), ENGINE)
        models.append(stored)
    return _fitting(models, runtime)


def _fitting(models: list[StoredPlan], runtime: Runtime) -> StoredPlan:
    """The first model that the runtime can be; what the first one misses, where none can."""
    refusals: list[EngineRefusal] = []
    for stored in models:
        try:
            check_layer_count(len(stored.physical_to_logical), runtime, ENGINE)
            check_map(stored.physical_to_logical, runtime, ENGINE)
        except EngineRefusal as refusal:
            refusals.append(refusal)
        else:
            return stored
    raise refusals[0]


def _facts(shape: tuple[int, ...], num_experts: int) -> dict[str, int]:
    num_layers, num_slots = shape
    return {
        "num_moe_layers": num_layers,
        EXPERTS_KEY: num_experts,
        "num_physical_experts": num_slots,
        "num_redundant_experts": num_slots - num_experts,
    }


def _entries(document: Any) -> dict[str, dict[str, Any]]:
    """The entries by model; the one of version 1 under its class."""
    version = document.get("version") if isinstance(document, dict) else None
    if type(version) is not int or document.get("format") != FORMATS.get(version):
        found = keys_found(document) if isinstance(document, dict) else type(document).__name__
        raise FormatError(
            f"{found}: version {str(version)[:40]} and format do not go together; known: {FORMATS}."
        )
    if version == 1:
        kind = {KIND_KEY: PROPOSAL}  # which version 1 did not tell
        return {str(document.get("model_class", "")): {**kind, **document}}
    entries = document.get(MAPS_KEY)
    if not isinstance(entries, dict) or not entries:
        raise FormatError(f"there are no {MAPS_KEY} in it.")
    wrong = [name for name, entry in entries.items() if not isinstance(entry, dict)]
    if wrong:
        raise FormatError(f"{wrong[0][:80]} is no object with a map.")
    return entries
