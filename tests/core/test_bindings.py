"""No input whatever ends the process that calls the core: bad input gets an error."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.core import builds
from tests.core.calls import bindings

if TYPE_CHECKING:
    from pathlib import Path

#: Of each binding; more where somebody waits for them: `EPLB_OPT_FUZZ=1000`.
EXAMPLES = os.environ.get("EPLB_OPT_FUZZ", "15")


def test_bad_input_is_refused_and_the_process_lives(tmp_path: Path) -> None:
    notes = tmp_path / "last-call"
    run = subprocess.run(
        [sys.executable, "-m", "tests.core.fuzz", str(notes), EXAMPLES],
        cwd=builds.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    last = notes.read_text() if notes.exists() else "none"
    told = f"exit status {run.returncode}; the last call was {last}\n{run.stderr[-6000:]}"
    assert run.returncode == 0, told
    assert not run.stdout.split(), "tests/core/scenes.py needs a good call of each of these"


def test_bindings_of_every_kind_are_found() -> None:
    names = {name for name, _ in bindings()}
    chapters = {name.split(".")[0] for name in names}
    assert {"annealing", "config_lp", "dispatch", "greedy", "local", "pairs", "serving"} <= chapters
    assert "serving.first_offence" in names
    assert "config_lp.ColumnGeneration" in names
    assert "config_lp.ColumnGeneration.decide" in names
