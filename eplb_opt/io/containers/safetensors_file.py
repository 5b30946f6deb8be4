"""safetensors: named tensors behind a header, each on the disk until it is asked for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError, import_optional
from eplb_opt.io.files import check_claim, naming, open_checked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Before the header stands its length, 8 bytes with the low one first; the header is JSON.
LENGTH_BYTES = 8


def import_safetensors() -> Any:
    """The package, or which extra brings it.

    Raises
    ------
    MissingDependency
        When it is not installed.
    """
    return import_optional("safetensors", "formats")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The package's own handle of a file.

    Raises
    ------
    FormatError
        When the file is damaged, with its name.
    """
    safe_open = import_safetensors().safe_open
    with naming(path.name):
        file = open_checked(path)
        try:
            tensors = safe_open(file, framework="np")
        except Exception as error:  # the package's own kind, and whatever the system says
            raise damaged(error) from error
        with tensors:
            yield tensors


def array_of(tensors: Any, key: str) -> np.ndarray:
    """A tensor's values.

    Raises
    ------
    FormatError
        When the file is damaged there, or the tensor holds no plain numbers.
    """
    try:
        array = np.asarray(tensors.get_tensor(key))
    except Exception as error:
        raise damaged(error) from error
    if array.dtype.kind not in "iuf":
        raise FormatError(f"{key} has type {array.dtype}; counts are numbers.")
    return array


def damaged(error: Exception) -> FormatError:
    """What to say of a file that the package cannot read."""
    reason = " ".join(str(error).split())[:160]
    return FormatError(f"safetensors cannot read it ({reason}); is it cut off?")


class Tensors:
    """What a file's header tells; values are read when they are asked for.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FormatError
        When it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with opened(path) as tensors:
            self.metadata: dict[str, str] = dict(tensors.metadata() or {})
            names = tensors.keys()  # the file is no dict
            self.shapes: dict[str, tuple[int, ...]] = {
                name: tuple(tensors.get_slice(name).get_shape()) for name in names
            }

    def __getitem__(self, key: str) -> np.ndarray:
        """The values of a tensor, which take no more than the file's size allows."""
        with opened(self._path) as tensors:
            check_claim(8 * int(np.prod(self.shapes[key])), self._path.stat().st_size)
            return array_of(tensors, key)


def is_safetensors(head: bytes) -> bool:
    """Whether a file's first bytes are a header's length and the beginning of a header."""
    length = int.from_bytes(head[:LENGTH_BYTES], "little")
    return head[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{" and 2 <= length < 2**32


def safetensors_bytes(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """A file of arrays by name."""
    save = import_optional("safetensors.numpy", "formats").save
    return bytes(save(arrays, metadata))
