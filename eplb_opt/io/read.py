"""Reading: which format a file has, and into the normal form."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from eplb_opt.errors import FormatError
from eplb_opt.io import deepseek, sglang
from eplb_opt.io.containers import CONTAINERS, container_of
from eplb_opt.io.csv_table import loads_from_csv
from eplb_opt.io.files import PathLike, naming, open_checked
from eplb_opt.io.npy import loads_from_array, plan_from_array
from eplb_opt.io.npz import loads_from_npz, plan_from_npz
from eplb_opt.io.plain_json import loads_from_json, plan_from_json
from eplb_opt.io.torch_file import loads_from_pt, plan_from_pt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

    from eplb_opt.io.loads import Loads

Parsed = TypeVar("Parsed")


def _anything(document: Any) -> bool:
    return True


@dataclass(frozen=True)
class Format(Generic[Parsed]):
    """One format: where it is packed, how it is known, how it is parsed.

    Parameters
    ----------
    name
        What `format=` takes; a format that comes packed in two ways has two rows.
    container
        A name of `CONTAINERS`.
    parse
        The container's document to the normal form; FormatError where it does not fit.
    recognises
        Whether a document is of this format.
    """

    name: str
    container: str
    parse: Callable[[Any], Parsed]
    recognises: Callable[[Any], bool] = _anything


# The first row that recognises a document wins, so the general ones come last.
LOAD_FORMATS: tuple[Format[Loads], ...] = (
    Format("sglang", "json", sglang.loads_from_sglang, sglang.has_loads),
    Format("sglang", "pt", sglang.loads_from_sglang, sglang.has_loads),
    Format("npy", "npy", loads_from_array),
    Format("npz", "npz", loads_from_npz),
    Format("csv", "csv", loads_from_csv),
    Format("json", "json", loads_from_json),
    Format("pt", "pt", loads_from_pt),
)
PLAN_FORMATS: tuple[Format[np.ndarray], ...] = (
    Format("sglang", "json", sglang.plan_from_sglang, sglang.has_plan),
    Format("sglang", "pt", sglang.plan_from_sglang, sglang.has_plan),
    Format("deepseek", "pt", deepseek.plan_from_deepseek, deepseek.has_plan),
    Format("deepseek", "npz", deepseek.plan_from_deepseek, deepseek.has_plan),
    Format("npy", "npy", plan_from_array),
    Format("npz", "npz", plan_from_npz),
    Format("json", "json", plan_from_json),
    Format("pt", "pt", plan_from_pt),
)


def read_loads(path: PathLike, format: str | None = None) -> Loads:
    """Loads of a file.

    Parameters
    ----------
    path
        The file.
    format
        A name of `LOAD_FORMATS`; by default from the content, then the extension.

    Raises
    ------
    FormatError
        With the file, what was found and the mend.
    MissingDependency
        When a .pt file needs torch.
    """
    with naming(path):
        row, loads = _read(path, format, LOAD_FORMATS)
    return replace(loads, format=row.name, source=loads.source or os.fspath(path))


def read_plan(
    path: PathLike, format: str | None = None, *, layer_ids: Sequence[int] | None = None
) -> np.ndarray:
    """A placement of a file, int64 [num_layers, num_slots].

    Parameters
    ----------
    path
        The file.
    format
        A name of `PLAN_FORMATS`; by default from the content, then the extension.
    layer_ids
        Hidden layers whose rows are wanted, ascending, such as `Loads.layer_ids`: picks the MoE
        rows of a map that has a row for every hidden layer. A map with as many rows as ids has
        no others and is returned whole. By default all rows.

    Raises
    ------
    FormatError
        With the file, what was found and the mend.
    MissingDependency
        When a .pt file needs torch.
    """
    with naming(path):
        _, plan = _read(path, format, PLAN_FORMATS)
        return plan if layer_ids is None else _rows(plan, layer_ids)


def _read(
    path: PathLike, name: str | None, table: tuple[Format[Parsed], ...]
) -> tuple[Format[Parsed], Parsed]:
    named = [row for row in table if name in (None, row.name)]
    if not named:
        known = ", ".join(dict.fromkeys(row.name for row in table))
        raise FormatError(f"format {name!r} is unknown; known: {known}.")
    file = open_checked(path)
    container = _container(file, named, forced=name is not None)
    rows = [row for row in named if row.container == container]
    if not rows:
        raise FormatError(
            f"this is {container}, but {name or 'this kind'} comes as "
            f"{' or '.join(dict.fromkeys(row.container for row in named))}."
        )
    document = CONTAINERS[container].read(file)
    row = next((row for row in rows if row.recognises(document)), rows[-1])
    return row, row.parse(document)


def _container(file: Path, named: list[Format[Parsed]], forced: bool) -> str:
    """The file's container; a name that comes packed in one way only settles it without."""
    containers = {row.container for row in named}
    try:
        return container_of(file)
    except FormatError:
        if forced and len(containers) == 1:
            return containers.pop()
        raise


def _rows(plan: np.ndarray, layer_ids: Sequence[int]) -> np.ndarray:
    wanted = [int(layer_id) for layer_id in layer_ids]
    if len(plan) == len(wanted):
        return plan
    if not wanted or min(wanted) < 0 or max(wanted) >= len(plan):
        raise FormatError(
            f"there are {len(plan)} rows; they do not hold the layers {wanted[:8]}..."
        )
    return plan[wanted]
