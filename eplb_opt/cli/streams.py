"""stdout and stderr that may be full, closed, or of another encoding."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The exit code of a program that SIGPIPE kills: 128 and the signal's number, on every Unix.
BROKEN_PIPE = 141


class OutputError(Exception):
    """The results cannot be printed.

    Parameters
    ----------
    error
        The system's error.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"the results cannot be printed to stdout: {error.strerror or error}.")
        self.is_broken_pipe = error.errno == errno.EPIPE


class Guarded:
    """A stream of text like another one, whose failures do not end in a traceback.

    Parameters
    ----------
    stream
        The other one; None where it is closed.
    is_vital
        Whether a failure is an `OutputError`; else what cannot be written is dropped without a
        word: there is no other place to say so.
    """

    def __init__(self, stream: Any, is_vital: bool) -> None:
        self._stream, self._is_vital = stream, is_vital

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As of a stream of text."""
        return self._try("write", text) or len(text)

    def flush(self) -> None:
        """As of a stream of text."""
        self._try("flush")

    def isatty(self) -> bool:
        """Whether a person looks on."""
        return self._stream is not None and bool(self._stream.isatty())

    def _try(self, method: str, *arguments: str) -> Any:
        if self._stream is None:
            if self._is_vital and arguments and arguments[0]:
                raise OutputError(OSError(errno.EBADF, "it is closed"))
            return None
        try:
            return getattr(self._stream, method)(*arguments)
        except (OSError, ValueError) as error:  # ValueError of a stream that Python has closed
            self._give_up()
            if self._is_vital:
                raise OutputError(_as_system_error(error)) from error
            return None

    def _give_up(self) -> None:
        """Send what is buffered nowhere, or Python would fail on it once more when it ends."""
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            self._stream.flush()


def _as_system_error(error: Exception) -> OSError:
    return error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))


@contextmanager
def guarded() -> Iterator[None]:
    """Both streams guarded while a command runs, and as they were thereafter.

    Characters that stdout's encoding lacks are escaped.
    """
    _occupy_closed()
    before: tuple[Any, Any] = (sys.stdout, sys.stderr)
    for stream in before:
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = Guarded(before[0], True), Guarded(before[1], False)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _occupy_closed() -> None:
    """Put something under the numbers of closed streams, or files opened later would take them.

    What a library then writes to stdout would go into such a file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
