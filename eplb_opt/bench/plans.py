"""Gaps of plans over load families, machines and time limits, beside the rivals'."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench.methods import by_heuristic, by_model, check_names
from eplb_opt.placement.plan import Plan
from eplb_opt.planner.planner import plan
from eplb_opt.planner.tasks import LostTask, each_done
from eplb_opt.result import ObjectiveBounds, layer_gaps, model_gap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from eplb_opt.problem.machine import Machine
    from eplb_opt.result import Result


@dataclass(frozen=True)
class PlanRow:
    """What one method made of some loads, against the bounds that `plan` proved.

    `proven` counts the layers whose optimality the method itself proved; None for a heuristic.
    """

    loads: str
    machine: str
    slots_per_gpu: int
    method: str
    time_limit: float
    seconds: float
    model_gap: float
    median_gap: float
    worst_gap: float
    proven: int | None
    layers: int


def plan_rows(
    loads: Mapping[str, np.ndarray],
    machines: Sequence[Machine],
    limits: Sequence[float],
    *,
    models: Sequence[str] = (),
    heuristics: Sequence[str] = (),
    executor: Executor | None = None,
) -> Iterator[PlanRow]:
    """Plan everything with every limit, one after the other, and the rivals beside it.

    Parameters
    ----------
    loads
        Name -> int64 [num_layers, num_experts].
    machines, limits
        The machines to plan for, and the time limits in seconds.
    models
        Names in `models.MODELS`, each alone on every layer for an even share of the limit, started
        from the greedy's plan.
    heuristics
        Names in `heuristics.HEURISTICS`.
    executor
        A `concurrent.futures.Executor` whose workers make the rows, one load, machine and limit
        each; the rows come in the same order. Seconds are the worker's own, so that workers that
        share a machine's cores tell longer ones. By default all is done here.

    Raises
    ------
    ProblemError
        For a name that is in neither table, before anything is planned.
    MissingDependency
        For a package that one of them needs, before anything is planned.
    """
    check_names(models, heuristics)
    tasks = [
        (name, load, machine, limit, tuple(models), tuple(heuristics))
        for machine in machines
        for name, load in loads.items()
        for limit in limits
    ]
    return _each_row(tasks, executor)


def _each_row(tasks: Sequence[tuple[object, ...]], executor: Executor | None) -> Iterator[PlanRow]:
    for task, rows in zip(tasks, each_done(_rows, tasks, executor), strict=True):
        if isinstance(rows, LostTask):
            raise RuntimeError(f"{task[0]} on {task[2]}: {rows.words}.")
        yield from rows


def _rows(
    name: str,
    load: np.ndarray,
    machine: Machine,
    limit: float,
    models: Sequence[str],
    heuristics: Sequence[str],
) -> list[PlanRow]:
    problem = machine.problem(load)
    result = plan(problem, time_limit=limit)
    row = partial(_row, name, machine, limit, result)
    proven = result.status.count("optimal")
    rows = [row("eplb-opt", result.elapsed, result.plan.physical_to_logical, proven)]
    for model in models:
        found = by_model(problem, model, limit)
        rows.append(row(model, found.seconds, found.placed, found.proven))
    for heuristic in heuristics:
        found = by_heuristic(problem, heuristic)
        rows.append(row(heuristic, found.seconds, found.placed, None))
    return rows


def _row(
    loads: str,
    machine: Machine,
    limit: float,
    result: Result,
    method: str,
    seconds: float,
    placed: np.ndarray,
    proven: int | None,
) -> PlanRow:
    problem = result.problem
    peaks = Plan(placed, problem.num_gpus).objectives(problem)
    # Another method may have found a better plan than ours, never one below the bound.
    pairs = [
        ObjectiveBounds(peak, ours.lower) for peak, ours in zip(peaks, result.bounds, strict=True)
    ]
    gap = layer_gaps(pairs)
    return PlanRow(
        loads=loads,
        machine=str(machine),
        slots_per_gpu=problem.slots_per_gpu,
        method=method,
        time_limit=limit,
        seconds=seconds,
        model_gap=model_gap(problem, pairs),
        median_gap=float(np.median(gap)),
        worst_gap=float(gap.max()),
        proven=proven,
        layers=problem.num_layers,
    )
