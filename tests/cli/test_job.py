"""Long jobs on the command line: stopped, killed, and gone on with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from eplb_opt.cli import main
from eplb_opt.io import read_plan
from tests.cli.programs import PATIENCE
from tests.cli.test_stopping import start

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = ["--gpus", "40", "--slots", "120"]


@pytest.fixture
def load(tmp_path: Path) -> np.ndarray:
    """Some layers that keep the search busy."""
    load = np.random.default_rng(0).lognormal(8, 1, (12, 96)).astype(np.int64)
    np.save(tmp_path / "loads.npy", load)
    return load


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eplb_opt", "plan", "loads.npy", *MACHINE, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_killed_command_goes_on_and_ends_in_the_same_plan(
    tmp_path: Path, load: np.ndarray
) -> None:
    effort = ["--effort", "3", "--job", "kept", "--workers", "1"]
    child = start(tmp_path, "plan", "loads.npy", *MACHINE, *effort, "--output", "plan.npz")
    until = time.monotonic() + PATIENCE
    while len(list((tmp_path / "kept").glob("layer-*"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    for path in (tmp_path / "kept").glob("*.json"):
        json.loads(path.read_text())  # whole
    assert not (tmp_path / "plan.npz").exists()
    refused = run(tmp_path, *effort)
    assert refused.returncode == 2
    assert "go on from it with --resume" in refused.stderr
    resumed = run(tmp_path, *effort, "--resume", "--output", "plan.npz")
    assert resumed.returncode == 0, resumed.stderr
    assert f"left by process {child.pid}" in resumed.stderr
    whole = run(tmp_path, "--effort", "3", "--output", "whole.npz")
    assert whole.returncode == 0
    np.testing.assert_array_equal(
        read_plan(tmp_path / "plan.npz"), read_plan(tmp_path / "whole.npz")
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_stopped_command_writes_what_it_has_and_can_be_gone_on_with(
    tmp_path: Path, load: np.ndarray, number: signal.Signals
) -> None:
    limit = ["--time-limit", "100000", "--job", "kept"]
    child = start(tmp_path, "plan", "loads.npy", *MACHINE, *limit, "--output", "plan.npz")
    child.send_signal(number)
    _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 128 + number, err
    assert "the same command with --resume goes on from kept" in err
    assert (tmp_path / "plan.npz").stat().st_size
    assert not (tmp_path / "kept" / "lock").exists()
    resumed = run(tmp_path, "--time-limit", "0.3", "--job", "kept", "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr


def test_resume_needs_a_job_and_a_new_folder_is_no_fault(
    tmp_path: Path, load: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = ["plan", "loads.npy", *MACHINE, "--effort", "1"]
    assert main([*plan, "--resume"]) == 2
    assert "--job" in capsys.readouterr().err
    assert main([*plan, "--resume", "--job", "kept"]) == 0
    assert main([*plan, "--job", "kept"]) == 2


def test_another_problems_folder_is_refused_with_the_mend(
    tmp_path: Path, load: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "loads.npy", *MACHINE, "--effort", "1", "--job", "kept"]) == 0
    other = ["plan", "loads.npy", "--gpus", "40", "--slots", "160", "--effort", "1"]
    assert main([*other, "--job", "kept", "--resume"]) == 2
    told = capsys.readouterr().err
    assert "num_slots 120 there and 160 here" in told
    assert "take an empty directory" in told


def test_a_cluster_that_is_none_is_refused(
    tmp_path: Path, load: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: eplb-opt[ray] brings it")
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "loads.npy", *MACHINE, "--cluster", "127.0.0.1:1"]) == 2
    assert "no Ray cluster that answers" in capsys.readouterr().err
