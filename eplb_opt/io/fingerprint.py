"""Fingerprints of files and of values: whether two are the same, without comparing them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.io.files import PathLike


def fingerprint(path: PathLike) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits.

    Parameters
    ----------
    path
        A file; or a folder, whose fingerprint is that of the list of its files' names and
        fingerprints, as `sha256sum * | sha256sum` prints it where names are plain.

    Raises
    ------
    FormatError
        When it cannot be read.
    """
    try:
        if not os.path.isdir(path):
            return _of_file(Path(path))
        names = sorted(entry.name for entry in os.scandir(path) if entry.is_file())
        lines = [f"{_of_file(Path(path, name))}  {name}\n" for name in names]
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    except OSError as error:
        raise FormatError(f"{os.fspath(path)}: cannot be read: {error.strerror}.") from error


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def value_fingerprint(value: Any) -> str:
    """The SHA-256 of a value, 64 hexadecimal digits, the same on every machine.

    Parameters
    ----------
    value
        None, a number, a text, an array; lists, mappings and dataclasses of such. Of a dataclass
        the fields count that its `repr` shows.

    Raises
    ------
    TypeError
        For anything else.
    """
    digest = hashlib.sha256()
    for part in _parts(value):
        # With its length before it, no part runs into the next.
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    """What is hashed of a value; a float by its exact hexadecimal digits."""
    if value is None or isinstance(value, bool | int | str | Fraction):
        yield f"{type(value).__name__} {value}".encode()
    elif isinstance(value, float):
        yield f"float {value.hex()}".encode()
    elif isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        yield f"array {array.dtype.str} {value.shape}".encode()
        yield array.tobytes()
    elif isinstance(value, np.generic):
        yield from _parts(np.asarray(value))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _parts({f.name: getattr(value, f.name) for f in fields(value) if f.repr})
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for name in sorted(value):
            yield from _parts(name)
            yield from _parts(value[name])
    elif isinstance(value, list | tuple):
        yield f"list {len(value)}".encode()
        for each in value:
            yield from _parts(each)
    else:
        raise TypeError(f"{type(value).__name__} has no fingerprint.")
