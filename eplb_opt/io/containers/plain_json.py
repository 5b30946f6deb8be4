"""JSON: nested lists, or an object that names its loads."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from eplb_opt.errors import FormatError
from eplb_opt.io.files import read_text
from eplb_opt.io.loads import Loads
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array, keys_found

if TYPE_CHECKING:
    from pathlib import Path


def read_json(path: Path) -> Any:
    """The parsed document.

    Raises
    ------
    FormatError
        When it is no JSON, nested too deeply, or has a key twice: of two readers each may take
        another value.
    """
    return parse_json(read_text(path))


def only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of its keys and values, for `json.loads(object_pairs_hook=)`.

    Raises
    ------
    FormatError
        When a key stands twice.
    """
    document = dict(pairs)
    if len(document) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise FormatError(f"the key {twice[:40]!r} stands twice in an object; keep one.")
    return document


def parse_json(text: str) -> Any:
    """The parsed text; see `read_json`."""
    try:
        return json.loads(text, object_pairs_hook=only_once)
    except RecursionError as error:
        raise FormatError(
            "the JSON is nested too deeply; lists have two or three levels."
        ) from error
    except FormatError:
        raise
    except ValueError as error:  # also an integer of too many digits
        raise FormatError(f"this is no JSON: {error}; is the file cut off?") from error


def loads_from_json(document: Any) -> Loads:
    """Loads of nested lists, or of an object's `load` with `layer_ids` beside it."""
    if isinstance(document, list):
        return Loads(document)  # type: ignore[arg-type]  # checked by Loads
    if not isinstance(document, dict) or "load" not in document:
        raise FormatError(f"{_found(document)}; loads are lists, or under load or logical_count.")
    count = document.get("num_hidden_layers", 0)
    if type(count) is not int:
        raise FormatError(f"num_hidden_layers is {str(count)[:40]}; a whole number is due.")
    return Loads(document["load"], document.get("layer_ids") or (), count)


def has_loads(document: Any) -> bool:
    """Whether an object names its loads."""
    return isinstance(document, dict) and "load" in document


def json_bytes(document: Any) -> bytes:
    """A line of JSON; arrays become lists."""
    return (json.dumps(document, default=lambda array: array.tolist()) + "\n").encode()


def plan_from_json(document: Any) -> StoredPlan:
    """Expert ids of nested lists."""
    if not isinstance(document, list):
        raise FormatError(
            f"{_found(document)}; a placement is a list of rows, or under physical_to_logical_map."
        )
    return StoredPlan(id_array(document, "the list"))


def _found(document: Any) -> str:
    if isinstance(document, dict):
        return f"an object with {keys_found(document)}"
    return f"a JSON {type(document).__name__} instead of lists"
