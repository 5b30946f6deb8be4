"""Whole calls as tasks: in order, as here, with what is lost done again."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from eplb_opt import ProblemError
from eplb_opt.bench.plans import plan_rows
from eplb_opt.planner.tasks import LostTask, each_done
from eplb_opt.problem.machine import Machine
from eplb_opt.workloads.sizing import make_sizes, sweep
from eplb_opt.workloads.sizing.sweep import STOPPED
from tests.planner.pools import SilentPool

LOAD = np.random.default_rng(3).lognormal(8, 1, (2, 16)).astype(np.int64)


def halved(number):
    if number % 2:
        raise ProblemError(f"{number} is odd")
    return number // 2


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_results_come_in_the_order_of_the_tasks(workers):
    pool = None if workers is None else ThreadPoolExecutor(workers)
    assert list(each_done(halved, [(2 * i,) for i in range(40)], pool)) == list(range(40))


@pytest.mark.parametrize("workers", [None, 2])
def test_what_a_task_raises_is_raised_in_its_turn(workers):
    pool = None if workers is None else ThreadPoolExecutor(workers)
    found = each_done(halved, [(2,), (4,), (5,), (6,)], pool)
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(ProblemError, match="5 is odd"):
        next(found)


class LosingPool(Executor):
    """Loses its first tasks."""

    def __init__(self, times):
        self.left = times

    def submit(self, function, /, *arguments, **keywords):
        future = Future()
        self.left -= 1
        if self.left >= 0:
            future.set_exception(ConnectionError("node 3 is gone"))
        else:
            future.set_result(function(*arguments))
        return future


def test_a_lost_task_is_done_again_and_one_lost_twice_is_told():
    assert list(each_done(halved, [(2,)], LosingPool(1))) == [1]
    (lost,) = each_done(halved, [(2,)], LosingPool(2))
    assert lost == LostTask("its worker was lost twice (ConnectionError: node 3 is gone)")


def kill_once(path, number):
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_broken_pool_leaves_the_tasks_to_this_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        tasks = [(str(tmp_path / "killed"), i) for i in range(3)]
        assert list(each_done(kill_once, tasks, pool)) == [0, 1, 2]


def test_nothing_comes_once_the_end_is_asked_for():
    stop = Event()
    stop.set()
    for pool in (None, SilentPool()):
        assert list(each_done(halved, [(2,)], pool, stop)) == []


@pytest.mark.parametrize("held_out", [None, {"other": LOAD[::-1]}])
def test_a_sweep_on_an_executor_is_the_same_sweep(held_out):
    sizes = make_sizes(16, [4], slots_per_gpu=[4, 5, 6])
    shown = []
    with ThreadPoolExecutor(2) as pool:
        here, there = (
            sweep(
                LOAD,
                sizes,
                effort=2,
                held_out=held_out,
                executor=each,
                progress=lambda done, total, name: shown.append((done, total)),
            )
            for each in (None, pool)
        )
    for one, other in zip(here.rows, there.rows, strict=True):
        assert one.result.bounds == other.result.bounds
        assert one.held_out == other.held_out
    assert len({total for _, total in shown}) == 1


def test_a_stopped_sweep_says_which_sizes_it_did_not_come_to():
    stop, sizes = Event(), make_sizes(16, [4], slots_per_gpu=[5, 6, 7])

    def watch(done, total, name):
        if done == 1:
            stop.set()

    report = sweep(LOAD, sizes, time_limit=0.2, progress=watch, stop=stop)
    assert [row.problem for row in report.rows] == ["", "", STOPPED]


def test_a_lost_size_has_its_reason_in_the_report():
    sizes = make_sizes(16, [4], slots_per_gpu=[5, 6])
    # Both are handed out and lost, and the first one's second try is lost as well.
    report = sweep(LOAD, sizes, effort=1, executor=LosingPool(3))
    assert "lost twice" in report.rows[0].problem
    assert report.rows[1].result is not None


def told(row):
    return row.loads, row.machine, row.method, row.model_gap


def test_rows_of_the_suite_on_an_executor_are_the_same_rows():
    machines = [Machine(20, 4), Machine(24, 4)]
    loads = {"one": LOAD, "other": LOAD[::-1]}
    with ThreadPoolExecutor(2) as pool:
        here, there = (
            list(plan_rows(loads, machines, [0.0], heuristics=["greedy"], executor=each))
            for each in (None, pool)
        )
    assert [told(row) for row in here] == [told(row) for row in there]
    assert len(here) == 8
    with pytest.raises(RuntimeError, match=r"one on .* lost twice"):
        list(plan_rows(loads, machines, [0.0], executor=LosingPool(100)))
