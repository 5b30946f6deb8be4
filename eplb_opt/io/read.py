"""Reading: which format a file has, and into the normal form."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from eplb_opt.errors import FormatError
from eplb_opt.io.containers import csv_table, npz, parquet_table, plain_json
from eplb_opt.io.containers.detect import CONTAINERS, container_of
from eplb_opt.io.containers.folder import Folder, no_recording
from eplb_opt.io.containers.npy import loads_from_array, plan_from_array, read_outline
from eplb_opt.io.containers.token_arrays import loads_from_tokens
from eplb_opt.io.containers.torch_file import loads_from_pt, plan_from_pt
from eplb_opt.io.engines import (
    adrs,
    ascend,
    deepseek,
    lmdeploy,
    omni,
    sglang,
    sglang_recorder,
    trtllm,
    trtllm_statistics,
    vllm,
    vllm_hcu,
    vllm_loads,
    vllm_ranks,
    vllm_stats,
)
from eplb_opt.io.engines.models import unnamed
from eplb_opt.io.files import PathLike, naming, open_checked
from eplb_opt.io.recordings.recording import Recording, whole_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

    from eplb_opt.io.loads import Loads
    from eplb_opt.io.placement import StoredPlan

Parsed = TypeVar("Parsed")


def _nothing(document: Any) -> bool:
    return False


@dataclass(frozen=True)
class Format(Generic[Parsed]):
    """One format: where it is packed, how it is known, how it is parsed.

    Parameters
    ----------
    name
        The name that `format=` takes; a format that comes packed in two ways has two rows.
    container
        A name of `CONTAINERS`.
    parse
        The container's document to the normal form; FormatError where it does not fit.
    recognises
        Whether a document is of this format for sure; the last row of a container takes the rest.
    choose
        What of a document is parsed: the part of the model asked for, where it names models.
    """

    name: str
    container: str
    parse: Callable[[Any], Parsed]
    recognises: Callable[[Any], bool] = _nothing
    choose: Callable[[Any, str | None], Any] = unnamed


# The first row that recognises a document wins, else the last one of its container.
LOAD_FORMATS: tuple[Format[Loads | Recording], ...] = (
    Format("sglang", "json", sglang_recorder.loads_from_sglang, sglang_recorder.has_loads),
    Format("sglang", "pt", sglang_recorder.loads_from_sglang, sglang_recorder.has_loads),
    Format("lmdeploy", "pt", lmdeploy.loads_from_dump, lmdeploy.has_counts),
    Format("lmdeploy", "folder", lmdeploy.loads_from_dumps, lmdeploy.has_dumps),
    Format(
        "trtllm", "folder", trtllm_statistics.loads_from_trtllm, trtllm_statistics.is_statistics
    ),
    Format("sglang", "folder", sglang_recorder.loads_from_sglang_folder, sglang_recorder.has_dumps),
    Format("vllm", "jsonl", vllm_stats.loads_from_vllm),
    Format("vllm", "safetensors", vllm_loads.loads_from_tensor, choose=vllm_loads.choose),
    Format("adrs", "json", adrs.loads_from_adrs, adrs.has_loads),
    Format("npy", "npy", loads_from_array),
    Format("npz", "npz", loads_from_tokens, npz.has_tokens),
    Format("npz", "npz", npz.loads_from_npz, npz.has_loads),
    Format("csv", "csv", csv_table.loads_from_csv, csv_table.has_loads),
    Format("csv", "folder", csv_table.loads_from_rank_folder, csv_table.is_rank_folder),
    Format("parquet", "parquet", parquet_table.loads_from_parquet, parquet_table.has_loads),
    Format("lmdeploy", "json", lmdeploy.loads_from_lists),
    Format("json", "json", plain_json.loads_from_json, plain_json.has_loads),
    Format("pt", "pt", loads_from_pt),
)
PLAN_FORMATS: tuple[Format[StoredPlan], ...] = (
    Format("vllm-hcu", "json", vllm_hcu.plan_from_hcu, vllm_hcu.has_plan, vllm_hcu.choose),
    Format("vllm-ranks", "json", vllm_ranks.plan_from_ranks, vllm_ranks.has_plan),
    Format("sglang", "json", sglang.plan_from_sglang, sglang.has_plan),
    Format("sglang", "pt", sglang.plan_from_sglang, sglang.has_plan),
    Format("trtllm-config", "yaml", trtllm.plan_from_trtllm, trtllm.has_config),
    Format("trtllm", "yaml", trtllm.plan_from_trtllm, trtllm.has_plan),
    Format("vllm-ascend", "json", ascend.plan_from_ascend, ascend.has_plan),
    Format("vllm", "json", vllm.plan_from_vllm, vllm.has_plan),
    Format("vllm", "npz", vllm.plan_from_vllm, vllm.has_plan),
    Format("vllm", "pt", vllm.plan_from_vllm),
    Format("deepseek", "pt", deepseek.plan_from_deepseek, deepseek.has_plan),
    Format("deepseek", "npz", deepseek.plan_from_deepseek, deepseek.has_plan),
    Format("omni", "npy", omni.plan_from_omni, omni.has_plan),
    Format("npy", "npy", plan_from_array),
    Format("npz", "npz", npz.plan_from_npz, npz.has_plan),
    Format("csv", "csv", csv_table.plan_from_csv, csv_table.has_plan),
    Format("parquet", "parquet", parquet_table.plan_from_parquet, parquet_table.has_plan),
    Format("json", "json", plain_json.plan_from_json),
    Format("pt", "pt", plan_from_pt),
)


#: Containers that have no mark of their own, so that a file's name may promise the wrong one.
TEXTS = {"csv", "json", "yaml", "jsonl"}

#: Values of an array that is looked at whole to tell its kind: more than 1,000 devices have.
MAX_PATTERN = 2**26

#: What is enough of a file to tell its kind, where reading it all takes memory.
GLANCES: dict[str, Callable[[Path], Any]] = {"npy": read_outline, "npz": npz.read_outlines}


def read_loads(path: PathLike, format: str | None = None, *, model: str | None = None) -> Loads:
    """Loads of a file, or of a folder with the files of all ranks.

    Parameters
    ----------
    path
        The file or folder.
    format
        A name of `LOAD_FORMATS`; by default from the content, then the extension.
    model
        Name of one of the models, where the file holds several.

    Raises
    ------
    FormatError
        With the file, what was found and the mend.
    MissingDependency
        When a .pt file needs torch, or another one its package.
    """
    with naming(path):
        row, parsed = parse_loads(path, format, model)
        loads = whole_of(parsed) if isinstance(parsed, Recording) else parsed
    return replace(loads, format=row.name, source=loads.source or os.fspath(path))


def parse_loads(
    path: PathLike, format: str | None, model: str | None = None
) -> tuple[Format[Loads | Recording], Loads | Recording]:
    """Loads in memory, or a recording that is not; see `read_loads`."""
    return read_by(path, format, LOAD_FORMATS, model)


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
        When a .pt file needs torch, or another one its package.
    """
    with naming(path):
        _, stored = read_by(path, format, PLAN_FORMATS)
        return stored.physical_to_logical if layer_ids is None else stored.rows(layer_ids)


def read_stored_plan(
    path: PathLike, format: str | None = None, *, model: str | None = None
) -> StoredPlan:
    """A placement with whatever else its file tells, of one of its models; see `read_plan`."""
    with naming(path):
        return read_by(path, format, PLAN_FORMATS, model)[1]


def kind_of(path: PathLike, format: str | None = None) -> str | None:
    """What a file holds: "loads" or "plan"; None where it may be either.

    Raises
    ------
    FormatError
        When it cannot be read.
    """
    with naming(path):
        file = open_checked(path, folders=True)
        tables: dict[str, tuple[Format[Any], ...]] = {"loads": LOAD_FORMATS, "plan": PLAN_FORMATS}
        rows = {kind: [r for r in t if format in (None, r.name)] for kind, t in tables.items()}
        container = _container(file, [*rows["loads"], *rows["plan"]], forced=format is not None)
        able = {kind: [r for r in rows[kind] if r.container == container] for kind in rows}
        able = {kind: there for kind, there in able.items() if there}
        if len(able) == 1:
            return next(iter(able))
        document = GLANCES.get(container, CONTAINERS[container].read)(file)
        sure = [kind for kind in able if any(r.recognises(document) for r in able[kind])]
        if len(sure) == 1:
            return sure[0]
        if getattr(document, "ndim", 2) != 3:
            return None
        # A bare array of three dimensions has snapshots, unless its values are those of a pattern.
        if container != "npy":
            return "loads"
        is_pattern = document.dtype.itemsize <= 8 and document.size <= MAX_PATTERN
        if is_pattern and omni.has_plan(CONTAINERS["npy"].read(file)):
            return "plan"
        return "loads"


def read_by(
    path: PathLike, name: str | None, table: tuple[Format[Parsed], ...], model: str | None = None
) -> tuple[Format[Parsed], Parsed]:
    """What a file holds by a table of formats, and the row that read it.

    Parameters
    ----------
    path
        The file, or a folder where a row takes one.
    name
        A name of the table; None to tell from the content, then the extension.
    table
        The formats.
    model
        Name of one of the models, where the file holds several.

    Raises
    ------
    FormatError
        With what was found and the mend.
    """
    named = [row for row in table if name in (None, row.name)]
    if not named:
        known = ", ".join(dict.fromkeys(row.name for row in table))
        raise FormatError(f"format {name!r} is unknown; known: {known}.")
    file = open_checked(path, folders=any(row.container == "folder" for row in named))
    container = _container(file, named, forced=name is not None)
    rows = [row for row in named if row.container == container]
    if not rows:
        raise FormatError(
            f"this is {container}, but {name or 'this kind'} comes as "
            f"{' or '.join(dict.fromkeys(row.container for row in named))}."
        )
    document = CONTAINERS[container].read(file)
    row = next((row for row in rows if row.recognises(document)), rows[-1])
    if isinstance(document, Folder) and not row.recognises(document):
        raise no_recording(document)
    return row, row.parse(row.choose(document, model))


def _container(file: Path, named: Sequence[Format[Any]], forced: bool) -> str:
    """The file's container; a format that is named settles what only an extension tells."""
    containers = {row.container for row in named}
    try:
        found = container_of(file)
    except FormatError:
        packed = containers - {"folder"}
        if forced and len(packed) == 1:
            return packed.pop()
        raise
    texts = containers & TEXTS
    if forced and found in TEXTS - containers and len(texts) == 1:
        return texts.pop()
    return found
