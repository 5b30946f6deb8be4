"""Replays of drifting and recorded loads beside engines, small ones written here."""

import numpy as np
import pytest

from eplb_opt import FormatError, MoveCost, ProblemError
from eplb_opt.bench import replays
from eplb_opt.bench.families import family_loads
from eplb_opt.bench.rival_policies import rival_policies
from eplb_opt.io import Trace
from eplb_opt.problem.machine import Machine
from tests.bench.test_rivals import add_sglang, folder  # noqa: F401

MACHINE = Machine(24, 4)
LOAD = family_loads("lognormal-0.5", 2, 16, 0)
COST = MoveCost(10**6, 1e9, 0.05, 0.5, 100)


def test_loads_drift_by_as_much_as_asked_and_keep_their_number_of_tokens():
    (series,) = replays.drifting("it", LOAD, [0.1], 40)
    (windows,) = series.trace.chunks()
    assert series.name == "it, drift 10%"
    assert windows.shape == (40, *LOAD.shape)
    assert (windows[0] == LOAD).all()
    assert windows.sum(axis=2) == pytest.approx(np.tile(LOAD.sum(axis=1), (40, 1)), rel=1e-4)
    steps = np.diff(np.log(windows), axis=0)
    assert (steps - steps.mean(axis=2, keepdims=True)).std() == pytest.approx(0.1, rel=0.1)
    (again,) = replays.drifting("it", LOAD, [0.1], 40)
    assert (next(again.trace.chunks()) == windows).all()


def test_ours_stand_beside_our_own_code_where_there_are_no_engines():
    (series,) = replays.drifting("it", LOAD, [0.2], 4)
    report = replays.replayed(series, MACHINE, COST)
    assert [run.name for run in report.runs] == ["near", "worth", "deepseek"]
    near, _, anew = report.runs
    assert near.moves.sum() < anew.moves.sum()
    assert len(near.moves) == 3
    assert all(run.net is not None for run in report.runs)


def test_engines_released_code_is_run_in_the_same_replay(folder):  # noqa: F811
    pytest.importorskip("torch")
    add_sglang(folder)
    (series,) = replays.drifting("it", LOAD, [0.2], 4)
    report = replays.replayed(series, MACHINE, COST, folder)
    runs = {run.name: run for run in report.runs}
    assert list(runs) == ["near", "worth", "vllm", "sglang"]
    assert runs["vllm"].is_heuristic
    assert not runs["vllm"].problem
    # The small engine of the test answers with the experts in order, whatever the loads.
    assert runs["vllm"].moves.tolist() == [0, 0, 0]


def test_what_an_engine_gets_is_the_plan_in_force(folder):  # noqa: F811
    pytest.importorskip("torch")
    policy = folder / "vllm/distributed/eplb/policy/default.py"
    text = policy.read_text().replace("slots, experts =", "assert (old == 3).all()\n        a, b =")
    policy.write_text(text)
    make = rival_policies(folder)["vllm"].planner
    problem = MACHINE.problem(LOAD)
    with pytest.raises(NameError):  # past the assertion
        make(problem, np.full((2, 24), 3), None)
    with pytest.raises(AssertionError):
        make(problem, None, None)


def test_a_folder_without_engines_is_refused(tmp_path):
    with pytest.raises(FormatError, match="neither vLLM's nor SGLang's"):
        rival_policies(tmp_path)
    with pytest.raises(ProblemError, match="files are needed"):
        rival_policies(tmp_path / "absent")


def test_recordings_of_one_model_are_joined_in_order():
    first, second = Trace.of(LOAD[None]), Trace.of(np.stack([LOAD * 2, LOAD * 3]))
    (windows,) = replays.joined([first, second]).chunks()
    assert (windows == np.stack([LOAD, LOAD * 2, LOAD * 3])).all()
    with pytest.raises(ProblemError, match="one model"):
        replays.joined([first, Trace.of(LOAD[None, :, :8])])


def test_long_recordings_are_cut_into_windows():
    trace = Trace.of(np.tile(LOAD, (33, 1, 1)))
    assert replays.Series.of("it", trace, 16).every == 2
    assert replays.Series.of("it", trace, 100).every == 1
