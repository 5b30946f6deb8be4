"""`watch` on the command line: one round for a timer, a loop for a service, and how each ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from eplb_opt.cli import main
from eplb_opt.io import read_plan
from tests.cli.programs import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

LOAD = np.random.default_rng(0).lognormal(5, 1, (2, 24)).astype(np.int64)
OPTIONS = ["--gpus", "8", "--slots", "32", "--output", "map.json", "--engine", "sglang"]
QUICK = [*OPTIONS, "--effort", "1", "--once"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dumps").mkdir()
    np.save(tmp_path / "dumps" / "a.npy", LOAD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["watch", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_round_that_has_nothing_to_do_is_done_too(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    code, out, err = run(capsys, "dumps", *QUICK)
    assert (code, out) == (0, "")
    assert "round 1: written: balancedness" in err
    assert read_plan(folder / "map.json").shape == (2, 32)
    code, _, err = run(capsys, "dumps", *QUICK)
    assert code == 0
    assert "round 2: unchanged" in err


def test_json_has_a_line_for_a_round_and_for_its_failure_too(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    _, out, _ = run(capsys, "dumps", *QUICK, "--json")
    told = json.loads(out)
    assert told["outcome"] == "written"
    assert told["recordings"] == ["dumps/a.npy"]
    assert 0 < told["figures"]["planned_worst"] <= told["figures"]["planned"] <= 1
    (folder / "dumps" / "a.npy").write_bytes(b"half")
    code, out, _ = run(capsys, "dumps", *QUICK, "--json")
    assert code == 2
    assert "a.npy" in json.loads(out)["error"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.npy", *QUICK], "no such file"),
        (["'*.pt'", *QUICK], "no recordings yet"),
        (["absent/*.npy", *QUICK], "no recordings yet"),
        (["dumps", *OPTIONS, "--every", "0"], "--every"),
        (["dumps", *QUICK, "--newest", "0"], "newest=0"),
        (["dumps", *QUICK, "--min-gain", "-1"], "min_gain=-1"),
        (["dumps", *QUICK, "--output", "dumps/map.json"], "another folder"),
        (["dumps", *QUICK, "--output", "dumps/a.npy"], "another folder"),
        (["dumps/a.npy", *QUICK, "--output", "dumps/a.npy"], "would be overwritten"),
        (["dumps", *QUICK, "--metrics", "absent/a.prom"], "mkdir -p"),
        (["dumps", *QUICK, "--current", "absent.json"], "no such file"),
    ],
)
def test_what_is_typed_wrong_ends_with_2_and_its_reason(
    capsys: pytest.CaptureFixture[str], folder: Path, arguments: list[str], words: str
) -> None:
    code, _, err = run(capsys, *arguments)
    assert code == 2, err
    assert words in err
    assert not (folder / "map.json").exists()
    assert np.array_equal(np.load(folder / "dumps" / "a.npy"), LOAD)


def test_without_prometheus_nothing_is_planned(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    code, _, err = run(capsys, "dumps", *QUICK, "--metrics", "a.prom")
    assert code == 1
    assert "eplb-opt[watch]" in err
    assert not (folder / "map.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("moment", ["between two rounds", "while it plans"])
def test_sigterm_ends_the_loop_with_0_and_a_whole_map(folder: Path, moment: str) -> None:
    # Without its signal a child would be waited for until it ends by itself.
    lasting = ["--effort", "1"] if moment == "between two rounds" else ["--time-limit", "100000"]
    begin = (
        "import sys; from eplb_opt.planner import portfolio; from eplb_opt.cli import main\n"
        "def run(self, run=portfolio.Portfolio.run):\n"
        "    print('at work', flush=True); return run(self)\n"
        "portfolio.Portfolio.run = run; sys.exit(main())"
    )
    load = np.random.default_rng(0).lognormal(8, 1, (4, 96)).astype(np.int64)
    np.save(folder / "dumps" / "a.npy", load)
    machine = ["--gpus", "40", "--slots", "120", "--output", "map.npz", "--every", "100000"]
    child = subprocess.Popen(
        [sys.executable, "-c", begin, "watch", "dumps", *machine, *lasting],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None and child.stderr is not None
    assert child.stdout.readline() == "at work\n"
    if moment == "between two rounds":
        assert "round 1: written" in child.stderr.readline()
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, err
    assert "stopped by SIGTERM" in err
    assert (folder / "map.npz").exists() == (moment == "between two rounds")
    assert not list(folder.glob(".eplb-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_single_round_that_is_cut_short_writes_nothing_and_says_so(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eplb_opt.planner import portfolio

    run_portfolio = portfolio.Portfolio.run

    def interrupted(self: portfolio.Portfolio) -> object:
        signal.raise_signal(signal.SIGTERM)
        return run_portfolio(self)

    monkeypatch.setattr(portfolio.Portfolio, "run", interrupted)
    code, _, err = run(capsys, "dumps", *QUICK)
    assert code == 128 + signal.SIGTERM
    assert "round 1: stopped" in err
    assert not (folder / "map.json").exists()
