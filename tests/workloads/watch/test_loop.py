"""Round after round: what comes in between is seen, and nothing but a wish ends it."""

import time
from threading import Event

from eplb_opt.workloads.watch import Outcome, run
from eplb_opt.workloads.watch.loop import pause
from tests.workloads.watch.places import Place, drifted


def test_it_goes_on_through_failures_and_sees_what_comes(tmp_path):
    place, stop, rounds, waited = Place(tmp_path), Event(), [], []
    events = iter(
        [
            lambda: place.record(),
            lambda: (place.dumps / "b.npy").write_bytes(b"\x93NUMPY half"),
            lambda: place.record("b.npy", drifted(1), at=2**32),
            lambda: None,
            stop.set,
        ]
    )

    def wait(seconds, event):
        assert event is stop
        waited.append(seconds)
        next(events)()

    run(place.watch(), 7.0, stop, rounds.append, wait)
    assert [done.outcome for done in rounds] == [
        Outcome.FAILED,
        Outcome.WRITTEN,
        Outcome.FAILED,
        Outcome.WRITTEN,
        Outcome.UNCHANGED,
    ]
    assert waited == [7.0] * 5


def test_a_pause_ends_with_the_wish(monkeypatch):
    stop, slept = Event(), []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            stop.set()

    monkeypatch.setattr(time, "sleep", sleep)
    pause(1e6, stop)
    assert len(slept) == 3
    pause(1e6, stop)
    assert len(slept) == 3


def test_a_pause_of_nothing_does_not_sleep(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: 1 / 0)
    pause(0.0, Event())
