"""Arrays in .npy files and .npz members, read a few steps (along the first axis) at a time."""

from __future__ import annotations

import os
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.npy import MAX_HEADER_BYTES, check_size, parse_header
from eplb_opt.io.containers.npz import ZIP_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: A larger step is left to the reader of whole files, which compares it with what there is.
MAX_STEP_BYTES = 2**30


@dataclass(frozen=True)
class StepHeader:
    """Shape, type and place of the values of an array whose steps lie one after the other.

    Parameters
    ----------
    shape
        (num_steps, ...): two more dimensions.
    dtype
        Of the values.
    start
        Bytes before them.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    start: int


def step_header(stream: IO[bytes], size: int) -> StepHeader | None:
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
    return StepHeader((shape[0], shape[1], shape[2]), dtype, start)


@contextmanager
def taking(
    path: Path, member: str | None, header: StepHeader
) -> Iterator[Callable[[int], np.ndarray]]:
    """A call that takes a number of steps and reads them, in the order of the file.

    Parameters
    ----------
    path
        The file.
    member
        The member of an archive; None for a .npy file.
    header
        What `step_header` has told of it.

    Yields
    ------
    Callable
        Steps [num, ...]; a FormatError where the file ends early or is damaged.
    """
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
