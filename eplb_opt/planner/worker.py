"""What runs on a worker: turns that come from a call in another process, maybe on another machine.

A turn travels as a `Parcel`, in bytes, and comes back as a `Delivery`. Both are pickles between our
own processes; nothing that was ever a file is read so. The versions of both ends are compared
before the parcel is opened. Solvers stay on the worker: a later turn on the same layer goes on from
them where it happens to come to the same worker. Elsewhere a new solver begins, from the best plan
and bound so far, which every task carries. Under `effort` that makes no difference, for a turn's
answer depends on its task alone.
"""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from eplb_opt.clock import Deadline
from eplb_opt.planner.executor import LayerSolvers, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eplb_opt.planner.schedule import Stage
    from eplb_opt.solver import Answer, Options, Task

#: Packages of which another version may give another answer.
PACKAGES = ("eplb-opt", "numpy", "ortools")
ABSENT = "absent"
#: Calls whose solvers a worker keeps; the call that was longest without a turn is dropped first.
MAX_CALLS = 4


@dataclass(frozen=True, eq=False)
class Parcel:
    """A turn on its way to a worker.

    Parameters
    ----------
    call
        The name of the call that it belongs to; no other call has it.
    options
        What the call asks of all its solvers.
    stage
        Whose turn it is.
    task
        The task; its deadlines mean nothing away from the clock that they were read from.
    seconds, call_seconds
        Seconds until the end of the turn and of the call when the parcel was sent; infinity for
        none.
    sent
        The time then, in seconds of `time.monotonic`.
    clock
        Names the clock that `sent` was read from; see `clock_name`.
    """

    call: str
    options: Options
    stage: Stage
    task: Task
    seconds: float
    call_seconds: float
    sent: float
    clock: str

    @classmethod
    def of(cls, call: str, options: Options, turn: Turn, reserve: float = 0.0) -> Parcel:
        """The parcel of a turn.

        Parameters
        ----------
        call, options
            The parcel's own.
        turn
            The turn, with deadlines of this process.
        reserve
            Seconds before the end of the call at which the turn ends, so that its answer is in
            time.
        """
        task = turn.task
        call_seconds = max(task.call_deadline.remaining - reserve, 0.0)
        return cls(
            call,
            options,
            turn.stage,
            replace(task, deadline=Deadline(), call_deadline=Deadline()),
            min(task.deadline.remaining, call_seconds),
            call_seconds,
            time.monotonic(),
            clock_name(),
        )

    def turn(self) -> Turn:
        """The turn, with deadlines of the process that opens the parcel.

        What the parcel has waited is known where both ends read the same clock; elsewhere the
        seconds count from now.
        """
        began = self.sent if self.clock == clock_name() else time.monotonic()
        ends = [Deadline(began + seconds) for seconds in (self.seconds, self.call_seconds)]
        return Turn(self.stage, replace(self.task, deadline=ends[0], call_deadline=ends[1]))


@dataclass(frozen=True, eq=False)
class Delivery:
    """What comes back from a worker.

    Parameters
    ----------
    answer
        The solver's answer, or None.
    error
        What the solver raised, or None.
    differs
        In what versions the worker differs from the call, in words; empty where it does not.
        Under counted work the turn was not taken then.
    seconds
        Seconds that the worker spent on it.
    """

    answer: Answer | None = None
    error: Exception | None = None
    differs: str = ""
    seconds: float = 0.0


#: The solvers of the calls that this process works for. Turns of threads may come at once.
_calls: OrderedDict[str, LayerSolvers] = OrderedDict()
_lock = threading.Lock()


def take_turn(versions: Mapping[str, str], is_counted: bool, parcel: bytes) -> Delivery:
    """Take one turn; all that goes wrong within it is part of what comes back.

    Parameters
    ----------
    versions
        `versions()` of the process that sends it.
    is_counted
        Whether work is counted: a worker with other versions then takes no turn, for its answer may
        be another.
    parcel
        A pickled `Parcel`.
    """
    began = time.monotonic()
    differs = difference(versions, installed_versions())
    if differs and is_counted:
        return Delivery(differs=differs)
    try:
        found: Parcel = pickle.loads(parcel)
        answer = _solvers_of(found).solve(found.turn())
    except Exception as error:
        return Delivery(None, sendable(error), differs, time.monotonic() - began)
    return Delivery(answer, None, differs, time.monotonic() - began)


def _solvers_of(parcel: Parcel) -> LayerSolvers:
    with _lock:
        solvers = _calls.get(parcel.call)
        if solvers is None:
            solvers = _calls[parcel.call] = LayerSolvers(parcel.options)
            while len(_calls) > MAX_CALLS:
                _calls.popitem(last=False)
        _calls.move_to_end(parcel.call)
        return solvers


def forget(call: str) -> None:
    """Drop the solvers of a call that is over, as far as they are in this process."""
    with _lock:
        _calls.pop(call, None)


def sendable(error: Exception) -> Exception:
    """The error, or one of the same name and text where it cannot be pickled."""
    try:
        copy = pickle.loads(pickle.dumps(error))
        if type(copy) is type(error) and str(copy) == str(error):
            return error
    except Exception:  # pickling may raise anything; the words below go in its place
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")


@cache
def installed_versions() -> dict[str, str]:
    """The versions, in this process, of the packages that answers depend on."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ABSENT


def difference(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """In what a worker's versions differ from those of the call, in words; empty if in nothing.

    >>> difference({"numpy": "2.1.0", "ortools": "9.15"}, {"numpy": "2.4.6", "ortools": "9.15"})
    'numpy 2.4.6 instead of 2.1.0'
    """
    return ", ".join(
        f"{name} {ours.get(name, ABSENT)} instead of {wanted}"
        for name, wanted in theirs.items()
        if ours.get(name, ABSENT) != wanted
    )


@cache
def clock_name() -> str:
    """A name that two processes share where `time.monotonic` means the same to both of them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/time')}"
    except OSError:  # not Linux, or an old one: nobody else reads this process's clock
        return f"{socket.gethostname()} {os.getpid()}"
