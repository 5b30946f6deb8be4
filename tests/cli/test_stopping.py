"""Signals in the middle of the work: the best so far is written, and the exit code says so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from eplb_opt.cli.stopping import SIGNALS, Stopped, interruption
from eplb_opt.io import read_certificates, read_plan
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.problem import Problem
from tests.cli.programs import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
#: Without its signal a child would be waited for until it ends by itself.
MACHINE = ["--gpus", "40", "--slots", "120", "--time-limit", "100000"]
#: Begins the command line, and tells on stdout when the planner takes its first turn.
WATCHED = """
import sys
from eplb_opt.planner import portfolio
from eplb_opt.cli import main
run = portfolio.Portfolio.run
def watched(self):
    print("at work", flush=True)
    return run(self)
portfolio.Portfolio.run = watched
sys.exit(main())
"""


@pytest.fixture
def load(tmp_path: Path) -> np.ndarray:
    """That is never proven optimal while a test waits."""
    load = np.random.default_rng(0).lognormal(8, 1, (4, 96)).astype(np.int64)
    np.save(tmp_path / "loads.npy", load)
    return load


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command that is at work on its plan."""
    child = subprocess.Popen(
        [sys.executable, "-c", WATCHED, *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "at work\n"
    return child


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_the_best_so_far_is_written_and_printed(
    tmp_path: Path, load: np.ndarray, number: signal.Signals
) -> None:
    files = ["--output", "plan.npz", "--certificate", "proof.json", "--report", "page.html"]
    child = start(tmp_path, "plan", "loads.npy", *MACHINE, *files)
    child.send_signal(number)
    out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 128 + number, err
    assert f"stopped by {number.name}" in err
    assert "layers" in out or "all 4" in out
    Plan(read_plan(tmp_path / "plan.npz"), 40).check(Problem(load, 120, 40))
    assert len(read_certificates(tmp_path / "proof.json")) == 4
    assert (tmp_path / "page.html").stat().st_size
    assert not list(tmp_path.glob(".eplb-*"))


@pytest.mark.parametrize(
    "arguments",
    [["bound", "loads.npy", "--certificate", "b.json"], ["gap", "loads.npy", "--csv", "b.csv"]],
    ids=lambda arguments: arguments[0],
)
def test_other_long_commands_end_in_the_same_way(
    tmp_path: Path, load: np.ndarray, arguments: list[str]
) -> None:
    child = start(tmp_path, *arguments, *MACHINE)
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 128 + signal.SIGTERM, err
    assert out
    assert (tmp_path / arguments[-1]).stat().st_size


LONG = ["--time-limit", "100000"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["size", "loads.npy", "--gpus", "40", "--slots-per-gpu", "3,4"], "stopped before this"),
        (["topology", "loads.npy", "--gpus", "40", "--slots", "120"], "stopped before it"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_comparisons_end_with_what_they_have(
    tmp_path: Path, load: np.ndarray, arguments: list[str], told: str
) -> None:
    child = start(tmp_path, *arguments, *LONG, "--json", "--csv", "b.csv")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 128 + signal.SIGINT, err
    assert told in out
    assert (tmp_path / "b.csv").stat().st_size


def test_a_replay_ends_with_the_steps_until_then(tmp_path: Path) -> None:
    trace = np.random.default_rng(0).lognormal(8, 1, (400, 2, 32)).astype(np.int64)
    np.save(tmp_path / "loads.npy", trace)
    every = ["--gpus", "8", "--slots", "40", "--every", "2", "--time-limit", "0.1"]
    options = ["--policy", "last", "--heuristic", "none", "--json"]
    child = start(tmp_path, "replay", "loads.npy", *every, *options)
    time.sleep(1.0)  # some windows
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 128 + signal.SIGTERM, err
    report = json.loads(out[out.index("{") :])
    assert 0 < report["replay"]["num_steps"] < 400
    assert "of 400 steps" in err


def test_a_signal_that_is_ignored_from_the_start_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruption() as asked:
            signal.raise_signal(signal.SIGHUP)
        assert asked.number is None
        asked.finish()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_as_they_were_thereafter() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with interruption():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_the_first_signal_asks_and_a_second_ctrl_c_insists() -> None:
    with interruption() as asked:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert asked.event.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(Stopped, match="SIGTERM") as stopped:
        asked.finish()
    assert stopped.value.code == 128 + signal.SIGTERM
