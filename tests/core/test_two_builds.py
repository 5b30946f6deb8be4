"""Every build of the core gives the same bytes, whatever the compiler and its optimisation.

Compiling takes minutes, so that `make sanitize` does it and a plain run of the tests does not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.core import builds

if TYPE_CHECKING:
    from pathlib import Path

UNOPTIMISED = "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0"


def sums(folder: Path | None) -> dict[str, list[int]]:
    """Of each binding the calls and the sum of their digests, with the core in that folder."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.core.digests"],
        cwd=folder or builds.ROOT,
        env=builds.environment(folder or builds.ROOT),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert folder is None or found["core"].startswith(str(folder))
    result: dict[str, list[int]] = found["sums"]
    return result


@pytest.fixture(scope="module")
def installed() -> dict[str, list[int]]:
    return sums(None)


def compilers() -> list[str]:
    """Those of the machine, beside the one that CMake takes."""
    return [c for c in ("g++", "clang++") if shutil.which(c)]


def why_not() -> str | None:
    """What stands against another build here."""
    if "EPLB_OPT_BUILDS" not in os.environ:
        return "`make sanitize` compiles the core for it"
    return builds.missing()


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize("compiler", compilers())
def test_unoptimised_build_gives_the_same_bytes(
    compiler: str, installed: dict[str, list[int]], tmp_path: Path
) -> None:
    folder = tmp_path / "tree"
    builds.build(folder, f"-DCMAKE_CXX_COMPILER={compiler}", *UNOPTIMISED)
    other = sums(folder)
    assert {n for n in installed if installed[n] != other.get(n)} == set()
    assert installed.keys() == other.keys()


def test_one_build_gives_the_same_bytes_twice(installed: dict[str, list[int]]) -> None:
    again = sums(None)
    assert {n for n in installed if installed[n] != again.get(n)} == set()
