"""Turns on the workers of any `concurrent.futures.Executor`, with what is lost taken again."""

from __future__ import annotations

import os
import pickle
import secrets
import socket
import time
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from concurrent.futures import Executor as Pool
from dataclasses import replace
from typing import TYPE_CHECKING

from eplb_opt.core.parts import cores
from eplb_opt.errors import ProblemError
from eplb_opt.planner import worker
from eplb_opt.planner.executor import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.planner.executor import LayerSolvers
    from eplb_opt.planner.worker import Delivery
    from eplb_opt.solver import Answer

#: A turn ends before the call by what a delivery takes on its way, and by no more than this part
#: of what is left.
MAX_RESERVE_SHARE = 0.2
#: How fast the longest way seen so far is forgotten, a factor for each delivery.
FORGETTING = 0.9
#: Characters that a message quotes of somebody else's error.
MAX_WORDS = 200


class WorkersDiffer(ProblemError):
    """The workers have other versions than the call, and counted work promises one answer."""


class LostTurn(RuntimeError):
    """A turn was lost with its worker, and was lost again when it was taken again."""


class RemoteExecutor:
    """Turns on the workers of a pool; a turn whose worker is lost is taken once more.

    It is taken again on another worker, or in this process where the pool itself is broken; all
    that follow are then taken here. What a solver raises is the turn's own fault, and is not tried
    again.

    Parameters
    ----------
    pool
        Any `concurrent.futures.Executor`; it is the caller's, and is not shut down.
    solvers
        The solvers of this process.
    num_workers
        The number of turns that run at a time.
    is_counted
        Whether work is counted, so that workers of other versions are refused.
    say
        Called with a sentence on what went wrong; from another thread, a few times in all.
    """

    def __init__(
        self,
        pool: Pool,
        solvers: LayerSolvers,
        num_workers: int,
        is_counted: bool,
        say: Callable[[str], None],
    ) -> None:
        self.pool, self.solvers, self.num_workers = pool, solvers, num_workers
        self.is_counted, self.say = is_counted, say
        self.call = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"
        self.reserve = 0.0
        self.is_broken = False
        self._said: set[str] = set()
        self._sent: set[Future[Delivery]] = set()
        # Callbacks come in threads of the pool, which must not wait for it; this one may.
        self._desk = ThreadPoolExecutor(1, thread_name_prefix="eplb-opt-desk")
        self._here = ThreadPoolExecutor(
            min(num_workers, cores()), thread_name_prefix="eplb-opt-here"
        )

    def submit(self, turn: Turn) -> Future[Answer]:
        """See `Executor`."""
        outcome: Future[Answer] = Future()
        self._send(turn, outcome, turn.task.deadline.remaining, is_second=False)
        return outcome

    def close(self) -> None:
        """Begin no other turn and wait for none; turns under way end by themselves."""
        for sent in list(self._sent):
            sent.cancel()
        self._desk.shutdown(wait=False, cancel_futures=True)
        self._here.shutdown(wait=False, cancel_futures=True)
        worker.forget(self.call)

    def _send(self, turn: Turn, outcome: Future[Answer], seconds: float, is_second: bool) -> None:
        """Hand a turn to the pool, or take it here where there is none any more."""
        if self.is_broken:
            self._take_here(turn, outcome)
            return
        left = turn.task.call_deadline.remaining
        reserve = min(self.reserve, MAX_RESERVE_SHARE * left)
        parcel = worker.Parcel.of(self.call, self.solvers.options, turn, reserve)
        try:
            content = pickle.dumps(parcel, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            self._say_once(f"{turn.stage.name} cannot travel to a worker ({words_of(error)}).")
            self._take_here(turn, outcome)
            return
        try:
            sent = self.pool.submit(
                worker.take_turn, worker.installed_versions(), self.is_counted, content
            )
        except Exception as error:  # it is shut down or broken
            self._go_on_here(error, turn, outcome)
            return
        self._sent.add(sent)

        def arrived(done: Future[Delivery]) -> None:
            self._sent.discard(done)
            try:
                self._desk.submit(self._receive, done, parcel, turn, outcome, seconds, is_second)
            except RuntimeError:  # the call is over
                outcome.cancel()

        sent.add_done_callback(arrived)

    def _receive(
        self,
        done: Future[Delivery],
        parcel: worker.Parcel,
        turn: Turn,
        outcome: Future[Answer],
        seconds: float,
        is_second: bool,
    ) -> None:
        """Pass on what has come back, or see to it that the turn is taken again."""
        try:
            if done.cancelled():
                outcome.cancel()
            elif (error := done.exception()) is not None:
                self._replace_lost(error, turn, outcome, seconds, is_second)
            else:
                self._deliver(done.result(), parcel, outcome)
        except BaseException as error:  # a turn without an outcome would be waited for
            outcome.set_exception(error)

    def _deliver(self, delivery: Delivery, parcel: worker.Parcel, outcome: Future[Answer]) -> None:
        if delivery.differs:
            words = f"a worker has {delivery.differs}"
            if self.is_counted:
                raise WorkersDiffer(
                    f"{words}: under effort its answers may differ. Give all workers the versions "
                    "of this process, or plan with time_limit."
                )
            self._say_once(f"{words}; its turns counted all the same.")
        if delivery.error is not None:
            raise delivery.error
        if delivery.answer is None:
            raise LostTurn("a worker sent neither an answer nor an error.")
        way = time.monotonic() - parcel.sent - delivery.seconds
        self.reserve = max(way, FORGETTING * self.reserve)
        outcome.set_result(delivery.answer)

    def _replace_lost(
        self,
        error: BaseException,
        turn: Turn,
        outcome: Future[Answer],
        seconds: float,
        is_second: bool,
    ) -> None:
        if is_second:
            raise LostTurn(f"its worker was lost, and the next one too ({words_of(error)})")
        task = turn.task
        again = Turn(turn.stage, replace(task, deadline=task.call_deadline.sooner(seconds)))
        if isinstance(error, BrokenExecutor):
            self._go_on_here(error, again, outcome)
            return
        self._say_once(f"a worker was lost, and its turn taken again ({words_of(error)}).")
        self._send(again, outcome, seconds, is_second=True)

    def _go_on_here(self, error: BaseException, turn: Turn, outcome: Future[Answer]) -> None:
        if not self.is_broken:
            words = f"the executor takes no turns, so this process took them ({words_of(error)})."
            self._say_once(words)
        self.is_broken = True
        self._take_here(turn, outcome)

    def _take_here(self, turn: Turn, outcome: Future[Answer]) -> None:
        def take() -> None:
            try:
                outcome.set_result(self.solvers.solve(turn))
            except BaseException as error:
                outcome.set_exception(error)

        self._here.submit(take)

    def _say_once(self, sentence: str) -> None:
        """Say what went wrong; of many losses in the same words the first."""
        if sentence not in self._said:
            self._said.add(sentence)
            self.say(sentence)


def words_of(error: BaseException) -> str:
    """An error in one line that is not too long."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:MAX_WORDS]}"
