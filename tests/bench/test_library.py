"""The folder of stored instances and its tables."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from eplb_opt.bench import best_known, library, proofs
from eplb_opt.bench.importing import import_loads
from eplb_opt.bench.instance import Instance, from_row, to_row
from eplb_opt.bench.instance_rows import KINDS, ROWS
from eplb_opt.bench.load_files import DIGESTS, IN_FORCE, LOAD_FILES, digest
from eplb_opt.errors import FormatError, PlanError, ProblemError
from eplb_opt.io.loads import Loads
from eplb_opt.problem.machine import Machine

STORED = library.find_folder()
ABOUT = {"model": "M", "units": "tokens", "source": "drawn here", "licence": "CC0-1.0"}


@pytest.fixture
def folder(tmp_path):
    """The tables and some small files."""
    place = tmp_path / "instances"
    place.mkdir()
    for name in (library.TABLE, "readme.npz"):
        shutil.copy(STORED / name, place / name)
    return place


def test_generated_files_are_the_stored_bytes(tmp_path):
    paths = library.generate(tmp_path / "new")
    assert len(paths) == len(LOAD_FILES) + len(IN_FORCE) + 1
    for path in paths:
        stored = STORED / path.relative_to(tmp_path / "new")
        assert path.read_bytes() == stored.read_bytes(), path.name


def test_only_tabled_files_are_stored_and_they_are_small():
    known = {f"{name}.npz" for name in LOAD_FILES} | {f"in_force/{n}.npz" for n in IN_FORCE}
    known |= {library.TABLE, best_known.FILE_NAME, "README.md", "ledger.jsonl"}
    known |= {f"{proofs.FOLDER}/{row.name}.npz" for row in ROWS}
    stored = [path for path in STORED.rglob("*") if path.is_file()]
    assert {path.relative_to(STORED).as_posix() for path in stored} <= known
    assert sum(path.stat().st_size for path in stored) < 3_000_000
    assert all(path.stat().st_size < 200_000 for path in stored if path.suffix == ".npz")


def test_there_are_instances_of_every_kind():
    assert len(ROWS) >= 60
    assert len({row.name for row in ROWS}) == len(ROWS)
    per_gpu = {row.num_slots // row.num_gpus for row in ROWS}
    assert {1, 2, 3, 4, 5, 9, 17, 33} <= per_gpu
    assert {row.loads for row in ROWS} == set(LOAD_FILES)
    assert {row.in_force for row in KINDS["moves"]} == set(IN_FORCE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_instance_is_a_problem_of_its_shape(row):
    instance = library.get(row.name)
    assert instance == row
    problem, source = instance.problem(), LOAD_FILES[row.loads]
    assert problem.num_layers == (len(row.layers) or source.num_layers)
    assert problem.num_experts == source.num_experts
    assert (problem.num_slots, problem.num_gpus) == (row.num_slots, row.num_gpus)
    assert problem.has_scenarios == row.scenarios
    if row.in_force:
        assert instance.current.physical_to_logical.shape == (problem.num_layers, row.num_slots)


def test_a_load_file_says_what_it_holds():
    for name, source in LOAD_FILES.items():
        with np.load(STORED / f"{name}.npz", allow_pickle=False) as arrays:
            assert str(arrays["model"]) == source.model
            assert str(arrays["units"]) == "routed (token, expert) assignments"
            assert int(arrays["seed"]) == source.seed
            assert int(arrays["generator_version"]) == (source.seed >= 0)
            assert str(arrays["generator"]) == source.recipe
            assert arrays["load"].dtype.kind == "u"


def test_digests_are_of_all_load_files():
    assert set(DIGESTS) == set(LOAD_FILES)
    assert digest((STORED / "readme.npz").read_bytes()) == DIGESTS["readme"]


def test_an_unknown_instance_lists_the_known_ones():
    with pytest.raises(ProblemError, match="known: readme, readme-h, hot-pair"):
        library.get("nope")


def test_without_a_folder_the_built_in_names_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "__file__", str(tmp_path / "a" / "b" / "library.py"))
    with pytest.raises(FormatError, match="come with a checkout"):
        library.find_folder()
    assert library.names() == [row.name for row in ROWS]


def test_a_row_with_terms_of_a_later_version_is_refused_when_it_is_used(folder):
    row = {"name": "x", "loads": "readme", "num_slots": 16, "num_gpus": 8, "terms": {"gravity": 2}}
    instance = from_row(row, folder)
    assert to_row(instance) == row
    with pytest.raises(FormatError, match=r"instance x: the terms gravity are unknown"):
        instance.problem()


@pytest.mark.parametrize(
    "cost",
    [
        {"seconds": [[2.0, 1.0, 1.0, 1.0, 1.0]] * 12},
        {"expert_bytes": 1e6, "bandwidth": 1e12, "flops_per_token": 1e6, "peak": 1e12},
    ],
)
def test_a_cost_is_a_table_or_what_a_step_takes(folder, cost):
    terms = {"cost": cost} | ({} if "seconds" in cost else {"batch_tokens": 4})
    terms |= {} if "seconds" in cost else {"experts_per_token": 2}
    row = {"name": "x", "loads": "readme", "num_slots": 16, "num_gpus": 8, "terms": terms}
    assert from_row(row, folder).problem().has_cost


@pytest.mark.parametrize(
    "row",
    [
        [],
        {"name": "x"},
        {"name": "../x", "loads": "readme", "num_slots": 16, "num_gpus": 8},
        {"name": "x", "loads": "..", "num_slots": 16, "num_gpus": 8},
        {"name": "x", "loads": "readme", "num_slots": -1, "num_gpus": 8},
        {"name": "x", "loads": "readme", "num_slots": 16, "num_gpus": 8, "layers": ["0"]},
        {"name": "x", "loads": "readme", "num_slots": 16, "num_gpus": 8, "colour": "red"},
        {"name": "x", "loads": "readme", "num_slots": 16, "num_gpus": 8, "max_moves": True},
    ],
)
def test_a_damaged_row_is_refused(row, tmp_path):
    with pytest.raises(FormatError):
        from_row(row, tmp_path)


def test_a_layer_that_the_file_does_not_have_is_refused(folder):
    instance = Instance("x", "readme", 16, 8, layers=(2,), folder=folder)
    with pytest.raises(FormatError, match="wants layer 2; the file has 2"):
        instance.problem()


def test_a_plan_that_breaks_a_rule_or_moves_too_much_is_refused():
    instance = library.get("mixtral-8x7b-16-8-move-2")
    problem, held = instance.problem(), instance.current.physical_to_logical
    instance.check(problem, held)
    with pytest.raises(FormatError, match=r"layer 0: \d+ slots move; at most 2 may"):
        instance.check(problem, np.roll(held, 4, axis=1))
    with pytest.raises(PlanError, match="expert"):
        instance.check(problem, np.zeros_like(held))


def test_loads_from_elsewhere_become_instances_with_what_they_are(folder):
    loads = Loads(np.arange(1, 25).reshape(2, 12))
    made = import_loads(
        loads, [Machine.parse("16x8"), Machine.parse("16x8/2/4")], folder, "ours", ABOUT
    )
    assert [instance.name for instance in made] == ["ours-16-8", "ours-16-8-h"]
    assert library.names(folder)[-2:] == ["ours-16-8", "ours-16-8-h"]
    again = library.get("ours-16-8-h", folder)
    assert again.problem().is_hierarchical
    assert np.array_equal(again.load, loads.total)
    with np.load(folder / "ours.npz", allow_pickle=False) as arrays:
        assert {key: str(arrays[key]) for key in ABOUT} == ABOUT
    library.generate(folder)
    assert library.get("ours-16-8", folder) == made[0]
    with pytest.raises(ProblemError, match="already; choose another --name"):
        import_loads(loads, [Machine.parse("16x8")], folder, "ours", ABOUT)


@pytest.mark.parametrize(
    ("loads", "about", "machine"),
    [
        (np.ones((1, 4)), {**ABOUT, "licence": " "}, "8x4"),
        (np.full((1, 4), 0.5), ABOUT, "8x4"),
        (np.ones((1, 4)), ABOUT, "3x3"),
    ],
)
def test_loads_that_cannot_be_taken_in_leave_nothing_behind(folder, loads, about, machine):
    before = sorted(folder.iterdir())
    with pytest.raises(ProblemError):
        import_loads(Loads(loads), [Machine.parse(machine)], folder, "ours", about)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("content", ["[]", "{}", '{"instances": 3}', '{"instances": [3]}', "{"])
def test_a_damaged_table_is_refused(folder, content):
    (folder / library.TABLE).write_text(content)
    with pytest.raises(FormatError):
        library.load_table(folder)


def test_two_instances_of_a_name_are_refused(folder):
    document = json.loads((folder / library.TABLE).read_text())
    document["instances"].append(document["instances"][0])
    (folder / library.TABLE).write_text(json.dumps(document))
    with pytest.raises(FormatError, match="two instances readme"):
        library.load_table(folder)


def test_the_library_can_be_imported_first():
    code = "from eplb_opt.bench import library"
    subprocess.run([sys.executable, "-c", code], check=True)
