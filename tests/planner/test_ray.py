"""Turns on a Ray cluster of two processes; workers and drivers are killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest

import eplb_opt
from eplb_opt import MissingDependency, Problem, ProblemError
from eplb_opt.planner import ray_executor
from tests.planner.pools import TravellingStage
from tests.planner.stages import use_stages
from tests.planner.test_remote import FLAT, PROBLEMS, same

#: A test that waits for so long has failed.
PATIENCE = 120.0
#: Plans on the cluster, slowly, with a job; the arguments are address, folder and notes.
DRIVER = """
import sys
import eplb_opt
from tests.planner.pools import TravellingStage
from tests.planner.test_ray import LAYERS
import eplb_opt.planner.call
address, folder, notes = sys.argv[1:]
stage = TravellingStage("far", notes=notes, seconds=0.4)
eplb_opt.planner.call.schedule = lambda problem, options: [stage]
eplb_opt.plan(LAYERS, effort=1, cluster=address, job=folder)
"""
LAYERS = Problem(np.random.default_rng(5).lognormal(8, 1, (10, 32)).astype(np.int64), 40, 10)


def test_a_missing_ray_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependency, match=r"eplb-opt\[ray\]"):
        eplb_opt.plan(FLAT, time_limit=1.0, cluster="auto")


def test_an_address_where_nobody_answers_is_refused():
    pytest.importorskip("ray")
    with pytest.raises(ProblemError, match=r"cluster='127\.0\.0\.1:1' is no Ray cluster that"):
        eplb_opt.plan(FLAT, effort=1, cluster="127.0.0.1:1")


def test_a_cluster_that_does_not_answer_in_time_is_done_without(monkeypatch):
    asked = threading.Event()
    monkeypatch.setattr(ray_executor._CONNECTION, "hold", lambda address: asked.wait(PATIENCE))
    monkeypatch.setattr(ray_executor._CONNECTION, "let_go", lambda: None)
    result = eplb_opt.plan(FLAT, time_limit=0.4, cluster="auto")
    assert any("the cluster auto did not answer in time" in message for message in result.messages)
    result.plan.check(FLAT)
    asked.set()


@pytest.fixture(scope="module")
def cluster():
    """The address of a cluster with two workers."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: eplb-opt[ray] brings it")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=80_000_000,
    )
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


def test_counted_work_ends_in_the_same_answer_on_a_cluster(cluster):
    problem = PROBLEMS["two slots"]
    here = eplb_opt.plan(problem, effort=3)
    assert same(here, eplb_opt.plan(problem, effort=3, cluster="auto"))
    import ray

    assert ray.is_initialized()  # the connection was there before, and stays


def test_a_worker_killed_in_the_middle_is_replaced(cluster, monkeypatch, tmp_path):
    stage = TravellingStage("far", notes=str(tmp_path / "notes"), kills=str(tmp_path / "killed"))
    use_stages(monkeypatch, stage)
    result = eplb_opt.plan(LAYERS, effort=1, cluster=cluster)
    assert (tmp_path / "killed").exists()
    assert result.messages[0].startswith("a worker was lost, and its turn taken again")
    assert len(result.messages) == 1
    turns = Counter(line.split()[0] for line in (tmp_path / "notes").read_text().splitlines())
    # Ray itself takes again what else the lost worker had been handed.
    assert len(turns) == 10
    assert set(turns.values()) == {1, 2}


def test_a_killed_driver_leaves_a_job_that_goes_on(cluster, monkeypatch, tmp_path):
    job, notes = tmp_path / "job", tmp_path / "notes"
    child = subprocess.Popen([sys.executable, "-c", DRIVER, cluster, str(job), str(notes)])
    until = time.monotonic() + PATIENCE
    while len(list(job.glob("layer-*.json"))) < 3:
        assert time.monotonic() < until
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept = {int(path.stem.partition("-")[2]) for path in job.glob("layer-*.json")}
    assert len(kept) < 10
    stage = TravellingStage("far", notes=str(notes))
    use_stages(monkeypatch, stage)
    result = eplb_opt.plan(LAYERS, effort=1, cluster=cluster, job=job)
    assert f"was left by process {child.pid}" in result.messages[0]
    turns = Counter(int(line.split()[0]) for line in notes.read_text().splitlines())
    assert set(turns) == set(range(10))
    assert {turns[layer_idx] for layer_idx in kept} == {1}
    monkeypatch.undo()
    use_stages(monkeypatch, TravellingStage("far"))
    whole = eplb_opt.plan(LAYERS, effort=1)
    np.testing.assert_array_equal(result.plan.physical_to_logical, whole.plan.physical_to_logical)
    assert result.bounds == whole.bounds


def test_a_task_that_is_taken_back_does_not_begin(cluster, tmp_path):
    pool = ray_executor.RayExecutor()
    assert pool.num_cpus == 2
    busy = [pool.submit(_sleep, 0.5) for _ in range(2)]
    late = pool.submit(_touch, str(tmp_path / "late"))
    assert late.cancel()
    for future in busy:
        future.result(PATIENCE)
    assert not (tmp_path / "late").exists()


def _sleep(seconds):
    time.sleep(seconds)


def _touch(path):
    open(path, "w").close()
