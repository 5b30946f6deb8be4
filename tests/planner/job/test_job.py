"""Jobs: the same answer as in one go, nothing done twice, and nothing believed."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from fractions import Fraction
from threading import Event

import numpy as np
import pytest

import eplb_opt
from eplb_opt import FormatError, ProblemError
from eplb_opt.io import files
from eplb_opt.planner import executor
from eplb_opt.planner.job import directory, is_begun
from eplb_opt.solver import Answer, Verdict
from tests.planner.stages import MadeStage, use_stages
from tests.planner.test_remote import FLAT, PROBLEMS, same

EFFORT = 3


@pytest.fixture
def turns(monkeypatch):
    """Counts the turns that solvers have in this process, by layer and stage."""
    counted = Counter()
    solve = executor.LayerSolvers.solve

    def counting(self, turn):
        counted[turn.task.layer_idx, turn.stage.name] += 1
        return solve(self, turn)

    monkeypatch.setattr(executor.LayerSolvers, "solve", counting)
    return counted


def stopped_after(num, problem, job, **arguments):
    """A call that is stopped once so many turns have ended, as by Ctrl-C."""
    stop, seen = Event(), []

    def watch(point):
        seen.append(point.stage)
        # Warm starts, hierarchy and noise are noted before any turn.
        if len(seen) >= num:
            stop.set()

    return eplb_opt.plan(problem, job=job, stop=stop, progress=watch, workers=1, **arguments)


def documents(folder):
    return {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_a_job_cut_short_ends_in_the_same_answer_and_does_nothing_twice(tmp_path, problem, turns):
    whole = eplb_opt.plan(problem, effort=EFFORT, workers=1)
    wanted = Counter(turns)
    turns.clear()
    notes = len(whole.history)
    for num in (notes - 3, notes - 2, notes - 1):
        part = stopped_after(num, problem, tmp_path / "job", effort=EFFORT)
        part.plan.check(problem)
    assert bool(turns) == bool(wanted)
    resumed = eplb_opt.plan(problem, effort=EFFORT, job=tmp_path / "job")
    again = eplb_opt.plan(problem, effort=EFFORT, job=tmp_path / "job")
    proven_again = [message for message in resumed.messages if "proven again" in message]
    assert set(turns) == set(wanted)
    if not proven_again:
        # The turn in which the stop came is taken again, three times at most.
        assert (turns - wanted).total() <= 3
        assert same(whole, resumed)
        assert same(whole, again)
    for result in (resumed, again):
        assert result.bounds == whole.bounds
        np.testing.assert_array_equal(
            result.plan.physical_to_logical, whole.plan.physical_to_logical
        )


def test_a_job_that_is_done_takes_no_turn(tmp_path, turns):
    whole = eplb_opt.plan(FLAT, effort=EFFORT, job=tmp_path)
    turns.clear()
    assert same(whole, eplb_opt.plan(FLAT, effort=EFFORT, job=tmp_path))
    assert not turns
    assert not list(tmp_path.glob(".*"))
    assert not (tmp_path / "lock").exists()


def test_a_job_under_a_clock_goes_on_from_what_it_has(tmp_path, turns):
    first = eplb_opt.plan(FLAT, time_limit=0.5, job=tmp_path)
    kept = documents(tmp_path)
    second = eplb_opt.plan(FLAT, time_limit=0.3, job=tmp_path)
    assert (second.objective <= first.objective).all()
    assert (second.lower_bound >= first.lower_bound).all()
    numbers = [sum(r["turns"] for r in kept[name]["records"]) for name in kept if "layer" in name]
    later = documents(tmp_path)
    more = [sum(r["turns"] for r in later[name]["records"]) for name in kept if "layer" in name]
    assert sum(more) >= sum(numbers) > 0
    # Turns under way when the time is up are lost.
    assert sum(more) <= turns.total()


def test_a_job_may_go_on_with_other_limits_workers_and_places(tmp_path):
    from tests.planner.pools import HerePool

    whole = eplb_opt.plan(FLAT, effort=EFFORT)
    stopped_after(2, FLAT, tmp_path, effort=EFFORT)
    result = eplb_opt.plan(
        FLAT, effort=EFFORT, job=tmp_path, workers=3, executor=HerePool(), target_gap=0.0
    )
    assert same(whole, result)


def test_a_stage_that_failed_has_its_turn_again(tmp_path, monkeypatch):
    is_broken = [True]

    def solve(task):
        if is_broken:
            raise OSError("no luck")
        return Answer(verdict=Verdict.FINISHED)

    use_stages(monkeypatch, MadeStage("late", solve))
    first = eplb_opt.plan(FLAT, effort=EFFORT, job=tmp_path)
    assert "late failed: OSError: no luck (layers 0-2)" in first.messages
    is_broken.clear()
    second = eplb_opt.plan(FLAT, effort=EFFORT, job=tmp_path)
    assert not [message for message in second.messages if "failed" in message]


def test_counted_work_that_was_stopped_in_its_middle_is_not_done(tmp_path, monkeypatch):
    stop, seen = Event(), []

    def solve(task):
        seen.append(task.layer_idx)
        if len(seen) == 2:
            stop.set()  # and so this turn may have ended early
        return Answer(verdict=Verdict.FINISHED)

    use_stages(monkeypatch, MadeStage("late", solve))
    eplb_opt.plan(FLAT, effort=EFFORT, job=tmp_path, stop=stop, workers=1)
    assert seen == [0, 1]
    eplb_opt.plan(FLAT, effort=EFFORT, job=tmp_path, workers=1)
    assert seen == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"effort": 4}, "effort 3 there and 4 here"),
        ({"seed": 7}, "seed 0 there and 7 here"),
        ({"model": "milp"}, "another model"),
        ({"starts": ["greedy"]}, "another starts"),
    ],
    ids=lambda change: str(change),
)
def test_the_job_of_another_call_is_refused_and_left_as_it_is(tmp_path, change, words):
    eplb_opt.plan(FLAT, effort=EFFORT, job=tmp_path)
    before = documents(tmp_path)
    with pytest.raises(ProblemError, match=f"another call.*{words}.*take an empty directory"):
        eplb_opt.plan(FLAT, **{"effort": EFFORT, "job": tmp_path, **change})
    assert documents(tmp_path) == before
    assert not (tmp_path / "lock").exists()


def test_the_job_of_another_problem_is_refused(tmp_path):
    eplb_opt.plan(FLAT, effort=1, job=tmp_path)
    for problem, words in (
        (FLAT.with_load(FLAT.load + 1), "another load"),
        (FLAT.with_slots(50), "num_slots 40 there and 50 here"),
        (FLAT.with_dispatch("optimal"), "another dispatch"),
    ):
        with pytest.raises(ProblemError, match=words):
            eplb_opt.plan(problem, effort=1, job=tmp_path)


def test_other_versions_are_refused_where_work_is_counted_and_told_under_a_clock(
    tmp_path, monkeypatch
):
    for arguments, name in (({"effort": 1}, "counted"), ({"time_limit": 0.2}, "timed")):
        eplb_opt.plan(FLAT, job=tmp_path / name, **arguments)
    ours = directory.installed_versions()
    monkeypatch.setattr(directory, "installed_versions", lambda: {**ours, "ortools": "1.0"})
    with pytest.raises(ProblemError, match=r"ortools 1\.0 instead of"):
        eplb_opt.plan(FLAT, effort=1, job=tmp_path / "counted")
    result = eplb_opt.plan(FLAT, time_limit=0.2, job=tmp_path / "timed")
    assert any("ortools 1.0 instead of" in message for message in result.messages)


def change_record(path, change):
    document = json.loads(path.read_text())
    for record in document["records"]:
        change(record)
    path.write_text(json.dumps(document))


def swap_experts(record):
    if record["plan"]:
        record["plan"][0] = record["plan"][-1]


def lie_about_worth(record):
    if record["objective"]:
        record["objective"] = "1"


def raise_the_bound(record):
    if record["certificate"]:
        record["bound"] = str(Fraction(record["bound"]) + 1)


def raise_bound_and_claim(record):
    if record["certificate"]:
        record["bound"] = record["certificate"]["bound"] = str(Fraction(record["bound"]) + 1)


def drop_the_certificate(record):
    record["certificate"] = None


@pytest.mark.parametrize(
    "change",
    [swap_experts, lie_about_worth, raise_bound_and_claim],
    ids=lambda change: change.__name__,
)
def test_what_was_tampered_with_is_told_and_its_layer_begins_anew(tmp_path, change, turns):
    problem = PROBLEMS["two slots"]
    whole = eplb_opt.plan(problem, effort=EFFORT, job=tmp_path)
    path = tmp_path / directory.layer_file(1)
    before = path.read_text()
    change_record(path, change)
    assert path.read_text() != before
    turns.clear()
    result = eplb_opt.plan(problem, effort=EFFORT, job=tmp_path)
    assert any(str(path) in message and "begins anew" in message for message in result.messages), (
        result.messages
    )
    assert result.bounds == whole.bounds
    assert {layer_idx for layer_idx, _ in turns} == {1}
    turns.clear()
    assert same(whole, eplb_opt.plan(problem, effort=EFFORT, job=tmp_path))
    assert not turns


@pytest.mark.parametrize("change", [raise_the_bound, drop_the_certificate])
@pytest.mark.parametrize("budget", [{"effort": EFFORT}, {"time_limit": 5.0}], ids=str)
def test_of_a_bound_no_more_is_believed_than_is_proven(tmp_path, change, budget, turns):
    problem = PROBLEMS["two slots"]
    whole = eplb_opt.plan(problem, job=tmp_path, **budget)
    change_record(tmp_path / directory.layer_file(1), change)
    turns.clear()
    result = eplb_opt.plan(problem, job=tmp_path, **budget)
    assert any("prove, so they are proven again (layer 1)" in m for m in result.messages)
    assert result.bounds == whole.bounds
    assert result.status == ["optimal"] * 3
    assert {layer_idx for layer_idx, _ in turns} <= {1}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"eplb_opt_job_layer": 1}'])
def test_a_damaged_file_is_told_and_its_layer_begins_anew(tmp_path, content):
    whole = eplb_opt.plan(FLAT, effort=EFFORT, job=tmp_path)
    (tmp_path / directory.layer_file(2)).write_bytes(content)
    result = eplb_opt.plan(FLAT, effort=EFFORT, job=tmp_path)
    assert len(result.messages) == len(whole.messages) + 1
    assert result.bounds == whole.bounds


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "no JSON"), ("{}", "no job"), ('{"eplb_opt_job": 1}', "was changed")],
)
def test_a_directory_whose_own_file_is_damaged_is_refused(tmp_path, content, words):
    (tmp_path / directory.JOB_FILE).write_text(content)
    with pytest.raises(FormatError, match=words):
        eplb_opt.plan(FLAT, effort=1, job=tmp_path)


def full_disk(monkeypatch, after=0):
    """Let the disk be full from then on."""
    left, fsync = [after], os.fsync

    def refuse(descriptor):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", refuse)


@pytest.mark.parametrize("budget", [{"effort": EFFORT}, {"time_limit": 0.5}], ids=str)
@pytest.mark.parametrize("after", [0, 2])
def test_a_full_disk_costs_the_job_and_not_the_answer(tmp_path, monkeypatch, budget, after):
    full_disk(monkeypatch, after)
    result = eplb_opt.plan(FLAT, job=tmp_path, **budget)
    result.plan.check(FLAT)
    told = [message for message in result.messages if "No space left on device" in message]
    assert len(told) == 1
    for path in tmp_path.glob("*.json"):
        json.loads(path.read_text())  # whole, or not there
    assert not list(tmp_path.glob(".*"))
    monkeypatch.undo()
    again = eplb_opt.plan(FLAT, job=tmp_path, **budget)
    assert not [message for message in again.messages if "No space" in message]
    assert is_begun(tmp_path)


def test_a_job_needs_a_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="is a file"):
        eplb_opt.plan(FLAT, effort=1, job=tmp_path / "file")
    with pytest.raises(FormatError, match="cannot be made"):
        eplb_opt.plan(FLAT, effort=1, job=tmp_path / "file" / "below")


def test_two_calls_do_not_share_a_directory(tmp_path):
    words = []

    def second(point):
        if not words:
            with pytest.raises(ProblemError) as error:
                eplb_opt.plan(FLAT, effort=1, job=tmp_path)
            words.append(str(error.value))

    eplb_opt.plan(FLAT, effort=1, job=tmp_path, progress=second)
    assert "at work" in words[0]


def test_noise_once_chosen_is_kept(tmp_path, monkeypatch):
    problem = PROBLEMS["optimal dispatch"]
    first = eplb_opt.plan(problem, effort=EFFORT, job=tmp_path)
    monkeypatch.setattr("eplb_opt.planner.call.choose_noise", None)
    second = eplb_opt.plan(problem, effort=EFFORT, job=tmp_path)
    assert first.noise == second.noise
    assert not [message for message in second.messages if "noise failed" in message]


def test_lost_gpus_are_part_of_the_job(tmp_path):
    active = np.arange(10) != 3
    problem = eplb_opt.Problem(FLAT.load, 40, 10, active_gpus=active)
    whole = eplb_opt.plan(problem, effort=EFFORT)
    assert same(whole, eplb_opt.plan(problem, effort=EFFORT, job=tmp_path))
    assert same(whole, eplb_opt.plan(problem, effort=EFFORT, job=tmp_path))
