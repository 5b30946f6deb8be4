"""What may be opened on the disk, and writing that leaves a whole file or none."""

from __future__ import annotations

import os
import secrets
import shlex
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from eplb_opt.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PathLike = str | os.PathLike[str]

#: Text costs some ten times its size in memory while it is parsed.
MAX_TEXT_BYTES = 256 * 2**20
#: What an archive may claim to unpack to, and what a tensor may claim to hold.
MAX_UNPACKED_BYTES = 8 * 2**30
#: Bytes in memory for each byte of an array that is not packed: loads are widened to 64 bits.
PLAIN_RATIO = 8
#: What any file may claim, however small it is.
FREE_BYTES = 256 * 2**20
#: Beyond that, bytes in memory for each byte on the disk: ten times what recordings reach, and a
#: fifth of what zeros do.
MAX_RATIO = 200


@contextmanager
def naming(path: PathLike) -> Iterator[None]:
    """Put the file's name before the message of a FormatError."""
    try:
        yield
    except FormatError as error:
        raise type(error)(f"{os.fspath(path)}: {error}") from error


def open_checked(path: PathLike, *, folders: bool = False) -> Path:
    """The path of a regular file with something in it, or of a folder where those are taken.

    Raises
    ------
    FormatError
        When it is absent, not a file, unreadable or empty.
    """
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            Path(path).open("rb").close()
    except FileNotFoundError as error:
        raise FormatError("there is no such file; check the path.") from error
    except (OSError, ValueError) as error:
        raise FormatError(f"the file cannot be opened: {error}.") from error
    if stat.S_ISDIR(status.st_mode):
        if folders:
            return Path(path)
        raise FormatError("this is a directory; name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise FormatError("this is a pipe or a device; save it to a file first.")
    if status.st_size == 0:
        raise FormatError("the file is empty; was its writer interrupted?")
    return Path(path)


def check_writable(path: PathLike) -> None:
    """Raise before the work, not after it, where a file cannot be written.

    An empty file is made beside it and removed again; the file itself is not touched.

    Raises
    ------
    FormatError
        When the folder is absent or takes no files, the path is a folder itself, or the name is
        too long.
    """
    with _writing(path):
        target = Path(os.path.realpath(path))
        if not os.path.isdir(target.parent):
            raise FormatError(
                f"{os.fspath(path)}: there is no folder {target.parent}; make it first: "
                f"mkdir -p {shlex.quote(str(target.parent))}"
            )
        if _is_device(target):
            return
        temporary = _beside(target)
        temporary.open("xb").close()
        temporary.unlink()


def is_same_file(one: PathLike, other: PathLike) -> bool:
    """Whether two paths lead to one regular file, through whatever links, or would once made."""
    try:
        if os.path.samefile(one, other):
            return os.path.isfile(one)
    except (OSError, ValueError):  # one of them is not there yet
        pass
    real = os.path.realpath(one)
    return real == os.path.realpath(other) and not os.path.exists(real)


@contextmanager
def _writing(path: PathLike) -> Iterator[None]:
    """Say of an error of the system that this file cannot be written, and why."""
    try:
        yield
    except FormatError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FormatError(f"{os.fspath(path)}: cannot be written: {reason}.") from error


def _is_device(target: Path) -> bool:
    """Whether something is there that is no regular file, and no folder either.

    Raises
    ------
    FormatError
        When it is a folder.
    """
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise FormatError(f"{target}: this is a directory; name a file in it.")
    return not stat.S_ISREG(mode)


def _beside(target: Path) -> Path:
    """A name that nobody else takes, in the same folder: a rename is atomic in one alone."""
    return target.with_name(f".eplb-{os.getpid()}-{secrets.token_hex(4)}.tmp")


def check_claim(claimed: int, stored: int) -> None:
    """Compare what a file claims to hold with its size and with sense; nothing is unpacked yet.

    Parameters
    ----------
    claimed
        Bytes in memory.
    stored
        Bytes on the disk.

    Raises
    ------
    FormatError
        When it is too much.
    """
    if claimed <= PLAIN_RATIO * stored:
        return
    if claimed > MAX_UNPACKED_BYTES:
        raise FormatError(
            f"it claims {claimed} bytes; at most {MAX_UNPACKED_BYTES} are unpacked. Split the "
            "recording or sum its snapshots."
        )
    check_ratio(claimed, stored)


def check_ratio(claimed: int, stored: int) -> None:
    """Refuse what `check_claim` does, for a file that need not be in memory as a whole."""
    if claimed > max(FREE_BYTES, MAX_RATIO * stored):
        raise FormatError(
            f"{stored} bytes claim to be {claimed} unpacked, more than {MAX_RATIO} times as many; "
            "no recording is so even. If yours is, save it unpacked, as .npy."
        )


def read_text(path: Path) -> str:
    """The UTF-8 text of a file, without a byte order mark.

    Raises
    ------
    FormatError
        When it is too large or no text.
    """
    size = path.stat().st_size
    if size > MAX_TEXT_BYTES:
        raise FormatError(
            f"{size} bytes of text; at most {MAX_TEXT_BYTES} are read. Save it as .npz or .npy."
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"byte {error.start} is no UTF-8 text; the file is binary or in another encoding."
        ) from error
    if "\0" in text:
        raise FormatError("the text holds NUL characters; the file is binary or in UTF-16.")
    return text


def write_atomically(path: PathLike, content: bytes | Iterable[bytes]) -> None:
    """Write a file whole or not at all: the old one stays until the new one is on the disk.

    A symbolic link is followed; a device such as /dev/stdout is written to directly. Content that
    comes in pieces is never in memory as a whole.

    Raises
    ------
    FormatError
        When the system refuses; nothing is left behind.
    """
    with _writing(path):
        target = Path(os.path.realpath(path))
        if _is_device(target):
            with target.open("wb") as file:
                file.writelines(_pieces(content))
        else:
            _replace(target, content)


def _pieces(content: bytes | Iterable[bytes]) -> Iterable[bytes]:
    return [content] if isinstance(content, bytes) else content


def _replace(target: Path, content: bytes | Iterable[bytes]) -> None:
    temporary = _beside(target)
    try:
        with temporary.open("xb") as file:
            file.writelines(_pieces(content))
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
