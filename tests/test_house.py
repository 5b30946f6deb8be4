"""The house itself: which room may import which, how large rooms are, lint and types."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("eplb_opt", "heuristics")
MODULES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))

#: The rooms from the ground up. A module imports its own room and those before it, wherever in its
#: text the import stands.
ROOMS = (
    "core",
    "errors",
    "clock",
    "problem",
    "placement",
    "bounds",
    "certificates",
    "solver",
    "result",
    "search",
    "exact",
    "migration",
    "io",
    "planner",
    "engines",
    "workloads",
    "report",
    "plots",
    "bench",
    "guide",
    "cli",
    "__init__",
    "__main__",
)
#: What is a single file in the package's folder; every other room is a folder.
ROOT_MODULES = {"__init__", "__main__", "clock", "errors", "result", "solver"}
SEES_HEURISTICS = {"planner", "search", "bench", "engines", "workloads"}


def room(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if len(parts) > 1 else parts[0]


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


OURS = {module_name(p) for p in MODULES}


@functools.cache
def runtime_imports(path):
    """Modules imported when the module loads or runs; not those for type checking alone."""
    return tuple(_runtime_imports(ast.parse(path.read_text())))


def _runtime_imports(tree):
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
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(path):
    """Which of our modules a module imports, at its top or inside its functions."""
    named = set(runtime_imports(path)) & OURS
    # `from eplb_opt.exact import cpsat` names the package, too, and is no import of its front page.
    return {name for name in named if not any(other.startswith(f"{name}.") for other in named)}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    if path.relative_to(ROOT).parts[0] == "heuristics":
        return
    here = room(path)
    for name in imported_modules(path):
        parts = name.split(".")
        if parts[0] == "eplb_opt" and len(parts) > 1:
            assert ROOMS.index(parts[1]) <= ROOMS.index(here), f"{here} imports {name}"


def test_every_room_has_its_place_and_few_modules_lie_outside():
    assert {room(p) for p in MODULES if "heuristics" not in p.parts} == set(ROOMS)
    assert {p.stem for p in (ROOT / "eplb_opt").glob("*.py")} == ROOT_MODULES


def test_no_modules_import_each_other_in_a_circle():
    left = {module_name(p): imported_modules(p) for p in MODULES}
    while free := {name for name, needs in left.items() if not needs & left.keys() - {name}}:
        left = {name: needs for name, needs in left.items() if name not in free}
    assert not left, f"a circle runs through some of {sorted(left)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_heuristics_know_the_core_alone_and_few_rooms_see_them(path):
    imports = set(runtime_imports(path))
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
    for path in (p for p in MODULES if "assert" in p.read_text()):
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
