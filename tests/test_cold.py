"""Fresh processes: whatever package is missing, the answer comes and says what it lacked."""

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
problem = eplb_opt.Problem(load, {slots}, {gpus})
began = time.monotonic()
result = eplb_opt.plan(problem, time_limit={limit})
took = time.monotonic() - began
result.plan.check(problem)
print(took, *result.messages, *result.status, sep="|")
"""
EXTRAS = ("ortools", "torch", "pulp", "scipy", "rich", "typer", "matplotlib")


def fresh(missing=(), limit=0.5, experts=64, slots=80, gpus=16, **environment):
    code = PLAN.format(missing=tuple(missing), limit=limit, experts=experts, slots=slots, gpus=gpus)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    took, *rest = done.stdout.strip().split("|")
    return float(took), rest, done.stderr


def test_with_numpy_alone_the_search_works_and_what_is_missing_is_named():
    _, said, _ = fresh(EXTRAS, limit=1, experts=32, slots=48)
    assert "heuristic" not in said
    assert any("eplb-opt[cpsat]" in s for s in said)


def test_with_numpy_alone_two_slots_a_gpu_are_proven_optimal():
    _, said, _ = fresh(EXTRAS, limit=20, experts=24, slots=32, gpus=16)
    assert said.count("optimal") == 8


@pytest.mark.parametrize("missing", ["ortools", "scipy"])
def test_one_missing_package_leaves_the_others_at_work(missing):
    _, said, _ = fresh([missing], limit=2, experts=32, slots=48)
    assert sum(missing in s for s in said) <= 1
    assert "heuristic" not in said


def test_the_first_call_of_a_process_searches_within_a_short_limit():
    took, said, _ = fresh(limit=0.3)
    assert took < 2.0  # a compiler would take longer
    assert said.count("feasible") + said.count("optimal") == 8
