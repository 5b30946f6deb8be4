"""Long recordings from the disk, a few steps at a time."""

from __future__ import annotations

import os
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.detect import container_of
from eplb_opt.io.containers.npy import MAX_HEADER_BYTES, check_size, parse_header
from eplb_opt.io.containers.npz import ZIP_ERRORS, Archive, has_loads, load_key, opened
from eplb_opt.io.files import PathLike, check_ratio, naming, open_checked
from eplb_opt.io.loads import checked_layer_ids
from eplb_opt.io.read import parse_loads
from eplb_opt.io.recordings.recording import Recording
from eplb_opt.io.recordings.spool import Spool
from eplb_opt.io.recordings.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from eplb_opt.io.recordings.recording import Progress

#: A larger step is left to the reader of whole files, which compares it with what there is.
MAX_STEP_BYTES = 2**30


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
        header = _header(file, path.stat().st_size)
    if header is None:
        return None
    layer_ids = checked_layer_ids((), header.shape[1])
    return Trace(header.shape, partial(_streamed, path, None, header), layer_ids)


def _npz_trace(path: Path) -> Trace | None:
    arrays = Archive(path)
    name = f"{load_key(arrays if has_loads(arrays) else arrays.outlines())}.npy"
    with opened(path) as archive, archive.open(name) as member:
        info = archive.getinfo(name)
        check_ratio(info.file_size, info.compress_size)
        header = _header(member, info.file_size)
    if header is None:
        return None
    return Trace(
        header.shape,
        partial(_streamed, path, name, header),
        checked_layer_ids(arrays.layer_ids(), header.shape[1]),
        arrays.scalar("num_hidden_layers"),
    )


STREAMED: dict[str, Callable[[Path], Trace | None]] = {"npy": _npy_trace, "npz": _npz_trace}


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    start: int


def _header(stream: IO[bytes], size: int) -> _Header | None:
    """Where the steps of a .npy begin; None where they do not lie one after the other.

    Raises
    ------
    FormatError
        When the header is damaged or claims another size than there is.
    """
    shape, fortran_order, dtype, start = parse_header(stream.read(MAX_HEADER_BYTES))
    if len(shape) != 3 or fortran_order or 0 in shape or 8 * prod(shape[1:]) > MAX_STEP_BYTES:
        return None
    check_size(shape, dtype, size - start)
    return _Header((shape[0], shape[1], shape[2]), dtype, start)


@contextmanager
def _streamed(
    path: Path, member: str | None, header: _Header
) -> Iterator[Callable[[int], np.ndarray]]:
    step_bytes = prod(header.shape[1:]) * header.dtype.itemsize

    def take(num: int) -> np.ndarray:
        content = _read(path, stream, num * step_bytes)
        return np.frombuffer(content, dtype=header.dtype).reshape(num, *header.shape[1:])

    with _binary(path, member) as stream:
        _read(path, stream, header.start)
        yield take


@contextmanager
def _binary(path: Path, member: str | None) -> Iterator[IO[bytes]]:
    if member is None:
        with path.open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
        yield stream


def _read(path: Path, stream: IO[bytes], num_bytes: int) -> bytes:
    try:
        content = stream.read(num_bytes)
    except ZIP_ERRORS as error:
        raise FormatError(
            f"{os.fspath(path)}: damaged ({error}); copy or save it again."
        ) from error
    if len(content) != num_bytes:
        raise FormatError(f"{os.fspath(path)}: the file ends early; copy or save it again.")
    return content
