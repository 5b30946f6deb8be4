"""SGLang: the recorder's loads, and the map of --init-expert-location."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.loads import Loads
from eplb_opt.io.placement import Placement, every_expert_placed
from eplb_opt.io.shapes import id_array, load_array
from eplb_opt.io.torch_file import tensor_values

LOAD_KEY = "logical_count"
#: SGLang takes this key alone; any other is a TypeError there.
PLAN_KEY = "physical_to_logical_map"


def has_loads(document: Any) -> bool:
    """Whether a document is a recording of SGLang's."""
    return isinstance(document, dict) and LOAD_KEY in document


def has_plan(document: Any) -> bool:
    """Whether a document is a map of SGLang's."""
    return isinstance(document, dict) and PLAN_KEY in document


def loads_from_sglang(document: Any) -> Loads:
    """Loads of a recording, which has a row for every hidden layer.

    Dense layers are rows of zeros in all steps, and so is an MoE layer that nothing was routed to.
    Models have their dense layers first, so only leading rows of zeros are dropped; an
    idle layer after the first busy one stays.
    """
    load = load_array(tensor_values(_under(document, LOAD_KEY), LOAD_KEY), LOAD_KEY)
    busy = (load != 0).any(axis=(0, 2))
    if not busy.any():
        raise FormatError(
            f"all of the {load.shape[1]} layers are zero: dense and MoE ones look alike; "
            "record while the server has requests."
        )
    num_hidden_layers, first = load.shape[1], int(busy.argmax())
    layer_ids = tuple(range(first, num_hidden_layers))
    return Loads(load[:, first:], layer_ids, num_hidden_layers=num_hidden_layers)


def plan_from_sglang(document: Any) -> np.ndarray:
    """Expert ids of a map, a row for every hidden layer."""
    return id_array(tensor_values(_under(document, PLAN_KEY), PLAN_KEY), PLAN_KEY)


def placement_to_sglang(placement: Placement) -> bytes:
    """The map as JSON, a row for every hidden layer; dense ones get the trivial row."""
    every_expert_placed(placement, "SGLang")
    trivial = np.arange(placement.plan.num_slots) % placement.plan.num_experts
    rows = np.tile(trivial, (placement.num_hidden_layers, 1))
    rows[list(placement.layer_ids)] = placement.plan.physical_to_logical
    return (json.dumps({PLAN_KEY: rows.tolist()}) + "\n").encode()


def _under(document: Any, key: str) -> Any:
    if not isinstance(document, dict) or key not in document:
        raise FormatError(f"there is no key {key}, which SGLang writes and reads.")
    return document[key]
