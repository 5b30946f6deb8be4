"""Fingerprints of files: whether two are the same, without comparing them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from eplb_opt.errors import FormatError

if TYPE_CHECKING:
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
