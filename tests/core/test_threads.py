"""The core from many threads at once, and after a fork."""

import subprocess
import sys

from tests.core import builds


def test_threads_and_forks_get_the_answers_of_one_thread_alone() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.core.threads"],
        cwd=builds.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout + run.stderr[-6000:]
