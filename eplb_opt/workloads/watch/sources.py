"""The recordings that are watched: files, folders and patterns, looked up at every round."""

from __future__ import annotations

import fnmatch
import glob
import os
from dataclasses import dataclass
from pathlib import Path

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.detect import CONTAINERS
from eplb_opt.io.containers.folder import read_folder
from eplb_opt.io.files import naming
from eplb_opt.io.read import LOAD_FORMATS

#: Path, bytes, and nanoseconds of the last change: of a file, or of every file in a folder.
Stamp = tuple[str, int, int]
#: Names that a recording can have in a folder where other things may lie, too.
EXTENSIONS = frozenset(
    extension for row in LOAD_FORMATS for extension in CONTAINERS[row.container].extensions
)


@dataclass(frozen=True)
class Sources:
    """What was named on the command line.

    Parameters
    ----------
    named
        A file; a folder that is one recording, such as the dumps of all ranks; any other folder,
        in which every file is a recording; or a pattern with *, ? or [].
    newest
        The number of recordings that count in a folder of recordings, or among those that match a
        pattern: the last ones changed. Files that are named all count.

    Raises
    ------
    FormatError
        When nothing is named, or `newest` is below 1.
    """

    named: tuple[Path, ...]
    newest: int = 1

    def __post_init__(self) -> None:
        if not self.named:
            raise FormatError("no recordings are named.")
        if self.newest < 1:
            raise FormatError(f"newest={self.newest} must be at least 1.")

    def recordings(self) -> list[Path]:
        """The recordings that count now, in the order of `named`, older ones first.

        Raises
        ------
        FormatError
            When there is none behind one of the names.
        """
        found = [path for name in self.named for path in self._behind(name)]
        return list(dict.fromkeys(found))

    def check_apart(self, written: Path) -> None:
        """Refuse a file to be written that would be taken for a recording.

        Raises
        ------
        FormatError
            With the file, the source and the mend.
        """
        target = os.path.abspath(written)
        for name in self.named:
            pattern = os.path.abspath(name)
            is_inside = name.is_dir() and os.path.dirname(os.path.realpath(target)) == (
                os.path.realpath(name)
            )
            if is_inside or (is_pattern(name) and fnmatch.fnmatch(target, pattern)):
                raise FormatError(
                    f"{written} would be taken for one of the recordings {name}; write it to "
                    "another folder."
                )

    def _behind(self, name: Path) -> list[Path]:
        if name.is_dir():
            return [name] if is_one_recording(name) else self._last_changed(_files_in(name), name)
        if not is_pattern(name):
            return [name]
        matching = map(Path, glob.glob(str(name), recursive=True))
        return self._last_changed(
            [path for path in matching if path.is_file() or is_one_recording(path)], name
        )

    def _last_changed(self, paths: list[Path], name: Path) -> list[Path]:
        if not paths:
            raise FormatError(f"{name}: there are no recordings yet.")
        # Two of the same moment are taken by their names, which often hold the time.
        paths.sort(key=lambda path: (max(stamp[2] for stamp in stamps_of(path)), str(path)))
        return paths[-self.newest :]


def is_pattern(name: Path) -> bool:
    """Whether a name has *, ? or [] and no file is called so: it stands for what matches it."""
    return glob.has_magic(str(name)) and not name.exists()


def is_one_recording(path: Path) -> bool:
    """Whether a folder's files make one recording, as those of all ranks do."""
    if not path.is_dir():
        return False
    with naming(path):
        folder = read_folder(path)
    return any(row.container == "folder" and row.recognises(folder) for row in LOAD_FORMATS)


def stamps_of(path: Path) -> list[Stamp]:
    """What changes when a recording does, and costs no reading.

    Raises
    ------
    FormatError
        When it is not there.
    """
    with naming(path):
        try:
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            seen = [(str(file), file.stat()) for file in files]
        except FileNotFoundError as error:
            raise FormatError("there is no such file; check the path.") from error
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror}.") from error
        if not seen:
            raise FormatError("the folder is empty.")
    return [(name, status.st_size, status.st_mtime_ns) for name, status in seen]


def _files_in(folder: Path) -> list[Path]:
    """Files that may be recordings; neither hidden ones nor what is half-written beside them."""
    with naming(folder):
        names = read_folder(folder).names
    return [
        folder / name
        for name in names
        if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
    ]
