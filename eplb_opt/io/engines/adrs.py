"""The recording that ADRS's EPLB benchmark is scored on: vLLM's steps as one JSON document.

``{"load_history": [{"logical_expert_load": [layers][experts]}, ...]}``; other facts of a step are
left out of account.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.plain_json import json_bytes
from eplb_opt.io.recordings.recording import Recording
from eplb_opt.io.shapes import keys_found, load_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.io.recordings.recording import Part, Progress
    from eplb_opt.io.recordings.trace import Trace

STEPS_KEY, LOAD_KEY = "load_history", "logical_expert_load"


def has_loads(document: Any) -> bool:
    """Whether a document is such a recording."""
    return isinstance(document, dict) and STEPS_KEY in document


def loads_from_adrs(document: Any) -> Recording:
    """The steps in the order of the list; layers are counted among those that have experts."""
    steps = document.get(STEPS_KEY) if isinstance(document, dict) else None
    if not isinstance(steps, list) or not steps:
        found = keys_found(document) if isinstance(document, dict) else type(document).__name__
        raise FormatError(f"{found}; there is no list {STEPS_KEY}, or nothing in it.")
    num_layers = load_array(_load(steps[0], 0), f"{STEPS_KEY}[0]").shape[1]
    return Recording(partial(_parts, steps), tuple(range(num_layers)))


def _parts(steps: list[Any], progress: Progress) -> Iterator[Part]:
    for step, record in enumerate(steps):
        (load,) = load_array(_load(record, step), f"{STEPS_KEY}[{step}]")
        yield step, load
        progress(step + 1, len(steps))


def _load(record: Any, step: int) -> Any:
    if not isinstance(record, dict) or LOAD_KEY not in record:
        found = keys_found(record) if isinstance(record, dict) else type(record).__name__
        raise FormatError(f"{STEPS_KEY}[{step}] has {found}; {LOAD_KEY} is due.")
    load = record[LOAD_KEY]
    if (
        not isinstance(load, list)
        or not load
        or not isinstance(load[0], list)
        or (load[0] and isinstance(load[0][0], list))
    ):
        raise FormatError(f"{STEPS_KEY}[{step}]: {LOAD_KEY} is no list [layers][experts].")
    return load


def history_chunks(trace: Trace) -> Iterator[bytes]:
    """The document, a step at a time."""
    yield f'{{"{STEPS_KEY}": ['.encode()
    first = True
    for chunk in trace.chunks():
        for load in chunk:
            yield b"" if first else b",\n"
            yield json_bytes({LOAD_KEY: load}).rstrip()
            first = False
    yield b"]}\n"
