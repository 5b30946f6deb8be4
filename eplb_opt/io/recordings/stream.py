"""Long recordings from the disk, a few steps at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from eplb_opt.io.containers.detect import container_of
from eplb_opt.io.containers.npz import Archive, has_loads, has_tokens, load_key, opened
from eplb_opt.io.containers.steps import step_header, taking
from eplb_opt.io.files import PathLike, check_ratio, naming, open_checked
from eplb_opt.io.loads import checked_layer_ids
from eplb_opt.io.read import parse_loads
from eplb_opt.io.recordings.recording import Recording
from eplb_opt.io.recordings.spool import Spool
from eplb_opt.io.recordings.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eplb_opt.io.recordings.recording import Progress


def open_trace(
    path: PathLike,
    format: str | None = None,
    progress: Progress | None = None,
    *,
    model: str | None = None,
) -> Trace:
    """A recording of [num_steps, num_layers, num_experts] loads.

    A .npy file or a member of an .npz archive is read as it is walked through, whatever its size.
    The engines' recordings are first put in order in a temporary file, a step at a time; other
    formats are read whole.

    Parameters
    ----------
    path
        The file, or the folder with the files of all ranks.
    format
        A name of `LOAD_FORMATS`; by default from the content, then the extension.
    progress
        Called with the bytes read and the bytes there are, while a recording is put in order.
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
            return trace
        _, parsed = parse_loads(path, format, model)
        if isinstance(parsed, Recording):
            return _spooled(parsed, progress)
        return Trace.of(parsed.load, parsed.layer_ids, parsed.num_hidden_layers)


def streamed_array(path: PathLike, format: str | None = None) -> Trace | None:
    """A .npy or .npz whose steps lie one after the other; None for all others."""
    file = open_checked(path, folders=True)
    container = container_of(file) if format is None else format
    return STREAMED[container](file) if container in STREAMED else None


def _spooled(recording: Recording, progress: Progress | None) -> Trace:
    spool = Spool.of(recording, progress)
    num_steps, num_rows, num_experts = spool.shape
    if recording.layer_ids is not None:
        return Trace(spool.shape, spool.taking, recording.layer_ids)
    first = spool.first_moe_layer()
    shape = (num_steps, num_rows - first, num_experts)
    return Trace(shape, partial(spool.taking, first), tuple(range(first, num_rows)), num_rows)


def _npy_trace(path: Path) -> Trace | None:
    with path.open("rb") as file:
        header = step_header(file, path.stat().st_size)
    if header is None:
        return None
    layer_ids = checked_layer_ids((), header.shape[1])
    return Trace(header.shape, partial(taking, path, None, header), layer_ids)


def _npz_trace(path: Path) -> Trace | None:
    arrays = Archive(path)
    if has_tokens(arrays):
        return None  # their sum is read by `eplb_opt.io.recordings.token_files`
    name = f"{load_key(arrays if has_loads(arrays) else arrays.outlines())}.npy"
    with opened(path) as archive, archive.open(name) as member:
        info = archive.getinfo(name)
        check_ratio(info.file_size, info.compress_size)
        header = step_header(member, info.file_size)
    if header is None:
        return None
    return Trace(
        header.shape,
        partial(taking, path, name, header),
        checked_layer_ids(arrays.layer_ids(), header.shape[1]),
        arrays.scalar("num_hidden_layers"),
    )


STREAMED: dict[str, Callable[[Path], Trace | None]] = {"npy": _npy_trace, "npz": _npz_trace}
