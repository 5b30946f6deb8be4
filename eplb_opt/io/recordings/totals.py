"""What was recorded in sum, in the memory of a step or two."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from eplb_opt.io.containers.detect import container_of
from eplb_opt.io.files import PathLike, naming
from eplb_opt.io.read import parse_loads
from eplb_opt.io.recordings.recording import Recording, total_of
from eplb_opt.io.recordings.stream import streamed_array

if TYPE_CHECKING:
    from eplb_opt.io.loads import Loads
    from eplb_opt.io.recordings.recording import Progress


def read_total(
    path: PathLike,
    format: str | None = None,
    progress: Progress | None = None,
    *,
    model: str | None = None,
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
    model
        Name of one of the models, where the file holds several.

    Raises
    ------
    FormatError
        With the file, what was found and the mend.
    """
    with naming(path):
        trace = None if model else streamed_array(path, format)
        if trace is not None:
            total = trace.total(progress)
            name = format or container_of(Path(path))
        else:
            row, parsed = parse_loads(path, format, model)
            name, total = row.name, _total(parsed, progress)
    return replace(total, format=name, source=total.source or os.fspath(path))


def _total(parsed: Loads | Recording, progress: Progress | None) -> Loads:
    if isinstance(parsed, Recording):
        return total_of(parsed, progress)
    seen = parsed.watched()
    return replace(seen, load=seen.total[None])
