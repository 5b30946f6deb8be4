"""The type stubs say what the core has."""

import subprocess
import sys
from pathlib import Path

import pytest

STUBS = Path(__file__).parents[2] / "eplb_opt" / "core" / "_core"


def texts(folder):
    return {path.name: path.read_text() for path in folder.glob("*.pyi")}


def test_stubs_are_those_of_the_core_as_it_is(tmp_path):
    pytest.importorskip("nanobind")
    module = ["--module", "eplb_opt.core._core", "--recursive", "--output-dir", str(tmp_path)]
    subprocess.run(
        [sys.executable, "-m", "nanobind.stubgen", "--quiet", *module], check=True, timeout=60
    )
    assert texts(tmp_path / "_core") == texts(STUBS), "`make stubs` writes them anew"
