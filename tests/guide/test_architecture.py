"""What the page on architecture says of the rooms is true, and its recipes work."""

import re
import subprocess
import sys

import pytest

from eplb_opt.guide import read_topic
from tests.guide.documents import ROOT
from tests.guide.recipes import apply_recipes, copy_packages
from tests.test_house import ROOMS

PAGE = read_topic("architecture")
#: An editable installation leads imports to the sources; the copy is meant here.
FROM_COPY = """
import sys
sys.meta_path[:] = [f for f in sys.meta_path if not type(f).__module__.startswith("_editable")]
"""
#: What each recipe adds, used as a reader would use it.
USES = {
    "heuristic": """
from heuristics import HEURISTICS
assert HEURISTICS["in_turn"]([[1, 5, 3]], 4, 1, 1, 2)[0].tolist() == [[1, 0, 2, 1]]
""",
    "format": """
import json
from eplb_opt.io import VALIDATORS, read_plan, write_plan
write_plan("p.json", [[0, 1, 2, 0]], engine="ranks", num_gpus=2)
assert json.load(open("p.json")) == {"experts_of_rank": [[[0, 1], [2, 0]]]}
assert read_plan("p.json").tolist() == [[0, 1, 2, 0]]
try:
    VALIDATORS["ranks"]("p.json", num_experts=4)
except ValueError as error:
    assert "expert 3 is on no GPU" in str(error)
else:
    raise SystemExit("a map without an expert is not refused")
""",
    "rule": """
import numpy as np
import eplb_opt
problem = eplb_opt.Problem([[9, 4, 3, 1]], 8, 4, num_nodes=2, home_node=[0, -1, 1, -1])
eplb_opt.Plan([[0, 1, 0, 3, 2, 1, 2, 3]], 4).check(problem)
placed = eplb_opt.plan(problem, effort=2).plan.physical_to_logical[0]
assert set(np.flatnonzero(placed == 0) // 4) == {0}
assert set(np.flatnonzero(placed == 2) // 4) == {1}
try:
    eplb_opt.Plan([[0, 1, 2, 3, 0, 1, 2, 3]], 4).check(problem)
except eplb_opt.PlanError as error:
    assert "forbidden" in str(error) or "is away" in str(error)
else:
    raise SystemExit("a plan that breaks the rule is not refused")
from eplb_opt.placement import checker
assert "expert 2 is away" in checker.experts_stay_at_home(problem, np.array([[0, 1, 2, 3] * 2]))
""",
    "solver": """
import eplb_opt
load = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86, 20, 107, 64, 19]]
result = eplb_opt.plan(eplb_opt.Problem(load, 24, 8), effort=1)
assert "swaps" in {point.stage for point in result.history}
""",
}


@pytest.fixture(scope="module")
def changed_copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    copy_packages(folder)
    files = sorted(set(apply_recipes(PAGE, folder)))
    assert len(files) >= 10
    return folder, files


@pytest.mark.parametrize("name", USES)
def test_a_recipe_adds_what_it_promises(changed_copy, name):
    folder, _ = changed_copy
    assert f"## Add a {name}" in PAGE
    run = subprocess.run(
        [sys.executable, "-c", FROM_COPY + USES[name]],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_the_recipes_are_written_as_the_house_writes(changed_copy, command):
    pytest.importorskip("ruff")
    folder, files = changed_copy
    settings = ["--config", str(ROOT / "pyproject.toml")]
    run = subprocess.run(
        [sys.executable, "-m", "ruff", *command.split(), *settings, *files],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_room_is_in_the_table_in_the_order_of_the_house_test():
    rows = re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE)
    rooms = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert set(rooms) == {room for room in ROOMS if not room.startswith("__")}
    pillars = [room for room in rooms if room not in {"errors", "clock", "solver", "result"}]
    order = [ROOMS.index(room) for room in pillars]
    assert order == sorted(order)


def test_every_file_that_the_page_names_is_there():
    named = re.findall(r"`((?:[\w.]+/)+\w+\.py)`", PAGE)
    assert len(named) >= 8
    assert not [
        name for name in named if not any((p / name).exists() for p in (ROOT, ROOT / "eplb_opt"))
    ]
