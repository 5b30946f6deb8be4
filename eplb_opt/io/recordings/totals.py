"""What was recorded in sum, in the memory of a step or two."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.io.containers.detect import container_of
from eplb_opt.io.files import PathLike, naming
from eplb_opt.io.loads import Loads
from eplb_opt.io.read import parse_loads
from eplb_opt.io.recordings.recording import Recording, added, no_progress, total_of
from eplb_opt.io.recordings.stream import streamed_array

#: A float sum below it is off by less than what is left up to 2**63.
SAFE_SUM = 2.0**62

if TYPE_CHECKING:
    from eplb_opt.io.recordings.recording import Progress
    from eplb_opt.io.recordings.stream import Trace


def read_total(
    path: PathLike, format: str | None = None, progress: Progress | None = None
) -> Loads:
    """The sum of a recording over its snapshots, as one snapshot.

    Parameters
    ----------
    path
        The file, or the folder with the files of all ranks.
    format
        A name of `LOAD_FORMATS`; by default from the content, then the extension.
    progress
        Called with the bytes read and the bytes there are.

    Raises
    ------
    FormatError
        With the file, what was found and the mend.
    """
    with naming(path):
        trace = streamed_array(path, format)
        if trace is not None:
            total = _trace_total(trace, progress or no_progress)
            name = format or container_of(Path(path))
        else:
            row, parsed = parse_loads(path, format)
            name, total = row.name, _total(parsed, progress)
    return replace(total, format=name, source=total.source or os.fspath(path))


def _total(parsed: Loads | Recording, progress: Progress | None) -> Loads:
    if isinstance(parsed, Recording):
        return total_of(parsed, progress)
    return replace(parsed, load=parsed.total[None])


def _summed(chunk: np.ndarray) -> np.ndarray:
    """The sum of some steps; a step at a time where integers may leave 64 bits."""
    if chunk.dtype.kind == "f" or chunk.sum(axis=0, dtype=np.float64).max() < SAFE_SUM:
        return np.asarray(chunk.sum(axis=0))
    return reduce(added, chunk)


def _trace_total(trace: Trace, progress: Progress) -> Loads:
    total: np.ndarray | None = None
    done = 0
    for chunk in trace.chunks():
        part = _summed(chunk)
        total = part if total is None else added(total, part)
        done += chunk.nbytes
        progress(done, chunk.nbytes // len(chunk) * trace.num_steps)
    return Loads(np.asarray(total)[None], trace.layer_ids, trace.num_hidden_layers)
