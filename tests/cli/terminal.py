"""A program whose stderr is a terminal."""

import os
import subprocess
import sys
import threading

import pytest


def run_in_terminal(*arguments, timeout=120):
    """The finished `eplb-opt ARGUMENTS`, and what its terminal saw.

    The terminal is read all the while: one that nobody reads takes some kilobytes and then
    blocks the program for ever.
    """
    pty = pytest.importorskip("pty")
    primary, secondary = pty.openpty()
    seen = []

    def read():
        try:
            while chunk := os.read(primary, 10_000):
                seen.append(chunk)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    done = subprocess.run(
        [sys.executable, "-m", "eplb_opt", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=secondary,
        env={**os.environ, "TERM": "xterm"},
        timeout=timeout,
    )
    os.close(secondary)
    reader.join(10)
    os.close(primary)
    return done, b"".join(seen).decode(errors="replace")
