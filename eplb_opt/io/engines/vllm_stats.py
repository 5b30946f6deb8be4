"""vLLM's offline recording (not yet shipped): a line of JSON a step, loads of physical slots."""

from __future__ import annotations

import json
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.plain_json import parse_json
from eplb_opt.io.recordings.folding import Fold
from eplb_opt.io.recordings.recording import Recording
from eplb_opt.io.shapes import id_array

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eplb_opt.io.recordings.recording import Part, Progress
    from eplb_opt.io.recordings.trace import Trace

META, STATS = "eplb_load_meta", "eplb_load_stats"
#: A step of a thousand layers with a thousand slots takes some ten million characters.
MAX_LINE_BYTES = 32 * 2**20
#: In the first bytes of a file, whatever its name.
MARK = b'"record_type"'


def loads_from_vllm(path: Path) -> Recording:
    """The steps in the order of the file, which is read line by line."""
    return Recording(partial(_parts, path))


def _parts(path: Path, progress: Progress) -> Iterator[Part]:
    size, done, num_steps, num_layers = path.stat().st_size, 0, 0, None
    fold: Fold | None = None
    with path.open("rb") as file:
        for line_idx, line in enumerate(_lines(file)):
            done += len(line)
            record = _record(line, line_idx)
            if record.get("record_type") == META:
                num_layers = record.get("num_layers")
            elif record.get("record_type") == STATS:
                placed = id_array(record.get("p2l_map"), f"line {line_idx}: p2l_map")
                if num_layers not in (None, len(placed)):
                    raise FormatError(f"line {line_idx}: {len(placed)} layers, not {num_layers}.")
                if fold is None or not np.array_equal(fold.placed, placed):
                    fold = Fold(placed)
                yield num_steps, fold(record.get("expert_load"), f"line {line_idx}: expert_load")
                num_steps += 1
                progress(done, size)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise FormatError(f"a line has more than {MAX_LINE_BYTES} bytes; is this JSON lines?")
        if line.strip():
            yield line


def _record(line: bytes, line_idx: int) -> dict[str, Any]:
    try:
        record = parse_json(line.decode("utf-8-sig" if line_idx == 0 else "utf-8"))
    except (UnicodeDecodeError, FormatError) as error:
        raise FormatError(f"line {line_idx}: {error}") from error
    # Other kinds of records may stand between the steps; a newer version of these may not.
    if not isinstance(record, dict) or not isinstance(record.get("record_type"), str):
        raise FormatError(f"line {line_idx} has no record_type; this is no recording of vLLM's.")
    if record["record_type"] in (META, STATS) and record.get("version") != 1:
        raise FormatError(f"line {line_idx} has version {record.get('version')}; known: 1.")
    return record


def stats_chunks(trace: Trace) -> Iterator[bytes]:
    """The lines of a recording: every expert once, in its place, on one rank."""
    num_layers, num_experts = trace.shape[1:]
    placed = np.tile(np.arange(num_experts), (num_layers, 1)).tolist()
    meta = {
        "record_type": META,
        "version": 1,
        "model": "",
        "num_ranks": 1,
        "num_groups": 1,
        "num_nodes": 1,
        "num_layers": num_layers,
        "num_redundant_experts": 0,
    }
    yield (json.dumps(meta) + "\n").encode()
    step = 0
    for chunk in trace.chunks():
        for load in chunk.tolist():
            record = {"record_type": STATS, "version": 1, "step": step, "expert_load": load}
            yield (json.dumps(record | {"p2l_map": placed}) + "\n").encode()
            step += 1
