"""stdout and stderr full, closed or gone: a word and an exit code, never a traceback."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from eplb_opt.cli.streams import BROKEN_PIPE, Guarded, OutputError, guarded
from eplb_opt.io import read_plan
from tests.cli.programs import run_in_shell, run_program

if TYPE_CHECKING:
    from pathlib import Path

PLAN = "plan loads.json --gpus 8 --slots 16 --effort 0"
NEEDS_FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "loads.json").write_text(json.dumps([list(range(1, 13))]))
    return tmp_path


@NEEDS_FULL
@pytest.mark.parametrize("how", ["", "--json"])
def test_a_full_stdout_is_named_and_costs_no_file(folder: Path, how: str) -> None:
    done = run_in_shell(folder, f"{PLAN} {how} --output plan.npz", ">/dev/full")
    assert done.returncode == 2
    assert "cannot be printed to stdout: No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert read_plan(folder / "plan.npz").shape == (1, 16)


def test_a_closed_stdout_is_named_and_costs_no_file(folder: Path) -> None:
    done = run_in_shell(folder, f"{PLAN} --output plan.npz", ">&-")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("stdout: it is closed.")
    assert read_plan(folder / "plan.npz").shape == (1, 16)


def test_a_reader_that_has_had_enough_is_told_nothing(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run_program(folder, *PLAN.split(), stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, "")


@pytest.mark.parametrize("ending", ["2>&-", pytest.param("2>/dev/full", marks=NEEDS_FULL)])
def test_results_are_printed_whole_without_a_stderr(folder: Path, ending: str) -> None:
    done = run_in_shell(folder, f"{PLAN} --json --certificate proof.json", ending)
    assert done.returncode == 0
    assert json.loads(done.stdout)["objective"]  # no note has got in between
    failed = run_in_shell(folder, "plan none.json --gpus 8 --slots 16", ending)
    assert (failed.returncode, failed.stdout) == (2, "")


def test_nothing_is_written_into_a_file_that_takes_a_closed_streams_number(folder: Path) -> None:
    done = run_in_shell(folder, f"{PLAN} --output plan.npz", ">&- 2>&-")
    assert done.returncode == 2
    assert read_plan(folder / "plan.npz").shape == (1, 16)


def test_characters_that_stdout_lacks_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    with guarded():
        print("\u2265 1", flush=True)
    assert narrow.buffer.getvalue() == b"\\u2265 1\n"  # type: ignore[attr-defined]


def test_both_streams_are_as_they_were_thereafter() -> None:
    before = sys.stdout, sys.stderr
    with guarded():
        assert sys.stdout is not before[0]
    assert (sys.stdout, sys.stderr) == before


def test_a_vital_stream_fails_aloud_and_another_in_silence() -> None:
    with pytest.raises(OutputError, match="it is closed"):
        Guarded(None, True).write("text")
    Guarded(None, True).flush()
    assert Guarded(None, False).write("text") == 4
    closed = io.StringIO()
    closed.close()
    with pytest.raises(OutputError):
        Guarded(closed, True).write("text")
    assert Guarded(closed, False).write("text") == 4
