"""Importing costs numpy alone, and a missing package is named with its extra."""

import subprocess
import sys

import pytest

from heuristics import MissingDependency
from heuristics.errors import require

HEAVY = ("torch", "triton", "scipy", "ortools", "pulp")


def run_python(code, **options):
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, **options
    )


def test_import_brings_neither_torch_nor_the_planner():
    done = run_python(
        "import sys, heuristics, heuristics.greedy;"
        f"print([m for m in {(*HEAVY, 'eplb_opt')!r} if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_numpy_greedy_and_the_reference_run_without_torch():
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
        "print('torch' in sys.modules)"
    )
    assert done.stdout.strip() == "False", done.stderr


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
    assert "eplb-opt[heuristics] brings it" in done.stdout, done.stderr
    assert "pip install torch" in done.stdout


def test_missing_dependency_is_an_import_error_with_the_packages_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(ImportError, match=r"eplb-opt\[triton\] brings it") as caught:
        require("triton")
    assert isinstance(caught.value, MissingDependency)
    assert caught.value.name == "triton"
