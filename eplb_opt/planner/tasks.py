"""Whole calls as tasks of an executor: the sizes of a sweep, the rows of a suite.

`remote` does the same for the turns within one call.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import BrokenExecutor, Future, TimeoutError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eplb_opt.core.parts import cores
from eplb_opt.planner.remote import words_of
from eplb_opt.planner.worker import sendable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor as Pool
    from threading import Event

#: Tasks that are handed out for each worker: one at work, others so that it need not wait.
AHEAD = 3
#: How often somebody who waits for a task looks whether the end was asked for.
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class LostTask:
    """Stands for what a task would have brought, had its worker not been lost twice.

    Parameters
    ----------
    words
        What happened.
    """

    words: str


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What a task brought, or what it raised."""

    value: Any = None
    error: Exception | None = None


def each_done(
    function: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    executor: Pool | None = None,
    stop: Event | None = None,
) -> Iterator[Any]:
    """What a function makes of each of its arguments, in their order, as it is there.

    Parameters
    ----------
    function
        With an executor, one that can be imported; so is its result pickled, and its arguments.
    tasks
        The arguments of each call.
    executor
        Where the calls run; by default here, one after the other. A task whose worker is lost is
        given to another one, or is done here where the executor itself is broken; one that is lost
        twice comes back as `LostTask`.
    stop
        Once it is set, no more comes: what was not begun is taken back.

    Raises
    ------
    Exception
        What the function raises.
    """
    if executor is None:
        for task in tasks:
            if stop is not None and stop.is_set():
                return
            yield function(*task)
        return
    yield from _Window(executor, function, tasks, stop).results()


class _Window:
    """The tasks that are handed out, a part of all, in their order."""

    def __init__(
        self,
        executor: Pool,
        function: Callable[..., Any],
        tasks: Sequence[tuple[Any, ...]],
        stop: Event | None,
    ) -> None:
        self.executor, self.function, self.tasks, self.stop = executor, function, tasks, stop
        workers = getattr(executor, "num_cpus", None) or getattr(executor, "_max_workers", None)
        self.most = AHEAD * (workers or cores())
        self.is_broken = False

    def results(self) -> Iterator[Any]:
        """See `each_done`."""
        sent: deque[tuple[int, Future[_Outcome]]] = deque()
        left = iter(range(len(self.tasks)))
        try:
            while True:
                while len(sent) < self.most and (idx := next(left, None)) is not None:
                    sent.append((idx, self._send(idx)))
                if not sent:
                    return
                idx, future = sent.popleft()
                outcome = self._outcome(idx, future)
                if outcome is None:
                    return
                if outcome.error is not None:
                    raise outcome.error
                yield outcome.value
        finally:
            for _, future in sent:
                future.cancel()

    def _send(self, idx: int) -> Future[_Outcome]:
        if not self.is_broken:
            try:
                return self.executor.submit(_done, self.function, self.tasks[idx])
            except Exception:  # shut down or broken
                self.is_broken = True
        here: Future[_Outcome] = Future()
        here.set_result(_done(self.function, self.tasks[idx]))
        return here

    def _outcome(self, idx: int, future: Future[_Outcome]) -> _Outcome | None:
        """What became of a task; None once the end is asked for."""
        for is_last in (False, True):
            while self.stop is None or not self.stop.is_set():
                try:
                    return future.result(None if self.stop is None else LOOK_SECONDS)
                except TimeoutError:
                    if not future.done():
                        continue
                    error: BaseException = TimeoutError()
                except Exception as lost:
                    error = lost
                break
            else:
                future.cancel()
                return None
            if is_last:
                return _Outcome(LostTask(f"its worker was lost twice ({words_of(error)})"))
            self.is_broken |= isinstance(error, BrokenExecutor)
            future = self._send(idx)
        return None


def _done(function: Callable[..., Any], arguments: tuple[Any, ...]) -> _Outcome:
    """Call the function; what it raises travels as data, unlike what befalls a worker."""
    try:
        return _Outcome(function(*arguments))
    except Exception as error:
        return _Outcome(error=sendable(error))
