"""Executors that tests break in one way or another, and stages that travel to workers."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path

from eplb_opt.clock import Pace
from eplb_opt.planner import worker
from eplb_opt.solver import Answer, Verdict


@dataclass
class HerePool(Executor):
    """Takes every turn at once, in the caller's thread."""

    #: Called with the arguments of `worker.take_turn`; may change them or raise.
    before: object = None

    def submit(self, function, /, *arguments, **keywords):
        future = Future()
        try:
            if self.before is not None:
                arguments = self.before(*arguments)
            future.set_result(function(*arguments, **keywords))
        except Exception as error:
            future.set_exception(error)
        return future


class SilentPool(Executor):
    """Takes turns, and nothing ever comes back."""

    def submit(self, function, /, *arguments, **keywords):
        future = Future()
        future.set_running_or_notify_cancel()
        return future


def forgetting(*arguments):
    """Every turn comes to a worker that has never heard of the call."""
    worker._calls.clear()
    return arguments


@dataclass(frozen=True)
class TravellingStage:
    """A stage that can be pickled: its solver is this object."""

    name: str
    pace: Pace = field(default_factory=Pace)
    all_at_first: bool = False
    package: str | None = None
    #: Where it notes its turns, a line each.
    notes: str = ""
    kills: str = ""
    seconds: float = 0.0
    error: Exception | None = None
    verdict: Verdict = Verdict.FINISHED

    @property
    def solver(self):
        return self.name

    def make(self, problem, options):
        return self

    def solve(self, task):
        """Kill the worker at the first turn of all, if that is asked for; else note the turn."""
        if self.notes:
            with open(self.notes, "a") as file:
                file.write(f"{task.layer_idx} {os.getpid()}\n")
        if self.kills and not Path(self.kills).exists():
            Path(self.kills).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return Answer(task.start[::-1].copy(), verdict=self.verdict)
