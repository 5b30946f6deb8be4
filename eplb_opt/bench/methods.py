"""Whoever makes plans, called alike: our planner, exact models, heuristics, engines' code."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench.memory import count_peak_anew, peak_bytes
from eplb_opt.bounds.bounds import flat_bounds
from eplb_opt.clock import Deadline
from eplb_opt.errors import ProblemError, require
from eplb_opt.exact import get_model
from eplb_opt.placement.plan import Plan
from eplb_opt.planner.planner import plan
from eplb_opt.planner.schedule import MODEL_PACKAGES
from eplb_opt.search.starts import first_plan, heuristic_calls
from heuristics import HEURISTICS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eplb_opt.bench.rivals import Program
    from eplb_opt.problem.problem import Problem

    #: A plan, the layers that were proven, and what else there is to say.
    Made = tuple[np.ndarray, int | None, str]

OURS = "eplb-opt"


@dataclass(frozen=True, eq=False)
class Found:
    """What a method made.

    Parameters
    ----------
    placed
        int64 [num_layers, num_slots]; whether it obeys the rules is the caller's to check.
    seconds, cpu_seconds
        Duration, and processor seconds of all threads of this process.
    peak_bytes
        The most memory that the process held meanwhile, with all that was loaded before.
    proven
        Layers whose optimality the method itself proved; None where it proves nothing.
    note
        What else there is to say.
    """

    placed: np.ndarray
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    proven: int | None = None
    note: str = ""


def check_names(models: Sequence[str], heuristics: Sequence[str]) -> None:
    """Refuse what is unknown or not installed, before anything is planned.

    Parameters
    ----------
    models
        Names in `exact.MODELS`.
    heuristics
        Names in `heuristics.HEURISTICS`.

    Raises
    ------
    ProblemError
        For a name that is in neither table.
    MissingDependency
        For a package that one of them needs.
    """
    for name in models:
        get_model(name)
        require(MODEL_PACKAGES[name])
    for name in heuristics:
        if name not in HEURISTICS:
            known = ", ".join(HEURISTICS)
            raise ProblemError(f"heuristic {name!r} is unknown; known: {known}.")
        # The compiled greedy is a plain function; the others are rows that name a backend.
        if getattr(HEURISTICS[name], "backend", "") == "torch":
            require("torch")


def by_planner(problem: Problem, limit: float, seed: int = 0) -> Found:
    """Our planner under a time limit.

    Parameters
    ----------
    problem
        What is planned.
    limit
        Seconds.
    seed
        Of the solvers.
    """

    def work() -> Made:
        result = plan(problem, time_limit=limit, seed=seed)
        return result.plan.physical_to_logical, result.status.count("optimal"), ""

    return _measured(work)


def by_model(problem: Problem, name: str, limit: float, seed: int = 0) -> Found:
    """A plain exact model on every layer, from the greedy's plan, each with an even share of time.

    Parameters
    ----------
    problem
        What is planned.
    name
        A name in `exact.MODELS`.
    limit
        Seconds for the layers together.
    seed
        Of the solver.
    """

    def work() -> Made:
        model, began = get_model(name), time.monotonic()
        placed, proven, refused = first_plan(problem).copy(), 0, 0
        for layer_idx, bound in enumerate(flat_bounds(problem)):
            left = limit * (layer_idx + 1) / problem.num_layers - (time.monotonic() - began)
            layer, start = problem.layer(layer_idx), placed[layer_idx]
            answer = model(layer, start, bound.value, Deadline.after(left), seed=seed)
            refused += answer.refused
            if answer.physical_to_logical is not None:
                placed[layer_idx] = answer.physical_to_logical
            peak = Plan(placed[layer_idx][None, :], problem.num_gpus).objectives(layer)[0]
            proven += max(answer.lower_bound, bound.value) == peak
        note = f"{refused} layers were too large for the time" if refused else ""
        return placed, proven, note

    return _measured(work)


def by_heuristic(problem: Problem, name: str) -> Found:
    """A heuristic; what a first call loads or compiles is not its time.

    Parameters
    ----------
    problem
        What is planned; scenarios are blended.
    name
        A name in `heuristics.HEURISTICS`.
    """
    call = heuristic_calls(problem)[name]
    call()
    return _measured(lambda: (call(), None, ""))


def by_engine(problem: Problem, program: Program) -> Found:
    """An engine's released code, from the trivial map in force.

    Parameters
    ----------
    problem
        A problem with one load.
    program
        One of `rivals.rival_programs`.
    """
    from eplb_opt.engines.tensors import cpu_tensor

    trivial = np.arange(problem.num_slots) % problem.num_experts
    held = cpu_tensor(np.tile(trivial, (problem.num_layers, 1)))
    call = partial(program, cpu_tensor(problem.load), held, problem)
    call()
    return _measured(lambda: (np.asarray(call()), None, ""))


def _measured(work: Callable[[], Made]) -> Found:
    count_peak_anew()
    cpu, began = time.process_time(), time.perf_counter()
    placed, proven, note = work()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return Found(placed, seconds, cpu_seconds, peak_bytes(), proven, note)
