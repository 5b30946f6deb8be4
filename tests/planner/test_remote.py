"""Turns on the workers of an executor: the same answers, and what is lost is taken again."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import eplb_opt
from eplb_opt import MissingDependency, Problem, ProblemError, StepCost, Topology
from eplb_opt.clock import Deadline, Pace
from eplb_opt.planner import worker
from eplb_opt.planner.executor import Turn
from eplb_opt.planner.schedule import schedule
from eplb_opt.solver import Options, Verdict
from tests.planner.pools import HerePool, SilentPool, TravellingStage, forgetting
from tests.planner.stages import MadeStage, use_stages
from tests.planner.test_schedule import task_of

RANDOM = np.random.default_rng(5)
FLAT = Problem(RANDOM.lognormal(8, 1, (3, 32)).astype(np.int64), 40, 10)
#: One problem for each order of the schedule whose solvers count their work.
PROBLEMS = {
    "flat": FLAT,
    "two slots": Problem(FLAT.load, 40, 20),
    "groups": Problem(FLAT.load, 48, 16, num_nodes=2, num_groups=4),
    "scenarios": Problem(RANDOM.integers(1, 99, (2, 2, 12)), 16, 4),
    "GPU rules": Problem(FLAT.load, 40, 10, gpu_speed=[2, *[1] * 9]),
    "optimal dispatch": Problem(RANDOM.integers(1, 99, (3, 2, 12)), 16, 4, dispatch="optimal"),
    "nearest copies": Problem(FLAT.load, 40, 10, dispatch="nearest"),
    "step cost": Problem(
        FLAT.load,
        40,
        10,
        cost=StepCost(1e7, 1e12, 1e7, 1e14),
        batch_tokens=64,
        experts_per_token=4,
    ),
    "topology": Problem(FLAT.load, 40, 8, num_nodes=2, num_groups=4, topology=Topology(0.2)),
}


@pytest.fixture(scope="module")
def pool():
    """Two processes that begin with nothing of this one."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        yield pool


def same(one, other):
    """Whether two results are the same, but for the time they took."""
    np.testing.assert_array_equal(one.plan.physical_to_logical, other.plan.physical_to_logical)
    for name in ("bounds", "status", "bound_source", "messages", "relied_on", "reasons"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.stop_reason == other.stop_reason
    return True


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_counted_work_ends_in_the_same_answer_on_workers_that_remember_nothing(problem):
    here = eplb_opt.plan(problem, effort=3, workers=2)
    assert same(here, eplb_opt.plan(problem, effort=3, executor=HerePool(before=forgetting)))


@pytest.mark.parametrize("name", ["two slots", "optimal dispatch"])
def test_counted_work_ends_in_the_same_answer_in_other_processes(pool, name):
    here = eplb_opt.plan(PROBLEMS[name], effort=3)
    assert same(here, eplb_opt.plan(PROBLEMS[name], effort=3, executor=pool))


def test_turns_run_in_the_executor_and_it_stays_open(pool, monkeypatch, tmp_path):
    stage = TravellingStage("far", notes=str(tmp_path / "notes"))
    use_stages(monkeypatch, stage)
    eplb_opt.plan(FLAT, time_limit=30, executor=pool)
    pids = {int(line.split()[1]) for line in (tmp_path / "notes").read_text().splitlines()}
    assert pids
    assert os.getpid() not in pids
    assert pool.submit(os.getpid).result() != os.getpid()


def test_the_largest_gaps_come_first(monkeypatch, tmp_path):
    notes = tmp_path / "notes"
    pace = Pace(most=2)
    use_stages(monkeypatch, TravellingStage("far", pace, notes=str(notes), verdict=Verdict.AGAIN))
    result = eplb_opt.plan(FLAT, time_limit=30, executor=HerePool(), workers=1)
    order = [int(line.split()[0]) for line in notes.read_text().splitlines()]
    assert sorted(order[:3]) == [0, 1, 2]  # a first pass over all layers
    assert order[3:] == sorted(range(3), key=lambda i: -result.gap[i])


def test_a_killed_worker_costs_nothing_but_time(monkeypatch, tmp_path):
    stage = TravellingStage("far", kills=str(tmp_path / "killed"))
    use_stages(monkeypatch, stage)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        result = eplb_opt.plan(FLAT, effort=1, executor=pool)
    assert (tmp_path / "killed").exists()
    assert "BrokenProcessPool" in result.messages[0]
    assert "this process took them" in result.messages[0]
    assert len(result.messages) == 1  # every layer had its turn in the end
    assert not [reason for reason in result.reasons if "far" in reason]


def losing(times):
    """Lose the first turns, as a cluster does that has lost a machine."""
    left = [times]

    def before(*arguments):
        if left[0]:
            left[0] -= 1
            raise ConnectionError("node 3 is gone")
        return arguments

    return before


def test_a_turn_that_is_lost_is_taken_again_on_another_worker():
    here = eplb_opt.plan(FLAT, effort=3)
    result = eplb_opt.plan(FLAT, effort=3, executor=HerePool(before=losing(1)), workers=1)
    assert result.messages[0] == (
        "a worker was lost, and its turn taken again (ConnectionError: node 3 is gone)."
    )
    assert same(here, replace(result, messages=result.messages[1:]))


def test_a_turn_that_is_lost_twice_is_given_up():
    result = eplb_opt.plan(FLAT, effort=3, executor=HerePool(before=losing(2)), workers=1)
    result.plan.check(FLAT)
    assert result.messages[1].startswith(
        "search failed: LostTurn: its worker was lost, and the next one too"
    )
    assert sum("search failed" in reason for reason in result.reasons) == 1


def test_an_executor_that_is_shut_down_leaves_the_turns_to_this_process():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    here = eplb_opt.plan(FLAT, effort=3)
    result = eplb_opt.plan(FLAT, effort=3, executor=pool)
    assert "RuntimeError: cannot schedule new futures after shutdown" in result.messages[0]
    assert same(here, replace(result, messages=result.messages[1:]))


def test_a_stage_that_cannot_travel_has_its_turns_here(monkeypatch):
    seen = []

    def solve(task):
        seen.append(os.getpid())
        raise OSError("no luck")

    use_stages(monkeypatch, MadeStage("local", solve))
    with ThreadPoolExecutor(1) as pool:
        result = eplb_opt.plan(FLAT, effort=1, executor=pool)
    assert len(seen) == 3
    assert "local cannot travel to a worker" in result.messages[0]
    assert "local failed: OSError: no luck (layers 0-2)" in result.messages[1]


def test_who_never_answers_is_not_waited_for_past_the_limit():
    result = eplb_opt.plan(FLAT, time_limit=0.2, executor=SilentPool())
    assert result.stop_reason == "time_limit"
    result.plan.check(FLAT)


@pytest.mark.parametrize(
    "error",
    [OSError("no luck"), MissingDependency("ortools", "cpsat"), ZeroDivisionError("sums cancel")],
    ids=lambda error: type(error).__name__,
)
def test_what_a_solver_raises_is_told_as_if_it_were_here(monkeypatch, pool, error):
    use_stages(monkeypatch, TravellingStage("far", error=error))
    here, there = (eplb_opt.plan(FLAT, effort=1, executor=e) for e in (None, pool))
    assert same(here, there)


class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def test_an_error_that_does_not_travel_keeps_its_name_and_text():
    error = worker.sendable(Unpicklable("this", "that"))
    assert str(pickle.loads(pickle.dumps(error))) == "Unpicklable: this and that"
    assert worker.sendable(lacking := MissingDependency("ortools", "cpsat")) is lacking
    assert pickle.loads(pickle.dumps(lacking)).extra == "cpsat"


def older(versions, *others):
    """A worker with another numpy."""
    return ({**versions, "numpy": "1.0"}, *others)


def test_workers_of_other_versions_are_refused_where_work_is_counted():
    with pytest.raises(ProblemError, match=r"numpy .* instead of 1\.0: under effort"):
        eplb_opt.plan(FLAT, effort=1, executor=HerePool(before=older))


def test_a_worker_of_other_versions_does_not_even_open_a_parcel_of_counted_work():
    theirs = {**worker.installed_versions(), "numpy": "1.0"}
    delivery = worker.take_turn(theirs, True, b"of a version that cannot be read")
    assert (delivery.answer, delivery.error) == (None, None)
    assert "instead of 1.0" in delivery.differs
    assert worker.take_turn(theirs, False, b"of a version that cannot be read").error is not None


def test_workers_of_other_versions_are_noted_under_a_clock():
    result = eplb_opt.plan(FLAT, time_limit=0.5, executor=HerePool(before=older))
    noted = [message for message in result.messages if "a worker has numpy" in message]
    assert len(noted) == 1
    assert not [message for message in result.messages if "failed" in message]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"executor": 3}, r"executor=3 has no submit\(\)"),
        ({"executor": SilentPool(), "cluster": "auto"}, "exclude each other"),
        ({"cluster": 3}, "neither"),
    ],
)
def test_places_that_are_none_are_refused(arguments, words):
    with pytest.raises(ProblemError, match=words):
        eplb_opt.plan(FLAT, **arguments)


def test_a_turn_keeps_its_end_on_one_clock_and_its_length_on_another(monkeypatch):
    turn = Turn(schedule(FLAT, Options())[0], task_of(FLAT.layer(0)))
    turn = turn._replace(task=replace(turn.task, deadline=Deadline.after(7.0)))
    parcel = pickle.loads(pickle.dumps(worker.Parcel.of("call", Options(), turn)))
    at = turn.task.deadline.at
    assert parcel.turn().task.deadline.at == pytest.approx(at, abs=0.1)
    late = replace(parcel, sent=parcel.sent - 3.0)
    assert late.turn().task.deadline.at == pytest.approx(at - 3.0, abs=0.1)
    far = replace(late, clock="of another machine", sent=1e12)
    left = far.turn().task.deadline.at - time.monotonic()
    assert left == pytest.approx(7.0, abs=0.5)


def test_a_turn_ends_before_the_call_by_what_its_answer_takes_on_the_way():
    turn = Turn(schedule(FLAT, Options())[0], task_of(FLAT.layer(0), seconds=20.0))
    parcel = worker.Parcel.of("call", Options(), turn, reserve=2.0)
    assert parcel.call_seconds == pytest.approx(18.0, abs=0.5)
    assert parcel.seconds <= parcel.call_seconds


def test_a_worker_keeps_the_solvers_of_few_calls():
    turn = Turn(TravellingStage("far"), task_of(FLAT.layer(0)))
    for number in range(worker.MAX_CALLS + 3):
        content = pickle.dumps(worker.Parcel.of(f"call {number}", Options(), turn))
        assert worker.take_turn(worker.installed_versions(), False, content).answer is not None
    assert len(worker._calls) == worker.MAX_CALLS
    worker.forget(f"call {worker.MAX_CALLS + 2}")
    assert len(worker._calls) == worker.MAX_CALLS - 1
