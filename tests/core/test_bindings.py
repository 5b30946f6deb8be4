"""No input whatever ends the process that calls the core: bad input gets an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.calls import bindings, chapters

ROOT = Path(__file__).parents[2]
#: More where somebody waits for them: `EPLB_OPT_FUZZ=1000`.
EXAMPLES = os.environ.get("EPLB_OPT_FUZZ", "40")
NAMES = [name for name, _ in bindings()]


def fuzzed(tmp_path: Path, *names: str) -> set[str]:
    """Fuzz these bindings in another process; those without an example of a good call."""
    notes = tmp_path / "last-call"
    command = [sys.executable, "-m", "tests.core.fuzz", str(notes), EXAMPLES, *names]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1800
    )
    last = notes.read_text() if notes.exists() else "none"
    told = f"exit status {run.returncode}; the last call was {last}\n{run.stderr[-6000:]}"
    assert run.returncode == 0, told
    return set(run.stdout.split())


@pytest.mark.parametrize("chapter", sorted(chapters()))
def test_bad_input_is_refused_and_the_process_lives(chapter: str, tmp_path: Path) -> None:
    missing = fuzzed(tmp_path, f"{chapter}.")
    assert not missing, "tests/core/scenes.py needs a call of each of these"


def test_every_chapter_of_the_core_is_found() -> None:
    assert {"annealing", "config_lp", "serving"} <= {name.split(".")[0] for name in NAMES}
    assert "config_lp.ColumnGeneration.decide" in NAMES
