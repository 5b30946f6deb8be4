"""A call that its caller ends early."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem
from eplb_opt.clock import Deadline

if TYPE_CHECKING:
    from eplb_opt.result import HistoryPoint

#: Far more than any of these calls takes: without its stop a test would hang for so long.
LONG = 100_000.0


def hard_problem() -> Problem:
    """One that is never proven optimal while a test waits."""
    load = np.random.default_rng(0).lognormal(8, 1, (4, 96)).astype(np.int64)
    return Problem(load, 120, 40)


def stopped_after(stage: str, problem: Problem, **arguments: object) -> eplb_opt.Result:
    """What a call answers that is stopped once a stage has ended."""
    stop = Event()

    def watch(point: HistoryPoint) -> None:
        if point.stage == stage:
            stop.set()

    return eplb_opt.plan(problem, stop=stop, progress=watch, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [{"time_limit": LONG}, {"time_limit": None}, {"effort": 10**7}])
def test_a_stopped_call_answers_with_a_checked_plan_and_says_why(budget: dict[str, float]) -> None:
    result = stopped_after("greedy", hard_problem(), **budget)
    assert result.stop_reason == "request"
    result.plan.check(result.problem)


def test_what_was_found_before_the_stop_is_kept() -> None:
    problem = hard_problem()
    greedy = eplb_opt.plan(problem, effort=0).objective.sum()
    result = stopped_after("search", problem, time_limit=LONG)
    assert result.stop_reason == "request"
    assert result.objective.sum() < greedy


def test_a_stopped_call_keeps_its_limits_on_moves() -> None:
    problem = hard_problem()
    current = eplb_opt.plan(problem, effort=0).plan
    limits = {"current": current, "max_moves": 3}
    result = stopped_after("greedy", problem, time_limit=LONG, **limits)
    assert result.moves is not None
    assert result.moves.sum() <= 3


def test_a_design_stops_while_it_chooses_its_noise() -> None:
    load = np.random.default_rng(1).integers(1, 99, (3, 2, 24))
    result = stopped_after("greedy", Problem(load, 32, 8, dispatch="optimal"), time_limit=LONG)
    assert result.stop_reason == "request"


def test_an_event_that_nobody_sets_changes_nothing() -> None:
    plans = [
        eplb_opt.plan(hard_problem(), effort=2, stop=stop).plan.physical_to_logical
        for stop in (None, Event())
    ]
    np.testing.assert_array_equal(*plans)


def test_parts_of_a_deadline_end_with_the_stop_of_the_whole() -> None:
    whole = Deadline(stop=Event())
    parts = [whole.earlier(1.0), whole.sooner(LONG), whole.sooner(LONG).earlier(1.0)]
    assert not any(part.expired for part in parts)
    assert whole.stop is not None
    whole.stop.set()
    assert all(part.expired and part.is_stopped for part in parts)
