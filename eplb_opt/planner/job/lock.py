"""The lock of a job directory: a file that names the process at work in it."""

from __future__ import annotations

import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

from eplb_opt.errors import ProblemError

NAME = "lock"


class Lock:
    """One process's hold of a directory; made by `take`.

    Parameters
    ----------
    path
        The lock file.
    content
        What this process has written to it.
    stale
        Whose lock was there before and is void, in words; empty where there was none.
    """

    def __init__(self, path: Path, content: str, stale: str) -> None:
        self.path, self.content, self.stale = path, content, stale

    @classmethod
    def take(cls, folder: Path) -> Lock:
        """Lock a directory.

        Parameters
        ----------
        folder
            The directory; it must exist.

        Raises
        ------
        ProblemError
            When another process is at work there, or on another machine one may be.
        OSError
            When the system refuses.
        """
        path = folder / NAME
        content = json.dumps(_this_process())
        # A link puts the whole content there at once, and fails where the name is taken.
        draft = folder / f".lock-{os.getpid()}-{secrets.token_hex(4)}.tmp"
        draft.write_text(content)
        try:
            stale = ""
            for _ in range(3):
                try:
                    _put(draft, path)
                except FileExistsError:
                    stale = _remove_stale(path) or stale
                else:
                    return cls(path, content, stale)
        finally:
            draft.unlink(missing_ok=True)
        raise ProblemError(f"{folder}: others take the lock all the time; try again.")

    def release(self) -> None:
        """Take the file away, if it is still this process's."""
        try:
            if self.path.read_text() == self.content:
                self.path.unlink()
        except (OSError, ValueError):  # somebody has taken it away by hand
            pass


def _put(draft: Path, path: Path) -> None:
    """Give a file its name where nobody has taken that; raises FileExistsError otherwise."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: there is a moment in which the file is empty
        with path.open("x") as file:
            file.write(draft.read_text())


def _remove_stale(path: Path) -> str:
    """Take away the lock of a process that is gone, and say whose it was.

    Raises
    ------
    ProblemError
        When its process is at work, or nobody can tell.
    """
    try:
        content = path.read_text()
    except FileNotFoundError:
        return ""
    except ValueError:
        content = ""
    owner = _owner(content)
    mend = f"If it is gone, remove {path}."
    if owner is None:
        raise ProblemError(f"{path} is no lock that says whose it is. {mend}")
    words = f"process {owner['pid']} on {owner['host']}"
    if owner["host"] != socket.gethostname():
        raise ProblemError(
            f"{path.parent} is locked by {words}, another machine, so that nobody here can tell "
            f"whether it is at work. {mend}"
        )
    if _is_alive(owner):
        raise ProblemError(
            f"{path.parent} is locked by {words}, which is at work in it. Wait for its end or take "
            "another directory."
        )
    # Others may see the same stale lock: what is taken away must be what was read.
    grave = path.with_name(f".lock-{os.getpid()}-{secrets.token_hex(4)}.old")
    try:
        path.rename(grave)
    except FileNotFoundError:
        return ""
    is_same = grave.read_text() == content
    if not is_same:
        _put(grave, path)
    grave.unlink()
    return words if is_same else ""


def _this_process() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "began": _began(pid)}


def _owner(content: str) -> dict[str, Any] | None:
    try:
        owner = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(owner, dict) or not isinstance(owner.get("host"), str):
        return None
    return owner if type(owner.get("pid")) is int and owner["pid"] > 0 else None


def _is_alive(owner: dict[str, Any]) -> bool:
    """Whether the process of a lock runs; one that has only got its number does not count."""
    pid = owner["pid"]
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's, and so it is there
        pass
    return _began(pid) == owner.get("began")


def _began(pid: int) -> int | None:
    """When a process began, in the system's own count; None where it does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
