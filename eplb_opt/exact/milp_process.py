"""Runs PuLP and its backend in a process that can be ended in time."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from math import isfinite
from pathlib import Path
from typing import Any

from eplb_opt.exact import milp_worker

#: The processes at work.
_RUNNING: set[subprocess.Popen[bytes]] = set()


def run_in_process(
    request: dict[str, Any], seconds: float, seconds_to_return: float
) -> tuple[dict[str, Any] | None, str]:
    """Run `milp_worker` on a model; it and its backend are ended when the time is up.

    Parameters
    ----------
    request
        The model as plain lists, as `milp_worker` reads it.
    seconds
        Seconds until the process is ended; infinity for never.
    seconds_to_return
        Seconds before that at which the backend is told to stop by itself.

    Returns
    -------
    The worker's result, None when it was ended, and what the backend printed.
    """
    limit = seconds if isfinite(seconds) else None
    until = None if limit is None else time.time() + limit - seconds_to_return
    with tempfile.TemporaryDirectory(prefix="eplb-opt-", ignore_cleanup_errors=True) as name:
        folder, end = Path(name), time.monotonic() + seconds
        (folder / "model.pickle").write_bytes(pickle.dumps({**request, "until": until}))
        with (folder / "log").open("w") as log:
            code = _run(folder, log, None if limit is None else end - time.monotonic())
        text = (folder / "log").read_text(errors="replace")
        if code is None:
            return None, text
        if code:
            raise RuntimeError(f"PuLP's process failed with exit code {code}:\n{text[-2000:]}")
        return pickle.loads((folder / "result.pickle").read_bytes()), text


def _run(folder: Path, log: Any, seconds: float | None) -> int | None:
    """The worker's exit code; None when it was ended."""
    process = subprocess.Popen(
        [sys.executable, "-P", milp_worker.__file__, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder), "TMP": str(folder), "TEMP": str(folder)},
        start_new_session=True,  # so that the backend that PuLP starts can be ended with it
    )
    _RUNNING.add(process)
    try:
        return process.wait(None if seconds is None else max(seconds, 0.0))
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            _end(process)
        _RUNNING.discard(process)


def end_running() -> None:
    """End the processes at work; for a program that leaves without waiting for its threads."""
    for process in list(_RUNNING):
        if process.poll() is None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
