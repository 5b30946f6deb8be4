"""Warm starts: the plans that compete before any search, and who may make them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.exact.shared.backend_imports import load_module
from eplb_opt.placement import scoring
from eplb_opt.placement.caller_units import objective_in_caller_units
from eplb_opt.placement.plan import Plan
from eplb_opt.planner.lost_gpus import on_gpus_left
from eplb_opt.result import ObjectiveBounds, StartResult
from eplb_opt.search import starts
from eplb_opt.search.local import STEPS_PER_EFFORT
from eplb_opt.search.start_costs import expected_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from fractions import Fraction

    from eplb_opt.problem.problem import Problem

#: A heuristic that nobody asked for takes no more than this part of the budget.
SHARE = 1 / 50
#: All of them together take no more than this part.
SHARE_OF_ALL = 1 / 10
#: The budget that the shares are taken of where there is no limit.
SECONDS_WITHOUT_LIMIT = 10.0
#: Seconds that importing torch takes on a busy machine.
TORCH_SECONDS = 3.0


@dataclass(frozen=True, eq=False)
class WarmStart:
    """A plan to start from.

    Parameters
    ----------
    name
        A heuristic's, a file's, or "start 0" for the first of those that came without.
    make
        Makes the plan, int64 [num_layers, num_slots].
    is_given
        Whether the caller brought the plan itself: one that breaks a rule is then an error.
    seconds
        What making it is expected to take.
    """

    name: str
    make: Callable[[], np.ndarray]
    is_given: bool = False
    seconds: float = 0.0


def read_starts(whole: Problem, problem: Problem, given: Any) -> tuple[WarmStart, ...] | None:
    """The starts that a caller asks for; None where the planner is to choose.

    Parameters
    ----------
    whole, problem
        The caller's problem, and the same without its lost GPUs.
    given
        See `plan`.

    Raises
    ------
    ProblemError
        For a name that is none of a heuristic.
    PlanError
        For what is no map of a problem of this shape.
    """
    if given is None:
        return None
    named: dict[str, WarmStart] = {}
    for name, value in _named(given):
        if name in named:
            raise ProblemError(f"starts has {name!r} twice.")
        named[name] = _read(name, value, whole, problem)
    return tuple(named.values())


def _named(given: Any) -> Iterator[tuple[str, Any]]:
    """Starts with their names; a single one needs no list around it."""
    if isinstance(given, Mapping):
        yield from given.items()
        return
    if isinstance(given, str | Plan) or _is_map(given):
        given = [given]
    try:
        each = list(given)
    except TypeError as error:
        raise ProblemError(
            f"starts={given!r} is neither a name, a plan nor a list of them."
        ) from error
    number = 0
    for value in each:
        if isinstance(value, str):
            yield value, value
        else:
            yield f"start {number}", value
            number += 1


def _is_map(given: Any) -> bool:
    """Whether it is one plan, [num_layers, num_slots], and no list of them."""
    ndim = getattr(given, "ndim", None)
    if ndim is not None:
        return bool(ndim == 2)
    try:
        return np.ndim(given[0][0]) == 0 and not isinstance(given[0], str | Plan)
    except (TypeError, LookupError, ValueError):
        return False


def _read(name: str, value: Any, whole: Problem, problem: Problem) -> WarmStart:
    if isinstance(value, str):
        known = (starts.FIRST, *starts.published_names())
        if value not in known:
            raise ProblemError(
                f"starts has {value!r}, which is no heuristic; known: {', '.join(known)}."
            )
        seconds = expected_seconds(value, problem) + _loading_seconds(value)
        return WarmStart(name, lambda: _made(value, problem), seconds=seconds)
    try:
        placed = value if isinstance(value, Plan) else Plan(value, whole.num_gpus)
        if placed.num_layers != whole.num_layers or placed.num_slots != whole.num_slots:
            raise PlanError(
                f"it has {placed.num_layers} layers and {placed.num_slots} slots; the problem has "
                f"{whole.num_layers} and {whole.num_slots}."
            )
    except PlanError as error:
        raise PlanError(f"{name}: {error}") from error
    rows = placed.physical_to_logical if problem is whole else on_gpus_left(whole, placed, name)
    return WarmStart(name, lambda: rows, is_given=True)


@dataclass(frozen=True, eq=False)
class TriedStart:
    """A start that has competed.

    Parameters
    ----------
    name
        See `WarmStart`.
    seconds
        What making, checking and scoring it took.
    objective
        What each layer is worth, exact, in the problem's integer units.
    """

    name: str
    seconds: float
    objective: list[Fraction]


def start_results(
    problem: Problem, tried: Sequence[TriedStart], final: Sequence[ObjectiveBounds]
) -> tuple[StartResult, ...]:
    """What the starts were worth, and what the search made of them.

    Parameters
    ----------
    problem
        The problem that was planned.
    tried
        The starts in their order.
    final
        Objective and bound of every layer of the answer.
    """
    best = [min(values) for values in zip(*(start.objective for start in tried), strict=True)]
    begun = [
        next(i for i, start in enumerate(tried) if start.objective[layer_idx] == value)
        for layer_idx, value in enumerate(best)
    ]
    units = [problem.unit(layer_idx) for layer_idx in range(problem.num_layers)]
    lower = _total([pair.lower for pair in final], units)
    reached = _total([pair.objective for pair in final], units)
    results = []
    for i, start in enumerate(tried):
        worth = _total(start.objective, units)
        results.append(
            StartResult(
                name=start.name,
                seconds=start.seconds,
                exact=tuple(start.objective),
                objective=objective_in_caller_units(problem, start.objective),
                num_best=begun.count(i),
                gap=ObjectiveBounds(worth, lower).gap,
                share_closed=float((worth - reached) / (worth - lower)) if worth > lower else None,
            )
        )
    return tuple(results)


def _total(values: Sequence[Fraction], units: Sequence[Fraction]) -> Fraction:
    return scoring.exact_sum([value * unit for value, unit in zip(values, units, strict=True)])


def counted_starts(problem: Problem, effort: int) -> list[WarmStart]:
    """The heuristics of a call with counted work: the same on every machine.

    Those that compute in numpy take part, for their plans do not depend on the processor. A
    replica that is placed counts as a step of the search, and a call may spend a fiftieth of its
    steps on it.

    Parameters
    ----------
    problem
        The problem that is planned.
    effort
        Counted work a layer.
    """
    if _may_break_rules(problem) or problem.num_slots > SHARE * effort * STEPS_PER_EFFORT:
        return []
    names = [name for name in starts.published_names() if not starts.needs_torch(name)]
    return _heuristics(problem, names)


def loaded_starts(problem: Problem) -> list[WarmStart]:
    """The heuristics of a call without time: all, where torch is loaded, or they would be late.

    Parameters
    ----------
    problem
        The problem that is planned.
    """
    if _may_break_rules(problem) or not starts.torch_is_loaded():
        return []
    return _heuristics(problem, starts.published_names())


def cheap_starts(
    problem: Problem, seconds: float | None, seconds_to_score: float
) -> Iterator[WarmStart]:
    """The heuristics that take less than a fiftieth of the time, cheapest first.

    What they take comes from a table, and those to come are expected to be slower than it says by
    as much as those before them were. So each is to have run before the next one is asked for.

    Parameters
    ----------
    problem
        The problem that is planned.
    seconds
        The call's time limit; None without one.
    seconds_to_score
        What checking and scoring a plan takes, which counts as part of its start.
    """
    if _may_break_rules(problem):
        return
    budget = SECONDS_WITHOUT_LIMIT if seconds is None else seconds
    expected = {name: expected_seconds(name, problem) for name in starts.published_names()}
    calls: dict[str, Callable[[], np.ndarray]] = {}
    slowness, began = 1.0, time.monotonic()
    for name in sorted(expected, key=lambda name: expected[name]):
        loading = _loading_seconds(name)
        wanted = slowness * expected[name] + seconds_to_score + loading
        spent = time.monotonic() - began
        if wanted > SHARE * budget or spent + wanted > SHARE_OF_ALL * budget:
            continue
        if loading:
            if find_spec("torch") is None:
                continue
            load_module("torch")
        calls = calls or starts.heuristic_calls(problem)
        asked = time.monotonic()
        yield WarmStart(name, calls[name])
        took = time.monotonic() - asked - seconds_to_score
        slowness = max(slowness, took / expected[name])


def _loading_seconds(name: str) -> float:
    """What a heuristic waits for before it begins."""
    return TORCH_SECONDS if starts.needs_torch(name) and not starts.torch_is_loaded() else 0.0


def _made(name: str, problem: Problem) -> np.ndarray:
    if _loading_seconds(name) and find_spec("torch") is not None:
        load_module("torch")
    return starts.heuristic_calls(problem)[name]()


def _heuristics(problem: Problem, names: Iterable[str]) -> list[WarmStart]:
    calls = starts.heuristic_calls(problem)
    return [WarmStart(name, calls[name]) for name in names]


def _may_break_rules(problem: Problem) -> bool:
    """Whether the published heuristics know too little of the problem to make plans of it."""
    return problem.colocation == "forbid" or problem.has_gpu_rules or problem.has_topology
