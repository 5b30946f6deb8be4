import io
import sys

import pytest

from eplb_opt.bench import soak
from eplb_opt.cli import output
from eplb_opt.planner.evaluate import verified_bounds
from eplb_opt.problem.problem import Problem


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "shown"), [(Terminal, True), (io.StringIO, False)])
def test_turns_are_named_on_a_terminal_and_not_in_a_pipe(monkeypatch, stream, shown):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", stream())
    with output.turns_bar("planning") as show:
        show(1, 4, "288 slots")
    with output.spinner("compiling"):
        pass
    seen = sys.stderr.getvalue()
    assert ("planning 288 slots" in seen) == shown
    assert ("compiling" in seen) == shown
    assert bool(seen) == shown


def test_checking_proofs_tells_each_layer():
    seen = []
    verified_bounds(Problem([[3, 2], [2, 1]], 4, 2), [None, None], seen.append)
    assert seen == [0, 1]


def test_a_soak_tells_how_many_calls_are_done(monkeypatch):
    monkeypatch.setattr(soak, "TOLD_EVERY", 2)
    seen = []
    soak.soak(3, 0, seen.append)
    assert seen == [0, 2]


def test_only_the_first_call_of_a_heuristic_is_announced(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    calls = output.announced({"greedy": lambda: 7})
    for words in ("scoring greedy", ""):
        monkeypatch.setattr(sys, "stderr", Terminal())
        assert calls["greedy"]() == 7
        assert words in sys.stderr.getvalue()
        assert bool(sys.stderr.getvalue()) == bool(words)
