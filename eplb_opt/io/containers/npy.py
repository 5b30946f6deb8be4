"""numpy's .npy: one array, never a pickle."""

from __future__ import annotations

import warnings
from io import BytesIO
from math import prod
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.files import check_claim
from eplb_opt.io.loads import Loads
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"\x93NUMPY"
#: Headers of plain arrays take some hundred bytes; more is read from no file.
MAX_HEADER_BYTES = 4_096

HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file; see `read_array`."""
    with path.open("rb") as file:
        size = path.stat().st_size
        return read_array(file, size, size)


def read_array(stream: IO[bytes], size: int, stored: int) -> np.ndarray:
    """The array in a stream that holds a .npy file.

    numpy reads it once the header's claims fit: numpy itself would allocate what a header asks for
    and read over what follows the array.

    Parameters
    ----------
    stream
        At its beginning; it can be sought.
    size
        Bytes it has, unpacked.
    stored
        Bytes it takes on the disk.

    Raises
    ------
    FormatError
        When the header is damaged, claims more or less than there is, or holds Python objects.
    """
    shape, _, dtype, start = parse_header(stream.read(MAX_HEADER_BYTES))
    check_size(shape, dtype, size - start)
    check_claim(prod(shape) * max(dtype.itemsize, 8), stored)
    stream.seek(0)
    try:
        return np.asarray(np.load(stream, allow_pickle=False))
    except ValueError as error:
        raise FormatError(f"the array cannot be read: {error}.") from error


def check_size(shape: tuple[int, ...], dtype: np.dtype[Any], there: int) -> None:
    """Refuse a header that claims another size than that of what follows it.

    Raises
    ------
    FormatError
        With both numbers of bytes.
    """
    claimed = prod(shape) * dtype.itemsize
    if claimed != there:
        raise FormatError(
            f"the header claims {claimed} bytes (shape {list(shape)}, {dtype}), {there} follow; "
            "the file is truncated or damaged: copy or save it again."
        )


def parse_header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, Fortran order, dtype and the number of header bytes, from a file's beginning.

    Raises
    ------
    FormatError
        When the header is damaged, or tells of Python objects or of an impossible shape.
    """
    stream = BytesIO(content[:MAX_HEADER_BYTES])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a damaged header may look like dubious Python
            version = np.lib.format.read_magic(stream)
            if version not in HEADER_READERS:
                raise FormatError(f"the .npy version {version} is unknown; save it again.")
            shape, fortran_order, dtype = HEADER_READERS[version](stream)
    except FormatError:
        raise
    except Exception as error:  # numpy parses the header as Python: anything may come out
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise FormatError(f"the .npy header is damaged ({reason}); save it again.") from error
    if dtype.hasobject:
        raise FormatError(
            "the array holds pickled Python objects, which are never loaded; save plain numbers."
        )
    if any(not isinstance(size, int) or size < 0 for size in shape):
        raise FormatError(f"the header claims the shape {shape}.")
    return shape, fortran_order, dtype, stream.tell()


def outline(content: bytes) -> np.ndarray:
    """An array of the shape and type that a file's beginning tells, without its memory."""
    shape, _, dtype, _ = parse_header(content)
    try:
        return np.broadcast_to(np.zeros((), dtype=dtype), shape)
    except (ValueError, MemoryError) as error:
        raise FormatError(f"the header claims the shape {shape} of {dtype}.") from error


def read_outline(path: Path) -> np.ndarray:
    """The outline of a file's array; see `outline`."""
    with path.open("rb") as file:
        return outline(file.read(MAX_HEADER_BYTES))


def loads_from_array(array: np.ndarray) -> Loads:
    """Loads of a bare array; a layer of zeros stays what it is."""
    return Loads(array)


def plan_from_array(array: np.ndarray) -> StoredPlan:
    """Expert ids of a bare array."""
    return StoredPlan(id_array(array, "the array"))


def npy_bytes(array: np.ndarray) -> bytes:
    """The bytes of a .npy file."""
    content = BytesIO()
    np.lib.format.write_array(content, np.asarray(array), version=(1, 0), allow_pickle=False)
    return content.getvalue()


def header_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """What stands before the values of a .npy file."""
    content = BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(
        content, {"shape": shape, "fortran_order": False, "descr": descr}
    )
    return content.getvalue()
