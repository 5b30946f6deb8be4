"""Importing costs numpy alone, and a missing package is named with its extra."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import heuristics
from heuristics import MissingDependency
from heuristics.errors import require

HEAVY = ("torch", "numba", "triton", "scipy", "ortools", "pulp")


def run_python(code, **options):
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, **options
    )


def test_import_brings_neither_torch_nor_numba_nor_the_planner():
    done = run_python(
        "import sys, heuristics, heuristics.greedy;"
        f"print([m for m in {(*HEAVY, 'eplb_opt')!r} if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_numpy_greedy_and_the_reference_run_without_torch_and_numba():
    done = run_python(
        "import sys, heuristics;"
        "heuristics.greedy_numpy.rebalance_experts([[5, 1]], 4, 1, 1, 2);"
        "heuristics.HEURISTICS['deepseek']([[5, 1]], 4, 1, 1, 2);"
        "heuristics.cpu_lpt([5, 1], 2);"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_compiled_greedy_brings_no_torch():
    done = run_python(
        "import sys, heuristics;"
        "heuristics.HEURISTICS['greedy']([[5, 1]], 4, 1, 1, 2);"
        "print('torch' in sys.modules, 'numba' in sys.modules)"
    )
    assert done.stdout.strip() == "False True", done.stderr


@pytest.mark.parametrize(
    "name", ["vectorized_lpt", "swap_refine", "replica_refine", "waterfill_diverse"]
)
def test_missing_torch_is_named_with_its_extra(name):
    done = run_python(
        "import sys; sys.modules['torch'] = None\n"
        "import heuristics\n"
        f"try: heuristics.HEURISTICS[{name!r}]([[5, 1]], 4, 1, 1, 2)\n"
        "except heuristics.MissingDependency as error: print(error)"
    )
    assert "pip install 'eplb-opt[heuristics]'" in done.stdout, done.stderr


def test_missing_dependency_is_an_import_error_with_the_packages_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match=r"pip install 'eplb-opt\[search\]'") as caught:
        require("numba")
    assert isinstance(caught.value, MissingDependency)
    assert caught.value.name == "numba"


def test_no_place_for_a_cache_costs_only_time(tmp_path):
    # A copy of the package whose every cache directory would lie below a plain file.
    shutil.copytree(
        Path(heuristics.__file__).parent,
        tmp_path / "heuristics",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    blocked = tmp_path / "heuristics" / "__pycache__"
    blocked.write_text("")
    places = ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME")
    done = run_python(
        "import logging; logging.basicConfig(format='%(message)s')\n"
        "import heuristics\n"
        "print(heuristics.__file__)\n"
        "print(heuristics.HEURISTICS['greedy']([[5, 1]], 4, 1, 1, 2)[2].tolist())",
        cwd=tmp_path,
        env=os.environ | dict.fromkeys(places, str(blocked)),
    )
    where, counts = done.stdout.splitlines()
    assert Path(where).is_relative_to(tmp_path)
    assert counts == "[[3, 1]]"
    assert done.stderr.count("not kept on disk") == 1
