"""Where turns run: threads of this process; another place is another class of the same shape."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from concurrent.futures import Future

    from eplb_opt.planner.schedule import Stage
    from eplb_opt.solver import Answer, Options, Solver, Task


class Turn(NamedTuple):
    """A task, and whose it is."""

    stage: Stage
    task: Task


class Executor(Protocol):
    """Runs turns, several at a time; never two of one layer.

    Attributes
    ----------
    num_workers
        The number of turns that run at a time.
    """

    num_workers: int

    def submit(self, turn: Turn) -> Future[Answer]:
        """Begin a turn as soon as there is room for it."""
        ...

    def close(self) -> None:
        """Begin no other turn, and wait for none."""
        ...


@dataclass(eq=False)
class LayerSolvers:
    """The solvers of every layer, each made at its first turn.

    Parameters
    ----------
    options
        What the call asks of all its solvers.
    """

    options: Options
    _made: dict[tuple[int, str], Solver] = field(default_factory=dict)

    def solve(self, turn: Turn) -> Answer:
        """One turn of one solver; stages that name the same solver share it."""
        key = turn.task.layer_idx, turn.stage.solver
        solver = self._made.get(key)
        if solver is None:
            solver = self._made[key] = turn.stage.make(turn.task.problem, self.options)
        began = time.monotonic()
        return replace(solver.solve(turn.task), seconds=time.monotonic() - began)


class ThreadExecutor:
    """Turns in threads of this process; the compiled core lets other threads run meanwhile.

    Parameters
    ----------
    solvers
        The solvers whose turns are run.
    num_workers
        The number of turns that run at a time.
    """

    def __init__(self, solvers: LayerSolvers, num_workers: int) -> None:
        self.solvers, self.num_workers = solvers, num_workers
        self.pool = ThreadPoolExecutor(num_workers, thread_name_prefix="eplb-opt")

    def submit(self, turn: Turn) -> Future[Answer]:
        """See `Executor`."""
        return self.pool.submit(self.solvers.solve, turn)

    def close(self) -> None:
        """Begin no other turn; threads under way end by themselves at their own deadlines."""
        self.pool.shutdown(wait=False, cancel_futures=True)
