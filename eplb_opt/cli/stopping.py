"""Ctrl-C and its like in the middle of the work: the best so far is the answer."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: Signals from the keyboard, from a person or a batch system, from a terminal that is gone.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
#: A process that a signal ended has this exit code and the signal's number, as shells count.
SIGNAL_EXIT = 128
CUT_SHORT = "the result is the best that was found until then"


class Stopped(Exception):
    """The work was cut short by a signal, and what there was of it has been delivered.

    Parameters
    ----------
    number
        The signal's number.
    outcome
        What has become of the work.
    code
        The exit code; by default `SIGNAL_EXIT` and the signal's number.
    """

    def __init__(self, number: int, outcome: str = CUT_SHORT, code: int | None = None) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; {outcome}.")
        self.code = SIGNAL_EXIT + number if code is None else code


class Interruption:
    """What the signals have asked for.

    Attributes
    ----------
    event
        Set by the first signal; for `plan(stop=)`.
    number
        Number of the first signal; None where there was none.
    """

    def __init__(self) -> None:
        self.event = Event()
        self.number: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: the first one asks for the end, a second Ctrl-C ends the process."""
        if self.number is None:
            self.number = number
            self.event.set()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    def finish(self, outcome: str = CUT_SHORT, code: int | None = None) -> None:
        """Raise `Stopped` where a signal came; for the end, when all is written."""
        if self.number is not None:
            raise Stopped(self.number, outcome, code)


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Let signals end the work early, and no more than that; they mean what they did thereafter.

    A signal that the process was started to ignore (as by nohup) stays ignored. Outside the main
    thread, where Python takes no handlers, nothing changes.
    """
    asked = Interruption()
    before = {}
    try:
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, asked)
    except ValueError:  # another thread than the main one
        pass
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def leave(code: int) -> None:
    """End the process at once: turns of solvers under way would else be waited for."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    workers = sys.modules.get("eplb_opt.exact.milp_process")
    if workers is not None:
        workers.end_running()
    os._exit(code)
