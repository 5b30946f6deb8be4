import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt import MissingDependency, Problem, ProblemError, evaluate
from eplb_opt.engines import every_rank
from eplb_opt.engines.every_rank import EFFORT_VARIABLE, is_asked_for, place, place_apart, topology
from heuristics import greedy, greedy_numpy

LOAD = np.random.default_rng(7).zipf(1.4, (4, 32)).clip(max=10**6) * 37
NUMBERS = (40, 1, 1, 8)


@pytest.fixture(autouse=True)
def no_effort(monkeypatch):
    monkeypatch.delenv(EFFORT_VARIABLE, raising=False)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 60), min_size=12, max_size=12), min_size=1, max_size=3),
    st.sampled_from([(16, 1, 1, 8), (12, 1, 1, 4), (24, 4, 2, 8), (24, 6, 3, 6), (24, 1, 1, 2)]),
)
def test_the_compiled_greedy_and_the_one_in_numpy_give_the_same_bytes(rows, numbers):
    compiled = greedy.rebalance_experts(np.array(rows), *numbers)
    plain = greedy_numpy.rebalance_experts(np.array(rows), *numbers)
    assert [m.tobytes() for m in compiled] == [m.tobytes() for m in plain]
    placed = place(np.array(rows), *numbers, effort=0)
    assert [m.tobytes() for m in placed] == [m.tobytes() for m in plain]


HASH_OF_AN_ANSWER = """
import hashlib, sys
import numpy as np
if sys.argv[1] == "bare":
    sys.modules["torch"] = None
from eplb_opt.engines.every_rank import place
load = np.random.default_rng(3).integers(0, 500, (6, 64))
effort = int(sys.argv[2])
maps = place(load, 80, 8, 2, 8, effort) + place(load * 1.25, 72, 1, 1, 12, effort)
print(hashlib.sha256(b"".join(m.tobytes() for m in maps)).hexdigest())
"""


@pytest.mark.parametrize(("other", "effort"), [("bare", 0), ("bare", 40)])
def test_fresh_processes_agree_whatever_they_have_installed(other, effort):
    answers = []
    for kind, seed in (("full", "0"), (other, "2")):
        env = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", HASH_OF_AN_ANSWER, kind, str(effort)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        answers.append(run.stdout)
    assert len(set(answers)) == 1


def test_effort_gives_the_same_bytes_every_time_and_a_better_plan():
    plans = [place(LOAD, *NUMBERS, effort=5)[0] for _ in range(2)]
    assert plans[0].tobytes() == plans[1].tobytes()
    problem = Problem(LOAD, 40, 8)
    worked, plain = (
        evaluate(problem, p).objective for p in (plans[0], place(LOAD, *NUMBERS, effort=0)[0])
    )
    assert (worked <= plain).all()
    assert worked.sum() < plain.sum()


def test_threads_that_plan_at_the_same_time_get_the_same_bytes():
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: place(LOAD, *NUMBERS, effort=2)[0].tobytes(), range(4)))
    assert len(set(answers)) == 1


def test_no_clock_decides(monkeypatch):
    plain = place(LOAD, *NUMBERS, effort=3)[0]
    ticks = iter(range(10**9))
    monkeypatch.setattr("time.monotonic", lambda: float(next(ticks)) * 100)
    assert place(LOAD, *NUMBERS, effort=3)[0].tobytes() == plain.tobytes()


def test_the_variable_sets_the_effort_and_an_argument_overrides_it(monkeypatch):
    seen = []
    monkeypatch.setattr(
        every_rank, "rebalance", lambda *_, effort: seen.append(effort) or (None,) * 3
    )
    monkeypatch.setenv(EFFORT_VARIABLE, " 7 ")
    place(LOAD, *NUMBERS)
    place(LOAD, *NUMBERS, effort=3)
    place(LOAD, *NUMBERS, effort=0)
    assert seen == [7, 3]


@pytest.mark.parametrize("value", ["-1", "many", "1.5", "²"])
def test_an_effort_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv(EFFORT_VARIABLE, value)
    with pytest.raises(ProblemError, match=r"EPLB_OPT_EFFORT.*whole number"):
        place(LOAD, *NUMBERS)


@pytest.mark.parametrize("package", every_rank.PLANNER_ENGINES)
def test_a_rank_that_lacks_an_engine_says_so_instead_of_planning_with_less(monkeypatch, package):
    problem = Problem(LOAD, 40, 8, colocation="forbid")
    find = every_rank.find_spec
    monkeypatch.setattr(every_rank, "find_spec", lambda p: None if p == package else find(p))
    with pytest.raises(MissingDependency, match=rf"{package}.*eplb-opt\[all\]"):
        place_apart(problem, effort=1)
    place_apart(problem, effort=0)  # needs none


def test_no_groups_count_as_one():
    assert topology(None, 1) == topology(0, 1) == topology(1, 1) == (1, 1)
    assert topology(4, 2) == (4, 2)
    assert topology(None, 2) == topology(3, 2) == (1, 1)


def test_sizes_that_make_no_problem_are_refused_as_such():
    for numbers in ((40, 1, 1, 7), (16, 1, 1, 8), (40, 5, 1, 8), (40, 2, 0, 8)):
        with pytest.raises(ProblemError):
            place(LOAD, *numbers)


def test_apart_is_apart_and_the_greedy_stays_where_it_is_apart_already():
    load = np.array([[97, 1, 1, 1, 1, 1, 1, 1], [8, 1, 2, 3, 2, 8, 8, 6]])
    problem = Problem(load, 12, 4, colocation="forbid")
    placed = place_apart(problem, effort=0)
    eplb_opt.Plan(placed, 4).check(problem)
    assert (placed[1] == place(load, 12, 1, 1, 4, effort=0)[0][1]).all()
    with pytest.raises(eplb_opt.PlanError):  # what had to be mended in the other layer
        eplb_opt.Plan(place(load, 12, 1, 1, 4, effort=0)[0], 4).check(problem)
    eplb_opt.Plan(place_apart(problem, effort=2), 4).check(problem)


@pytest.mark.parametrize(
    ("value", "answer"), [("1", True), ("ON", True), ("0", False), ("", False)]
)
def test_switches_are_read(monkeypatch, value, answer):
    monkeypatch.setenv("EPLB_OPT_TEST", value)
    assert is_asked_for("EPLB_OPT_TEST") is (value in ("1", "ON"))


def test_a_switch_that_says_neither_yes_nor_no_is_refused(monkeypatch):
    monkeypatch.setenv("EPLB_OPT_TEST", "maybe")
    with pytest.raises(ProblemError, match="EPLB_OPT_TEST='maybe'"):
        is_asked_for("EPLB_OPT_TEST")
    monkeypatch.delenv("EPLB_OPT_TEST")
    assert not is_asked_for("EPLB_OPT_TEST")
