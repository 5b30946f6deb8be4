"""The command line as a process of its own, for what a process alone can show."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = [sys.executable, "-m", "eplb_opt"]
#: A child that is still there after this number of seconds is a fault.
PATIENCE = 120


def run_program(folder: Path, *arguments: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    """A command in a folder; stdout and stderr are caught where they are not given."""
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run(
        [*PROGRAM, *arguments], cwd=folder, text=True, timeout=PATIENCE, check=False, **given
    )


def run_in_shell(folder: Path, arguments: str, ending: str) -> subprocess.CompletedProcess[str]:
    """A command with redirections that only a shell can make, such as `>&-`."""
    line = f'"$0" -m eplb_opt {arguments} {ending}'
    return subprocess.run(
        ["sh", "-c", line, sys.executable],
        cwd=folder,
        text=True,
        timeout=PATIENCE,
        check=False,
        capture_output=True,
    )
