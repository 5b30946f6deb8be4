"""The house itself: which room may import which, how large rooms are, lint and types."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("eplb_opt", "heuristics")
MODULES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))

#: Floors, bottom up; a room imports its own floor or lower ones, at the top of a module.
FLOORS = [
    {"core"},
    {"errors", "rounding", "deadline", "solvers", "min_max_flow"},
    {"arrays", "k_means"},
    {"units", "gpus", "problem_checks"},
    {"problem"},
    {"scoring", "checker", "scenarios", "representatives", "relabel"},
    {"water"},
    {"plan", "partitions", "certificates"},
    {"bounds"},
    {"result", "moves", "turns"},
    {"lost", "survival"},
    {"evaluation", "dispatch_rules", "incumbents", "models", "search", "io", "portfolio"},
    {"hot", "flows"},
    {"steps_model"},
    {"steps_scenarios", "steps_design"},
    {"steps", "steps_general", "warmup", "noise_choice"},
    {"migration"},
    {"planner"},
    {"frontiers", "sizing", "losses"},
    {"engines"},
    {"replay", "report", "bench", "plots"},
    {"guide"},
    {"__init__", "cli", "__main__"},
]
SEES_HEURISTICS = {"planner", "search", "bench", "warmup", "engines", "hot", "replay"}


def room(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if len(parts) > 1 else parts[0]


def floor_of(name):
    return next(i for i, rooms in enumerate(FLOORS) if name in rooms)


def runtime_imports(tree):
    """Modules imported when the module loads or runs; not those for type checking alone."""
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def top_level_imports(tree):
    """Of `runtime_imports`, those outside functions."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    return [(name, node) for name, node in runtime_imports(tree) if id(node) not in inside]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    tree = ast.parse(path.read_text())
    here = room(path)
    for name, _ in top_level_imports(tree):
        parts = name.split(".")
        if parts[0] == "eplb_opt" and len(parts) > 1 and path.parts[-2:] != ("eplb_opt", here):
            target = parts[1]
            known = {r for rooms in FLOORS for r in rooms}
            if target in known and "heuristics" not in path.parts:
                assert floor_of(target) <= floor_of(here), f"{here} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_heuristics_know_the_core_alone_and_few_rooms_see_them(path):
    imports = {name for name, _ in runtime_imports(ast.parse(path.read_text()))}
    names = {name.split(".")[0] for name in imports}
    if path.relative_to(ROOT).parts[0] == "heuristics":
        ours = {name for name in imports if name.split(".")[0] == "eplb_opt"}
        assert all(name.startswith("eplb_opt.core") for name in ours)
    elif "heuristics" in names:
        assert room(path) in SEES_HEURISTICS


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_numpy_alone(package):
    solvers = "ortools", "pulp", "scipy", "highspy"
    heavy = (*solvers, "torch", "triton", "typer", "rich", "matplotlib")
    code = f"import sys, {package}; print([m for m in {heavy!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_rooms_stay_small():
    tests = sorted((ROOT / "tests").rglob("*.py"))
    grown = {p.name: n for p in MODULES + tests if (n := len(p.read_text().splitlines())) > 400}
    assert not grown


def test_no_assert_guards_the_library():
    for path in MODULES:
        tree = ast.parse(path.read_text())
        assert not [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Assert)], path


@pytest.mark.parametrize(
    "command", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=" ".join
)
def test_lint_and_types_are_clean(command):
    pytest.importorskip(command[0])
    run = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
