"""What is remembered comes back whole; what is no state is not believed."""

import json

import pytest

from eplb_opt.errors import FormatError
from eplb_opt.workloads.watch import Figures, Outcome, State
from eplb_opt.workloads.watch.state import load_state
from tests.workloads.watch.places import Place

FULL = State(
    (("a", 1, 2**60),),
    ("ab",),
    "cd",
    "ef",
    1e9,
    Figures(0.9, 0.8, 0.01, 0.7, 0.6, 12, True),
    {"written": 2},
)


@pytest.mark.parametrize("state", [State(), FULL], ids=["new", "full"])
def test_a_state_comes_back_as_it_was(tmp_path, state):
    state.save(tmp_path / "state")
    assert load_state(tmp_path / "state") == state


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"rounds": 3}, {"figures": {"planned": 1}}, {"stamps": [[1, 2]]}, {"new": 0}],
    ids=lambda change: next(iter(change)),
)
def test_what_is_no_state_is_refused_with_its_file(tmp_path, change):
    FULL.save(tmp_path / "state")
    content = json.loads((tmp_path / "state").read_text()) | change
    (tmp_path / "state").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=r"state: this is no state of a watch"):
        load_state(tmp_path / "state")


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00"])
def test_a_damaged_state_is_said_and_made_anew(tmp_path, content):
    place = Place(tmp_path)
    place.record()
    settings = place.settings()
    settings.state_file.write_text(content)
    watch = place.watch()
    done = watch.round()
    assert done.outcome == Outcome.WRITTEN
    assert "made anew" in done.line
    assert load_state(settings.state_file) == watch.state


def test_rounds_are_counted_over_restarts(tmp_path):
    place = Place(tmp_path)
    assert place.watch().round().outcome == Outcome.FAILED
    place.record()
    assert [place.watch().round().number for _ in range(2)] == [2, 3]
    assert place.watch().state.rounds == {"failed": 1, "written": 1, "unchanged": 1}
