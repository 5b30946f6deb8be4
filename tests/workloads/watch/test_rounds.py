"""What a round does with recordings that are new, the same, half-written or of another model."""

from threading import Event

import numpy as np
import pytest

import eplb_opt
from eplb_opt.errors import FormatError, MissingDependency, ProblemError
from eplb_opt.io import read_plan, write_plan
from eplb_opt.placement.moves import moved_slots
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.machine import Machine
from eplb_opt.workloads.watch import Outcome, Settings, Sources, Watch
from tests.workloads.watch.places import LOAD, MACHINE, Place, drifted


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_the_first_round_writes_a_plan_of_the_recording(place):
    place.record()
    done = place.watch().round()
    assert done.outcome == Outcome.WRITTEN
    problem = MACHINE.problem(LOAD)
    score = eplb_opt.evaluate(problem, read_plan(place.map))
    whole = (score.balancedness * score.objective).sum() / score.objective.sum()
    assert done.figures.planned == pytest.approx(whole)
    assert done.figures.planned_worst == pytest.approx(score.balancedness.min())
    assert (done.figures.before, done.figures.moves) == (None, None)


def test_what_is_surely_no_load_fails_the_round_and_leaves_the_map(place):
    place.record()
    watch = place.watch()
    watch.round()
    before = place.map.read_bytes()
    pattern = np.eye(24, dtype=np.int64)[np.random.default_rng(1).permutation(24)][None].repeat(
        3, 0
    )
    place.record(load=pattern, at=9)  # which device holds which expert
    done = watch.round()
    assert done.outcome == Outcome.FAILED
    assert "nothing but 0 and 1" in done.line
    assert place.map.read_bytes() == before


def test_a_change_starts_from_the_map_in_force_and_counts_its_moves(place):
    place.record()
    watch = place.watch()
    watch.round()
    before = Plan(read_plan(place.map), MACHINE.num_gpus)
    load = drifted(1)
    place.record(load=load, at=9)
    done = watch.round()
    after = Plan(read_plan(place.map), MACHINE.num_gpus)
    assert done.outcome == Outcome.WRITTEN
    assert done.figures.moves == moved_slots(before, after).sum() > 0
    score = eplb_opt.evaluate(MACHINE.problem(load), before)
    assert done.figures.before_worst == pytest.approx(score.balancedness.min())
    assert done.figures.before < done.figures.planned
    anew = eplb_opt.plan(MACHINE.problem(load), effort=2, workers=1, current=before)
    assert done.figures.moves <= anew.moves.sum()


def test_the_same_recordings_are_planned_for_once_over_restarts_and_copies(place):
    place.record()
    place.watch().round()
    written = place.map.stat().st_mtime_ns
    assert place.watch().round().outcome == Outcome.UNCHANGED
    place.record(at=77)  # the same bytes at another time
    assert place.watch().round().outcome == Outcome.UNCHANGED
    assert place.map.stat().st_mtime_ns == written


@pytest.mark.parametrize("change", ["settings", "another map", "no map"])
def test_what_makes_the_old_answer_stale_plans_anew(place, change):
    place.record()
    place.watch().round()
    options = {}
    if change == "settings":
        options["move_tolerance"] = 0.1
    elif change == "another map":
        write_plan(place.map, np.tile(np.arange(32) % 24, (3, 1)), num_gpus=8)
    else:
        place.map.unlink()
    done = place.watch(**options).round()
    assert done.outcome in (Outcome.WRITTEN, Outcome.KEPT)
    assert place.map.exists()


def test_a_half_written_recording_fails_one_round_and_costs_no_map(place):
    place.record()
    watch = place.watch()
    watch.round()
    before = place.map.read_bytes()
    whole = place.record(load=drifted(2), at=9).read_bytes()
    (place.dumps / "a.npy").write_bytes(whole[: len(whole) // 2])
    done = watch.round()
    assert done.outcome == Outcome.FAILED
    assert isinstance(done.error, FormatError)
    assert "a.npy" in done.line
    assert place.map.read_bytes() == before
    (place.dumps / "a.npy").write_bytes(whole)
    assert watch.round().outcome == Outcome.WRITTEN


def test_a_recording_that_grows_while_it_is_read_is_left_for_the_next_round(place, monkeypatch):
    path = place.record()
    read = Watch._read

    def read_and_grow(self, name):
        loads = read(self, name)
        np.save(path, np.concatenate([LOAD, LOAD]))
        return loads

    monkeypatch.setattr(Watch, "_read", read_and_grow)
    done = place.watch().round()
    assert done.outcome == Outcome.FAILED
    assert "still being written" in done.line
    assert not place.map.exists()


def test_below_the_least_gain_the_map_stays_byte_for_byte(place):
    place.record()
    place.watch().round()
    before = place.map.read_bytes()
    place.record(load=drifted(3, 0.02), at=9)
    done = place.watch(min_gain=0.5).round()
    assert done.outcome == Outcome.KEPT
    assert place.map.read_bytes() == before
    assert done.figures.in_force == done.figures.before
    assert place.watch(min_gain=0.5).round().outcome == Outcome.UNCHANGED


def test_the_gain_is_weighed_in_exact_sums(place):
    place.record()
    place.watch().round()
    load = drifted(4)
    place.record(load=load, at=9)
    problem = MACHINE.problem(load)
    old = eplb_opt.evaluate(problem, read_plan(place.map)).objective.sum()
    done = place.watch(min_gain=1e-9).round()
    new = eplb_opt.evaluate(problem, read_plan(place.map)).objective.sum()
    assert done.outcome == Outcome.WRITTEN
    assert new < old


def test_the_map_given_as_in_force_counts_until_there_is_an_output(place, tmp_path):
    current = tmp_path / "current.npz"
    write_plan(current, np.tile(np.arange(32) % 24, (3, 1)), num_gpus=8)
    place.record()
    watch = place.watch(current=current)
    done = watch.round()
    new = Plan(read_plan(place.map), 8)
    assert done.figures.moves == moved_slots(Plan(read_plan(current), 8), new).sum()
    place.record(load=drifted(5), at=9)
    second = watch.round()
    assert second.figures.before_worst == pytest.approx(
        eplb_opt.evaluate(MACHINE.problem(drifted(5)), new).balancedness.min()
    )


def test_a_map_of_another_machine_is_no_start_and_that_is_said(place):
    place.record()
    place.watch().round()
    sources = Sources((place.dumps,))
    wider = Settings(sources, Machine(40, 8), place.map, effort=1, workers=1)
    done = Watch(wider, lambda: 0.0).round()
    assert done.outcome == Outcome.WRITTEN
    assert "does not fit" in done.line
    assert read_plan(place.map).shape == (3, 40)


def test_a_model_of_another_size_fails_with_its_reason(place):
    place.record()
    place.record("b.npy", LOAD[:, :20], at=9)
    done = place.watch(newest=2).round()
    assert done.outcome == Outcome.FAILED
    assert "one plan cannot serve both" in done.line
    few = Settings(Sources((place.dumps,)), Machine(16, 8), place.map, effort=0)
    assert isinstance(Watch(few).round().error, ProblemError)


def test_several_recordings_are_served_by_one_plan(place):
    place.record("a.npy", LOAD, at=1)
    place.record("b.npy", drifted(6), at=2)
    done = place.watch(newest=2).round()
    problem = MACHINE.problem(np.stack([LOAD, drifted(6)]))
    score = eplb_opt.evaluate(problem, read_plan(place.map))
    assert done.figures.planned_worst == pytest.approx(score.balancedness.min())


def test_a_stop_in_the_middle_writes_nothing_and_is_done_again(place):
    place.record()
    watch, stop = place.watch(), Event()
    stop.set()
    assert watch.round(stop).outcome == Outcome.STOPPED
    assert not place.map.exists()
    assert place.watch().round().outcome == Outcome.WRITTEN


def test_what_would_be_read_as_a_recording_is_not_written(place):
    settings = Settings(Sources((place.dumps,)), MACHINE, place.dumps / "map.npz")
    with pytest.raises(FormatError, match="another folder"):
        Watch(settings)
    pattern = Settings(Sources((place.folder / "*.npz",)), MACHINE, place.map)
    with pytest.raises(FormatError, match="another folder"):
        Watch(pattern)


def test_a_package_that_the_map_needs_is_missed_before_any_work(place, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    place.map = place.folder / "map.yaml"
    with pytest.raises(MissingDependency, match="formats"):
        place.watch(engine="trtllm")


@pytest.mark.parametrize("engine", ["sglang", "vllm-ascend", "vllm", "json"])
def test_engines_get_their_format_and_it_is_read_again(place, engine):
    place.map = place.folder / "map.json"
    machine = Machine(32, 8, colocation="forbid")
    place.record()
    for seed in (None, 7):
        if seed is not None:
            place.record(load=drifted(seed), at=9)
        settings = Settings(Sources((place.dumps,)), machine, place.map, engine, effort=2)
        done = Watch(settings, lambda: 0.0).round()
        assert done.outcome == Outcome.WRITTEN, done.line
    assert done.figures.moves > 0


@pytest.mark.parametrize("wrong", [{"min_gain": -1}, {"time_limit": float("nan")}])
def test_numbers_out_of_their_range_are_refused(place, wrong):
    with pytest.raises(ProblemError, match=next(iter(wrong))):
        place.settings(**wrong)
