"""TensorRT-LLM's moe_load_balancer.yaml, read strictly: no tags, no aliases, no key twice.

The balancer's settings are a file of their own, or stand under ``moe_config: load_balancer:`` of
the larger file that ``trtllm-serve --config`` takes; there the name of the file may stand instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import EngineRefusal, FormatError, import_optional
from eplb_opt.io.engines.runtime import check_map
from eplb_opt.io.files import read_text
from eplb_opt.io.loads import checked_layer_ids
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array, keys_found

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eplb_opt.io.engines.runtime import Runtime
    from eplb_opt.io.placement import Placement

ENGINE = "TensorRT-LLM"
SLOTS_KEY = "num_slots"
PLAN_KEY = "initial_global_assignments"
UPDATES_KEY = "layer_updates_per_iter"
KEYS = (SLOTS_KEY, PLAN_KEY, UPDATES_KEY)
#: Where the settings stand in the file of all settings.
CONFIG_KEY, BALANCER_KEY = "moe_config", "load_balancer"

#: The settings of the whole program, of its MoE layers, of the balancer, the assignments and a
#: layer's list are five; other settings may be a little deeper.
MAX_DEPTH = 12
#: A thousand layers of a thousand slots; YAML takes some hundred times its size while it is read.
MAX_YAML_BYTES = 8 * 2**20
OPENING = ("ScalarEvent", "SequenceStartEvent", "MappingStartEvent", "AliasEvent")
WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


def import_yaml() -> Any:
    """PyYAML, or which extra brings it.

    Raises
    ------
    MissingDependency
        When it is not installed.
    """
    return import_optional("yaml", "formats", "PyYAML")


def read_yaml(path: Path) -> Any:
    """Mappings, lists, whole numbers and text of a file; nothing else is built.

    Raises
    ------
    FormatError
        When it is no YAML, too large or too deep, or has tags, aliases or a key twice.
    """
    yaml, text = import_yaml(), read_text(path)
    if len(text) > MAX_YAML_BYTES:
        raise FormatError(f"{len(text)} characters of YAML; at most {MAX_YAML_BYTES} are read.")
    # Events come one by one: a deep or self-referring document is refused while it is read.
    try:
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        documents = [_node(event, events, 0) for event in events if _opens(event)]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        reason = " ".join(str(error).split())[:160]
        raise FormatError(f"this is no YAML: {reason}; is the file cut off?") from error
    if len(documents) != 1:
        raise FormatError(f"there are {len(documents)} YAML documents; one is due.")
    return documents[0]


def has_plan(document: Any) -> bool:
    """Whether a document is a load balancer's configuration."""
    return isinstance(document, dict) and PLAN_KEY in document


def has_config(document: Any) -> bool:
    """Whether a document has settings of MoE layers, those of a balancer among them perhaps."""
    return isinstance(document, dict) and CONFIG_KEY in document and PLAN_KEY not in document


def balancer_of(document: Any) -> Any:
    """The balancer's settings, wherever they stand.

    Raises
    ------
    FormatError
        When there are none, or only the name of the file that has them.
    """
    if not has_config(document):
        return document
    inline = document[CONFIG_KEY]
    settings = inline.get(BALANCER_KEY) if isinstance(inline, dict) else None
    if isinstance(settings, str):
        raise FormatError(
            f"{CONFIG_KEY}: {BALANCER_KEY} names another file, {settings[:80]}; give that one."
        )
    if not isinstance(settings, dict):
        raise FormatError(f"{CONFIG_KEY} has no {BALANCER_KEY} with settings in it.")
    return settings


def plan_from_trtllm(document: Any) -> StoredPlan:
    """The assignments, in the order of their absolute layer ids."""
    document = balancer_of(document)
    if not has_plan(document) or not isinstance(document[PLAN_KEY], dict):
        found = keys_found(document) if isinstance(document, dict) else type(document).__name__
        raise FormatError(f"{found}; there are no {PLAN_KEY} by layer.")
    assigned = document[PLAN_KEY]
    if not assigned or any(type(layer_id) is not int for layer_id in assigned):
        raise FormatError(f"{PLAN_KEY} has {keys_found(assigned)}; layers are whole numbers.")
    layer_ids = sorted(assigned)
    placed = id_array([assigned[layer_id] for layer_id in layer_ids], PLAN_KEY)
    return StoredPlan(placed, checked_layer_ids(layer_ids, len(placed)))


def document_for_trtllm(placement: Placement) -> dict[str, Any]:
    """Static assignments of the layers with experts, by their absolute ids."""
    rows = placement.plan.physical_to_logical.tolist()
    return {
        SLOTS_KEY: placement.plan.num_slots,
        PLAN_KEY: dict(zip(placement.layer_ids, rows, strict=True)),
        UPDATES_KEY: 0,
    }


def config_for_trtllm(placement: Placement) -> dict[str, Any]:
    """The same, to be put into the file of all settings."""
    return {CONFIG_KEY: {BALANCER_KEY: document_for_trtllm(placement)}}


def yaml_bytes(document: Any) -> bytes:
    """A layer a line, as the engine's own script writes it."""
    text = import_yaml().safe_dump(
        document, default_flow_style=None, sort_keys=False, width=float("inf")
    )
    return str(text).encode()


def check_trtllm(document: Any, runtime: Runtime) -> StoredPlan:
    """Repeat what TensorRT-LLM rejects when it reads the configuration and builds its layers.

    Raises
    ------
    EngineRefusal
        For unknown keys, missing layers, lists of another length than num_slots, empty slots,
        unknown ids and experts without a slot.
    """
    document = balancer_of(document)
    stored = plan_from_trtllm(document)
    unknown = [str(key) for key in document if key not in KEYS]
    if unknown:
        raise EngineRefusal(f"the key {unknown[0][:40]} is unknown to {ENGINE}; known: {KEYS}.")
    num_slots, updates = document.get(SLOTS_KEY), document.get(UPDATES_KEY, 0)
    if type(num_slots) is not int or num_slots != stored.physical_to_logical.shape[1]:
        raise EngineRefusal(
            f"{SLOTS_KEY} is {str(num_slots)[:40]}, the layers have "
            f"{stored.physical_to_logical.shape[1]} slots; {ENGINE} wants them equal."
        )
    if type(updates) is not int or updates < 0:
        raise EngineRefusal(f"{UPDATES_KEY} is {str(updates)[:40]}; a number from 0 up is due.")
    missing = sorted(set(runtime.layer_ids or ()) - set(stored.layer_ids or ()))
    if missing:
        raise EngineRefusal(f"layer {missing[0]} is missing in {PLAN_KEY}; {ENGINE} wants each.")
    check_map(np.asarray(stored.physical_to_logical), runtime, ENGINE, stored.layer_ids)
    return stored


def _opens(event: Any) -> bool:
    """Whether an event begins a value; those of the stream and its documents do not."""
    return type(event).__name__ in OPENING


def _node(event: Any, events: Iterator[Any], depth: int) -> Any:
    kind = type(event).__name__
    if kind == "AliasEvent" or event.anchor is not None or event.tag is not None:
        raise FormatError("the YAML has anchors, aliases or tags; write plain lists.")
    if kind == "ScalarEvent":
        is_number = event.implicit[0] and WHOLE.fullmatch(event.value)
        return int(event.value) if is_number else str(event.value)
    if depth >= MAX_DEPTH:
        raise FormatError(f"the YAML is nested more than {MAX_DEPTH} deep.")
    items = _items(events, depth + 1)
    return list(items) if kind == "SequenceStartEvent" else _mapping(items)


def _items(events: Iterator[Any], depth: int) -> Iterator[Any]:
    for event in events:
        if not _opens(event):  # the end of this list or mapping
            return
        yield _node(event, events, depth)


def _mapping(items: Iterator[Any]) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {}
    for key in items:
        if not isinstance(key, int | str):
            raise FormatError("a YAML key is a list or mapping; keys are names or numbers.")
        if key in mapping:
            raise FormatError(f"the YAML key {str(key)[:40]} stands twice.")
        mapping[key] = next(items)
    return mapping
