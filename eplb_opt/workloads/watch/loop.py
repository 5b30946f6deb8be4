"""Round after round, until somebody asks for the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from eplb_opt.workloads.watch.rounds import Round, Watch

#: Seconds between two looks at `stop`. `Event.wait` would look at once, but a signal handler that
#: sets the event while the same thread is entering the wait stops both for ever.
GLANCE = 0.2


def pause(seconds: float, stop: Event) -> None:
    """Wait so long, or until `stop` is set."""
    end = time.monotonic() + seconds
    while not stop.is_set() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, GLANCE))


def run(
    watch: Watch,
    every: float,
    stop: Event,
    tell: Callable[[Round], object],
    wait: Callable[[float, Event], object] = pause,
) -> None:
    """Make rounds until `stop` is set.

    Parameters
    ----------
    watch
        What is watched.
    every
        Seconds from the end of a round to the beginning of the next one.
    stop
        Set by whoever wants the end; a plan under way is given up.
    tell
        Called with every round that is done.
    wait
        Waits so many seconds, or until the event is set; for tests.
    """
    while not stop.is_set():
        tell(watch.round(stop))
        wait(every, stop)
