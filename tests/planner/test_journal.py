"""The log of a call: what it says, that it costs nothing unheard, and that it changes nothing."""

import logging

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem
from eplb_opt.planner import journal
from eplb_opt.planner.journal import Event, Kind

LOADS = np.random.default_rng(5).integers(1, 10**5, (5, 24))
PROBLEM = Problem(LOADS, 32, 8)


@pytest.fixture
def events(caplog):
    """Plan at a level, and get the events that were told."""

    def told(level, **options):
        caplog.clear()
        with caplog.at_level(level, "eplb_opt"):
            result = eplb_opt.plan(PROBLEM, **options)
        found = [r.msg for r in caplog.records if r.name.startswith("eplb_opt.planner")]
        assert all(isinstance(event, Event) for event in found)
        return result, found

    return told


def test_nothing_is_made_where_nobody_listens(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("an event was made")

    monkeypatch.setattr(journal, "Event", refuse)
    monkeypatch.setattr(journal.Journal, "_tell_at", refuse)
    assert not journal.LOGGER.isEnabledFor(logging.INFO)
    assert not eplb_opt.plan(PROBLEM, effort=2).messages


def test_a_call_tells_its_way_from_the_problem_to_the_end(events):
    result, told = events(logging.INFO, effort=20, starts=["deepseek"])
    kinds = [event.kind for event in told]
    assert kinds[:3] == [Kind.PROBLEM, Kind.START, Kind.START]
    assert {Kind.STAGE, Kind.TURN} & set(kinds) == {Kind.STAGE}
    end = next(event for event in told if event.kind is Kind.END)
    assert f"stopped by {result.stop_reason}" in end.words
    assert "5 layers x 24 experts, 32 slots on 8 GPUs; effort 20" in str(told[0])
    for start, event in zip(result.starts, told[1:], strict=False):
        assert f"start {start.name}: objective {start.objective.sum():.10g}" in str(event)
    better = [event for event in told if event.kind in (Kind.PLAN, Kind.PROVEN)]
    assert better[-1].point.objective == pytest.approx(result.objective.sum())


def test_every_layer_that_is_open_has_its_reason_in_the_log(events):
    result, told = events(logging.INFO, effort=1)
    open_layers = [i for i, status in enumerate(result.status) if status != "optimal"]
    said = [event for event in told if event.kind is Kind.OPEN]
    assert sorted(i for event in said for i in event.layers) == open_layers
    assert all("the counted work is done" in event.words for event in said)


@pytest.mark.parametrize("limits", [{"effort": 3}, {"time_limit": 0.5}], ids=str)
def test_every_turn_is_told_at_debug_and_adds_up(events, limits):
    result, told = events(logging.DEBUG, **limits)
    turns = [event for event in told if event.kind is Kind.TURN]
    end = next(event for event in told if event.kind is Kind.END)
    assert sum(share.turns for share in end.shares.values()) == len(turns) > 0
    improved = set().union(*(share.improved for share in end.shares.values()))
    better = result.objective < result.starts[0].objective
    assert improved == set(np.flatnonzero(better).tolist())
    assert all(event.point.stage in event.words for event in turns)


def test_what_is_new_is_told_together_and_nothing_is_lost(events, monkeypatch):
    monkeypatch.setattr(journal, "SECONDS_BETWEEN", 1e9)
    result, told = events(logging.INFO, effort=20)
    better = [event for event in told if event.kind in (Kind.PLAN, Kind.PROVEN, Kind.BOUND)]
    assert len(better) == 2  # the first at once, the others at the end
    changed = set(np.flatnonzero(result.objective < result.starts[0].objective).tolist())
    assert changed <= set(better[0].layers) | set(better[1].layers)


@pytest.mark.parametrize("workers", [1, 3])
def test_listening_changes_no_byte(events, workers):
    silent = eplb_opt.plan(PROBLEM, effort=5, workers=workers)
    heard, _ = events(logging.DEBUG, effort=5, workers=workers)
    assert silent.plan.physical_to_logical.tobytes() == heard.plan.physical_to_logical.tobytes()
    assert silent.messages == heard.messages
    assert silent.reasons == heard.reasons
    assert silent.lower_bound.tobytes() == heard.lower_bound.tobytes()


def test_what_went_wrong_is_told_too(events, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr("eplb_opt.search.local.LayerSearch", broken)
    result, told = events(logging.DEBUG, effort=1)
    assert any("no luck" in event.words for event in told if event.kind is Kind.TURN)
    notes = [event.words for event in told if event.kind is Kind.NOTE]
    assert notes == list(result.messages)


def test_the_scale_makes_loads_over_the_mean(events):
    result, told = events(logging.INFO, effort=0)
    mean = LOADS.sum(axis=1) / 8
    assert told[0].scale == pytest.approx(mean.sum())
    assert result.objective.sum() / told[0].scale >= 1
    zeros = Problem(np.zeros((2, 4), dtype=int), 4, 2)
    assert journal._scale(zeros) == 1.0
    several = Problem(np.stack([LOADS, LOADS[::-1]]), 32, 8)
    assert journal._scale(several) == 5.0
