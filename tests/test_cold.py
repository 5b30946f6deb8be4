"""Fresh processes: missing packages, cold caches; the answer comes all the same."""

import os
import subprocess
import sys

import pytest

PLAN = """
import sys, time
for name in {missing!r}:
    sys.modules[name] = None
import numpy as np
import eplb_opt
load = np.random.default_rng(0).integers(1, 10**6, (8, {experts}))
problem = eplb_opt.Problem(load, {experts} + 16, 16)
began = time.monotonic()
result = eplb_opt.plan(problem, time_limit={limit})
took = time.monotonic() - began
result.plan.check(problem)
print(took, *result.messages, *result.status, sep="|")
"""


def fresh(missing=(), limit=0.5, experts=64, **environment):
    code = PLAN.format(missing=tuple(missing), limit=limit, experts=experts)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    took, *rest = done.stdout.strip().split("|")
    return float(took), rest, done.stderr


def test_with_numpy_alone_the_best_heuristic_comes_back_and_says_why():
    missing = ["ortools", "numba", "torch", "pulp", "scipy", "rich", "typer"]
    _, said, _ = fresh(missing, limit=2)
    assert any("eplb-opt[search]" in s for s in said)
    assert any("eplb-opt[cpsat]" in s for s in said)
    assert said.count("heuristic") == 8


@pytest.mark.parametrize(("missing", "experts"), [("numba", 64), ("ortools", 32)])
def test_one_missing_package_leaves_the_others_at_work(missing, experts):
    _, said, _ = fresh([missing], limit=10, experts=experts)
    assert sum(missing in s for s in said) == 1
    assert said.count("heuristic") < 8


def test_a_cold_cache_costs_no_more_than_the_time_limit(tmp_path):
    took, _, _ = fresh(limit=0.3, NUMBA_CACHE_DIR=str(tmp_path))
    assert took < 2.0  # compiling all kernels takes longer than that


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    took, _, _ = fresh(limit=0.3, NUMBA_CACHE_DIR=str(blocked / "cache"))
    assert took < 2.0
