"""The package's names: all are there, and only the serving call's rooms load with it."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

import eplb_opt


@pytest.mark.parametrize("name", eplb_opt.__all__)
def test_every_name_of_the_package_can_be_had_and_is_listed(name):
    assert getattr(eplb_opt, name).__name__ == name
    assert name in dir(eplb_opt)


def test_a_name_that_is_not_there_is_named_in_the_error():
    with pytest.raises(AttributeError, match="no attribute 'plans'"):
        _ = eplb_opt.plans


def test_the_version_is_the_installed_ones_and_costs_nothing_until_it_is_asked_for():
    code = (
        "import sys, eplb_opt; read = 'importlib.metadata' in sys.modules; "
        "version = eplb_opt.__version__; from importlib import metadata; "
        "print(read, version == metadata.version('eplb-opt'))"
    )
    assert fresh(code) == "False True"


def test_sources_that_were_never_installed_have_a_version_too(monkeypatch):
    def nowhere(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", nowhere)
    monkeypatch.delitem(vars(eplb_opt), "__version__", raising=False)
    assert eplb_opt.__version__ == "0+unknown"
    monkeypatch.delitem(vars(eplb_opt), "__version__")


def fresh(code):
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.parametrize(
    "first", ["eplb_opt.planner.planner", "eplb_opt.placement.plan", "eplb_opt.planner.evaluate"]
)
def test_plan_is_the_function_whatever_module_is_imported_first(first):
    code = f"import {first}, eplb_opt; print(eplb_opt.plan.__module__, eplb_opt.plan.__name__)"
    assert fresh(code) == "eplb_opt.planner.planner plan"


def test_a_serving_call_loads_neither_the_planner_nor_a_model():
    code = (
        "import sys, numpy, eplb_opt; "
        "eplb_opt.rebalance_experts(numpy.ones((2, 8)), 16, 1, 1, 4, effort=10); "
        "rooms = 'planner', 'exact', 'search', 'migration', 'certificates'; "
        "print([room for room in rooms if f'eplb_opt.{room}' in sys.modules])"
    )
    assert fresh(code) == "[]"
