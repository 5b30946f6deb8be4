"""First calls: while the kernels are cold the answer comes all the same."""

import os
import subprocess
import sys

import numpy as np
import pytest

from eplb_opt.bench.families import family_loads
from eplb_opt.hot import call, kernels
from heuristics import greedy_numpy
from heuristics.errors import MissingDependency

LOAD = family_loads("lognormal-1.0", 6, 64, 0)
SIZES = 80, 1, 1, 20

FIRST_CALL = """
import eplb_opt, sys
from eplb_opt.bench.families import family_loads
from eplb_opt.hot import kernels
from heuristics import greedy_numpy
load = family_loads("lognormal-1.0", 6, 64, 0)
first = eplb_opt.rebalance_experts(load, 80, 1, 1, 20, time_limit=0.005)
print(kernels.is_warm(), (first[0] == greedy_numpy.rebalance_experts(load, 80, 1, 1, 20)[0]).all())
kernels.warm_kernels()
later = eplb_opt.rebalance_experts(load, 80, 1, 1, 20, effort=300)
print(kernels.is_warm(), (later[0] == first[0]).all())
"""


def test_a_first_call_with_a_limit_does_not_wait_for_the_kernels(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FIRST_CALL],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
    )
    assert done.stdout.split() == ["False", "True", "True", "False"]


@pytest.fixture
def cold(monkeypatch):
    asked = []
    monkeypatch.setattr(call, "is_warm", lambda: False)
    monkeypatch.setattr(call, "warm_in_background", lambda: asked.append(1))
    return asked


def test_a_cold_call_answers_in_numpy_and_asks_for_the_kernels(cold):
    maps = call.rebalance(LOAD, *SIZES, time_limit=0.001)
    for mine, theirs in zip(maps, greedy_numpy.rebalance_experts(LOAD, *SIZES), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert cold == [1]


def test_a_cold_call_keeps_a_better_plan_in_force(cold):
    pytest.importorskip("numba")
    current = call.rebalance(LOAD, *SIZES, effort=1000)[0]
    maps = call.rebalance(LOAD, *SIZES, time_limit=0.001, current=current)
    np.testing.assert_array_equal(maps[0], current)


def test_without_numba_effort_answers_in_numpy(monkeypatch):
    def absent():
        raise MissingDependency("no numba")

    monkeypatch.setattr(call, "warm_kernels", absent)
    maps = call.rebalance(LOAD, *SIZES, effort=100)
    np.testing.assert_array_equal(maps[0], greedy_numpy.rebalance_experts(LOAD, *SIZES)[0])


def test_kernels_that_cannot_be_loaded_are_reported_once(monkeypatch, caplog):
    def broken():
        raise OSError("no disk")

    monkeypatch.setattr(kernels, "warm_kernels", broken)
    monkeypatch.setattr(kernels, "_thread", None)
    for _ in range(3):
        kernels.warm_in_background()
        kernels._thread.join()
    assert [r.message for r in caplog.records if "no disk" in r.message] == [
        "the kernels cannot be loaded, plans come from numpy: no disk"
    ]
