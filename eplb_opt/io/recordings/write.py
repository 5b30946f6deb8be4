"""Writing loads, a few steps at a time where the format allows."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.chunks import Drain
from eplb_opt.io.containers.csv_table import csv_chunks
from eplb_opt.io.containers.npy import header_bytes, npy_bytes
from eplb_opt.io.containers.parquet_table import parquet_chunks
from eplb_opt.io.containers.plain_json import json_bytes
from eplb_opt.io.containers.torch_file import import_torch, torch_bytes
from eplb_opt.io.engines.adrs import history_chunks
from eplb_opt.io.engines.lmdeploy import lists_chunks
from eplb_opt.io.engines.sglang_recorder import LOAD_KEY
from eplb_opt.io.engines.vllm_loads import tensor_chunks
from eplb_opt.io.engines.vllm_stats import stats_chunks
from eplb_opt.io.files import MAX_UNPACKED_BYTES, PathLike, naming, write_atomically
from eplb_opt.io.loads import Loads
from eplb_opt.io.recordings.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Chunks = Callable[[Trace], Iterable[bytes]]


def _npy_chunks(trace: Trace) -> Iterator[bytes]:
    chunks = trace.chunks()
    first = next(chunks)
    yield header_bytes(trace.shape, first.dtype)
    for chunk in chain([first], chunks):
        yield np.ascontiguousarray(chunk).tobytes()


def _npz_chunks(trace: Trace) -> Iterator[bytes]:
    sink = Drain()
    beside = {
        "layer_ids": np.array(trace.layer_ids, dtype=np.int64),
        "num_hidden_layers": np.array(trace.num_hidden_layers, dtype=np.int64),
    }
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in beside.items():
            archive.writestr(_member(name), npy_bytes(array))
        with archive.open(_member("load"), "w", force_zip64=True) as member:
            for piece in _npy_chunks(trace):
                member.write(piece)
                yield sink.take()
    yield sink.take()


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(f"{name}.npy")  # its date is 1980: no clock in the bytes
    member.create_system, member.compress_type = 3, zipfile.ZIP_DEFLATED
    return member


def _json_chunks(trace: Trace) -> list[bytes]:
    document = {
        "load": _whole(trace),
        "layer_ids": list(trace.layer_ids),
        "num_hidden_layers": trace.num_hidden_layers,
    }
    return [json_bytes(document)]


def _pt_chunks(trace: Trace) -> list[bytes]:
    return [torch_bytes(import_torch().from_numpy(_whole(trace)))]


def _recorder_pt(trace: Trace) -> list[bytes]:
    """Loads in the form that SGLang's recorder writes in mode stat."""
    load = _hidden(trace)
    narrow = np.int32 if load.max() <= np.iinfo(np.int32).max else np.int64
    count = import_torch().from_numpy(load.astype(narrow))
    beside = {"rank": 0, LOAD_KEY: count, "average_utilization_rate_over_window": None}
    return [torch_bytes(beside)]


def _recorder_json(trace: Trace) -> list[bytes]:
    """What --init-expert-location takes to plan by itself."""
    return [json_bytes({LOAD_KEY: _hidden(trace)})]


def _hidden(trace: Trace) -> np.ndarray:
    """Counts with a row for every hidden layer, zeros where it is dense."""
    load = _whole(trace)
    if load.dtype.kind != "i":
        raise FormatError("SGLang's counts are integers, these loads have fractions.")
    rows = np.zeros((len(load), trace.num_hidden_layers, load.shape[2]), dtype=np.int64)
    rows[:, list(trace.layer_ids)] = load
    return rows


def _whole(trace: Trace) -> np.ndarray:
    if 8 * int(np.prod(trace.shape)) > MAX_UNPACKED_BYTES:
        raise FormatError(
            f"{list(trace.shape)} loads are too large for this format; write .npy or .npz."
        )
    return np.concatenate(list(trace.chunks()))


#: Extension to chunks for each format; the first one is for all other names.
LOAD_WRITERS: dict[str, dict[str, Chunks]] = {
    "npz": {".npz": _npz_chunks},
    "npy": {".npy": _npy_chunks},
    "csv": {".csv": csv_chunks},
    "json": {".json": _json_chunks},
    "parquet": {".parquet": parquet_chunks},
    "pt": {".pt": _pt_chunks},
    "sglang": {".pt": _recorder_pt, ".json": _recorder_json},
    "vllm": {".jsonl": stats_chunks, ".safetensors": tensor_chunks},
    "lmdeploy": {".json": lists_chunks},
    "adrs": {".json": history_chunks},
}


def write_loads(
    path: PathLike, loads: Loads | Trace | Any, *, format: str = "npz", model: str = ""
) -> None:
    """Write loads whole or not at all.

    Parameters
    ----------
    path
        The file; an old one stays until the new one is complete on the disk. Where a format comes
        in several kinds of files, the extension chooses.
    loads
        Loads, a Trace (which need not fit into memory), or an array [layers, experts] or
        [snapshots, layers, experts].
    format
        A name of `LOAD_WRITERS`.
    model
        Name of the model, which vLLM's .safetensors is looked up by.

    Raises
    ------
    FormatError
        When the format is unknown or cannot hold the loads, or the file cannot be written.
    MissingDependency
        When a file needs torch, pyarrow or safetensors.
    """
    if format not in LOAD_WRITERS:
        raise FormatError(f"format {format!r} is unknown; known: {', '.join(LOAD_WRITERS)}.")
    chunks = LOAD_WRITERS[format]
    with naming(path):
        content = chunks.get(Path(path).suffix.lower(), next(iter(chunks.values())))
        pieces = content(replace(_trace(loads), model=model))
    write_atomically(path, pieces)


def _trace(loads: Loads | Trace | Any) -> Trace:
    if isinstance(loads, Trace):
        return loads
    if isinstance(loads, Loads):
        return Trace.of(loads.load, loads.layer_ids, loads.num_hidden_layers)
    return Trace.of(loads)
