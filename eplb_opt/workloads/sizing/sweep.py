"""Plan every size, and score its plan on other workloads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb_opt.errors import ProblemError
from eplb_opt.placement.plan import as_plan
from eplb_opt.planner.arguments import DEFAULT_TIME_LIMIT
from eplb_opt.planner.planner import plan
from eplb_opt.planner.tasks import LostTask, each_done
from eplb_opt.problem.arrays import MAX_BYTES, as_int, as_numpy
from eplb_opt.problem.problem import Problem
from eplb_opt.problem.rounding import round_down
from eplb_opt.workloads.sizing.report import HeldOut, SizeReport, SizeRow, balance, exact_balance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor
    from threading import Event
    from typing import Any

    import numpy as np

    from eplb_opt.planner.arguments import Default
    from eplb_opt.result import Result
    from eplb_opt.workloads.sizing.sizes import Size

UNIFORM = "uniform"
#: Why a size has no plan where the sweep ended before it.
STOPPED = "the sweep was stopped before this size"


def sweep(
    load: Any,
    sizes: Sequence[Size],
    *,
    dispatches: Sequence[str] = (UNIFORM,),
    held_out: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
    time_limit: float | Default | None = DEFAULT_TIME_LIMIT,
    effort: int | None = None,
    noise: float | None = None,
    workers: int | None = None,
    target_balancedness: float | None = None,
    expert_bytes: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    executor: Executor | None = None,
    stop: Event | None = None,
) -> SizeReport:
    """Plan every size under every dispatch.

    Parameters
    ----------
    load
        Loads as for `Problem`, tokens: [num_layers, num_experts], or [num_scenarios, num_layers,
        num_experts] where one plan is to serve several loads.
    sizes
        The sizes to plan, from `make_sizes`.
    dispatches
        Ways of splitting an expert's tokens over its replicas; see `Problem`.
    held_out
        Name -> loads [num_layers, num_experts] that no plan is made for. Each size's plan is
        scored on them, beside a plan made for the workload itself.
    rules
        Further keywords of `Problem`, the same for every size; with a `cost` there is neither a
        target nor anything held out.
    time_limit, effort, noise, workers
        As for `plan`; they hold for every single plan, of which there are sizes x dispatches x (1 +
        held out).
    target_balancedness
        Above 0, at most 1; kept in the report.
    expert_bytes
        Weights of an expert in a layer; kept in the report.
    progress
        Called before each plan with the plans made, those in all, and the next one's name; with an
        executor, as sizes are done.
    executor
        A `concurrent.futures.Executor` whose workers plan the sizes, each on one core unless
        `workers` says otherwise; a `ray_executor.RayExecutor` is one, too.
    stop
        A `threading.Event`. Once it is set, the size at hand gets the best so far and no other is
        planned; the report says so.

    Raises
    ------
    ProblemError
        For arguments that cannot be used, and where no size can be planned at all.
    """
    load = as_numpy(load, "load")
    others = {name: as_numpy(values, name) for name, values in (held_out or {}).items()}
    _check(load, others, target_balancedness, expert_bytes)
    if (rules or {}).get("cost") is not None and (others or target_balancedness is not None):
        raise ProblemError(
            "target_balancedness and held_out speak of loads and do not go with a cost; the report "
            "has the seconds of each size, and which is the fastest."
        )
    if executor is not None and workers is None:
        workers = 1
    keywords = {"time_limit": time_limit, "effort": effort, "noise": noise, "workers": workers}
    jobs = [(size, dispatch) for dispatch in dispatches for size in sizes]
    turns = _Turns(len(jobs) * (1 + len(others)), progress)
    # An event and a callable do not travel.
    near = (turns, stop) if executor is None else (None, None)
    asked = [(load, size, way, dict(rules or {}), others, keywords, *near) for size, way in jobs]
    rows: list[SizeRow] = []
    for row in each_done(_row, asked, executor, stop):
        if executor is not None:
            turns.skip(1 + len(others), str(jobs[len(rows)][0].num_slots))
        rows.append(_lost(jobs[len(rows)], row) if isinstance(row, LostTask) else row)
    rows += [SizeRow(*job, None, problem=STOPPED) for job in jobs[len(rows) :]]
    if all(row.result is None for row in rows):
        raise ProblemError(f"No size can be planned; the first: {rows[0].problem}")
    return SizeReport(
        tuple(rows),
        num_layers=load.shape[-2],
        num_experts=load.shape[-1],
        has_scenarios=load.ndim == 3,
        target=target_balancedness,
        expert_bytes=expert_bytes,
    )


@dataclass
class _Turns:
    """How many plans have been made."""

    total: int
    progress: Callable[[int, int, str], None] | None
    done: int = 0

    def next(self, name: str) -> None:
        if self.progress is not None:
            self.progress(self.done, self.total, name)
        self.done += 1

    def skip(self, num: int, name: str) -> None:
        """Plans that were made elsewhere."""
        self.next(name)
        self.done += num - 1


def _lost(job: tuple[Size, str], task: LostTask) -> SizeRow:
    return SizeRow(*job, None, problem=task.words)


def _check(
    load: np.ndarray,
    others: Mapping[str, np.ndarray],
    target: float | None,
    expert_bytes: int | None,
) -> None:
    if load.ndim not in (2, 3):
        raise ProblemError(
            f"load has shape {list(load.shape)}; it must be [num_layers, num_experts] or "
            "[num_scenarios, num_layers, num_experts]."
        )
    for name, values in others.items():
        if values.shape != load.shape[-2:]:
            raise ProblemError(
                f"held-out {name} has shape {list(values.shape)}; the planned-for loads have "
                f"{load.shape[-2]} layers and {load.shape[-1]} experts."
            )
    if target is not None and not 0 < target <= 1:
        raise ProblemError(
            f"target_balancedness={target} must be above 0 and at most 1; 0.95 asks that the mean "
            "GPU load is 95 % of the largest."
        )
    if expert_bytes is not None:
        as_int(expert_bytes, "expert_bytes", most=MAX_BYTES)


def _row(
    load: np.ndarray,
    size: Size,
    dispatch: str,
    rules: dict[str, Any],
    others: Mapping[str, np.ndarray],
    keywords: dict[str, Any],
    turns: _Turns | None = None,
    stop: Event | None = None,
) -> SizeRow:
    turns = turns or _Turns(0, None)
    name = f"{size.num_slots} slots on {size.num_gpus} GPUs"
    turns.next(name)
    if dispatch != UNIFORM:
        name = f"{name}, {dispatch} dispatch"
    try:
        problem = Problem(load, size.num_slots, size.num_gpus, dispatch=dispatch, **rules)
    except ProblemError as error:
        turns.done += len(others)
        return SizeRow(size, dispatch, None, problem=str(error))
    keywords = keywords | {"stop": stop}
    result = plan(problem, **keywords)
    scores = tuple(
        _held_out(result, other, values, keywords, turns, name) for other, values in others.items()
    )
    return SizeRow(size, dispatch, result, scores)


def _held_out(
    result: Result,
    name: str,
    load: np.ndarray,
    keywords: dict[str, Any],
    turns: _Turns,
    size_name: str,
) -> HeldOut:
    turns.next(f"{size_name}, re-planned for {name}")
    problem = result.problem.with_load(load)
    static = as_plan(result.plan, problem).objectives(problem)
    replanned, best_possible = balance(plan(problem, **keywords))
    return HeldOut(name, round_down(exact_balance(problem, static)), replanned, best_possible)
