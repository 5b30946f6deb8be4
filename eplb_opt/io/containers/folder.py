"""A folder of files that make one recording."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb_opt.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

#: Far more than there are ranks.
MAX_FILES = 100_000


@dataclass(frozen=True)
class Folder:
    """What is in it, unread.

    Parameters
    ----------
    path
        The folder.
    names
        Names of the folder's regular files, sorted.
    """

    path: Path
    names: tuple[str, ...]

    def named(self, extension: str) -> list[str]:
        """The names that end so."""
        return [name for name in self.names if name.endswith(extension)]


def read_folder(path: Path) -> Folder:
    """The files of a folder.

    Raises
    ------
    FormatError
        When it cannot be listed.
    """
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    except OSError as error:
        raise FormatError(f"the directory cannot be read: {error}.") from error
    if len(names) > MAX_FILES:
        raise FormatError(f"the directory holds {len(names)} files; at most {MAX_FILES} are read.")
    return Folder(path, tuple(sorted(names)))


def no_recording(folder: Folder) -> FormatError:
    """What to say of a folder that holds none."""
    shown = ", ".join(folder.names[:4]) or "nothing"
    return FormatError(
        f"this is a directory with {shown}; it holds no dumps of SGLang or lmdeploy (*.pt), no "
        "TensorRT-LLM statistics (meta_info.json) and no tables of ranks (rank0.csv, ...). Name a "
        "file in it."
    )
