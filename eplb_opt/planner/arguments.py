"""The arguments of a planning call, checked once: what is asked and what may be spent on it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from eplb_opt.clock import Budget, Deadline
from eplb_opt.core.parts import cores
from eplb_opt.errors import ProblemError
from eplb_opt.exact import get_model
from eplb_opt.migration import MoveLimits, move_limits, read_price
from eplb_opt.placement.plan import Plan
from eplb_opt.planner.lost_gpus import on_gpus_left
from eplb_opt.planner.warm_starts import WarmStart, read_starts
from eplb_opt.planner.workers import Workers, find_workers
from eplb_opt.problem.arrays import as_int, as_number
from eplb_opt.problem.problem import Problem
from eplb_opt.result import HistoryPoint

if TYPE_CHECKING:
    from threading import Event

    from eplb_opt.io.files import PathLike
    from eplb_opt.placement.move_cost import MoveCost
    from eplb_opt.planner.job import Job


class Default(Enum):
    """Stands for the default of an argument whose None means something else."""

    TIME_LIMIT = 10.0


DEFAULT_TIME_LIMIT: Final = Default.TIME_LIMIT

#: Factors of e**10 between experts: no load differs so.
MAX_NOISE = 10
#: Thirty years; the system's clocks take no much longer waits.
MAX_SECONDS = 1e9

Progress = Callable[[HistoryPoint], None]


@dataclass(frozen=True, eq=False)
class Request:
    """What one call of `plan` asks, checked.

    Parameters
    ----------
    whole
        The caller's problem, lost GPUs included.
    problem
        The same without its lost GPUs; this one is planned.
    budget
        The time or counted work that may be spent.
    time_limit
        Seconds, or None where time does not count.
    current
        The plan in force, for the GPUs of `problem`, or None.
    starts
        The plans to start from, for the GPUs of `problem`; None where the planner is to choose.
    limits
        The limits on moved slots.
    noise
        Size of the noise that the plan is to withstand; None where the planner is to choose.
    model
        A key of `exact.MODELS`.
    progress
        Called with a `HistoryPoint` after each stage, or None.
    started
        The time at which the call began, in seconds of `time.monotonic`.
    workers
        Who takes the turns.
    job
        Where what turns bring is kept, or None.
    """

    whole: Problem
    problem: Problem
    budget: Budget
    time_limit: float | None
    current: Any
    starts: tuple[WarmStart, ...] | None
    limits: MoveLimits
    noise: float | None
    model: str
    progress: Progress | None
    started: float
    workers: Workers = field(default_factory=Workers)
    job: Job | None = None

    def leave(self) -> None:
        """Let go of the job's directory and of a cluster; for the end of the call."""
        self.workers.leave()
        if self.job is not None:
            self.job.close()


@dataclass(frozen=True, eq=False)
class Spending:
    """The arguments of `plan` that say what may be spent; see there."""

    time_limit: float | Default | None
    effort: int | None
    target_gap: float
    seed: int
    workers: int | None
    stop: Event | None = None


@dataclass(frozen=True, eq=False)
class Moving:
    """The arguments of `plan` that speak of other plans; see there."""

    current: Any
    max_moves: Any
    move_tolerance: float | None
    starts: Any
    move_cost: MoveCost | None = None
    cross_node_price: int = 1


@dataclass(frozen=True, eq=False)
class Running:
    """The arguments of `plan` that say where turns run, and what is kept of them; see there."""

    executor: Any = None
    cluster: str | None = None
    job: PathLike | None = None


@dataclass(frozen=True, eq=False)
class Aims:
    """The arguments of `plan` that say what a good plan is, and who looks for it; see there."""

    objective: str | None
    noise: float | None
    model: str


def read_request(
    problem: Any,
    spending: Spending,
    moving: Moving,
    aims: Aims,
    running: Running,
    progress: Progress | None,
) -> Request:
    """What a call asks.

    Raises
    ------
    ProblemError
        For an argument that cannot be used.
    """
    started = time.monotonic()
    if not isinstance(problem, Problem):
        raise ProblemError(f"plan() takes an eplb_opt.Problem, not {type(problem).__name__}.")
    whole = problem if aims.objective is None else problem.with_objective(aims.objective)
    budget, limit = read_budget(spending)
    left, current = whole.without_lost_gpus() or whole, moving.current
    if left is not whole and current is not None:
        current = current if isinstance(current, Plan) else Plan(current, whole.num_gpus)
        current = on_gpus_left(whole, current)
    if left.has_cost and moving.move_cost is not None:
        raise ProblemError(
            "move_cost does not go with cost: it weighs loads. Limit the moves with max_moves or "
            "move_tolerance, or plan for tokens."
        )
    price = read_price(whole, current, moving.cross_node_price, left)
    asked = moving.max_moves, moving.move_tolerance, moving.move_cost
    limits = move_limits(left, current, *asked, price)
    get_model(aims.model)  # raises where it is unknown
    request = Request(
        whole=whole,
        problem=left,
        budget=budget,
        time_limit=limit,
        current=current,
        starts=read_starts(whole, left, moving.starts),
        limits=limits,
        noise=_read_noise(aims.noise),
        model=aims.model,
        progress=progress,
        started=started,
    )
    return _with_running(request, running, None if spending.workers is None else budget.workers)


def _with_running(request: Request, running: Running, num_workers: int | None) -> Request:
    """The request with its job, locked, and its workers; a cluster is connected to from now on."""
    if running.job is not None:
        from eplb_opt.planner.job import Job

        request = replace(request, job=Job(running.job, request))
    try:
        workers = find_workers(running.executor, running.cluster, num_workers)
    except BaseException:
        request.leave()
        raise
    return replace(request, workers=workers)


def read_budget(spending: Spending) -> tuple[Budget, float | None]:
    """The call's budget and its time limit, None where time does not count.

    Raises
    ------
    ProblemError
        For a number that cannot be used, or two limits that exclude each other.
    """
    limit, effort = spending.time_limit, spending.effort
    if effort is not None and not isinstance(limit, Default) and limit is not None:
        raise ProblemError(f"time_limit={limit} and effort={effort} exclude each other.")
    limit = limit.value if isinstance(limit, Default) else limit
    limit = None if effort is not None else _read_seconds(limit)
    if effort is not None:
        effort = as_int(effort, "effort", least=0)
    gap = as_number(spending.target_gap, "target_gap")
    workers = cores() if spending.workers is None else as_int(spending.workers, "workers")
    seed = as_int(spending.seed, "seed", least=0)
    deadline = replace(Deadline.after(limit), stop=spending.stop)
    return Budget(deadline, effort, gap, workers, seed), limit


def _read_seconds(limit: float | None) -> float | None:
    if limit is None or limit == math.inf:
        return None
    seconds = as_number(limit, "time_limit")
    if seconds > MAX_SECONDS:
        raise ProblemError(
            f"time_limit={seconds:g} is above {MAX_SECONDS:g} seconds; None is for no limit."
        )
    return seconds


def _read_noise(noise: float | None) -> float | None:
    if noise is None:
        return None
    size = as_number(noise, "noise")
    if size > MAX_NOISE:
        raise ProblemError(f"noise={size:g} is above {MAX_NOISE}; 0.3 is about 30 %.")
    return size
