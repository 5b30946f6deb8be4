"""`convert`, `plan --engine` and `check --engine`: from a dump to a file the engine takes."""

import json

import numpy as np
import pytest

from eplb_opt.cli import main
from eplb_opt.io import VALIDATORS, read_loads, read_plan, write_plan
from eplb_opt.placement.plan import Plan
from tests.cli.terminal import run_in_terminal
from tests.io.samples import LOAD, expert_map, load_files, npy_bytes, plan_files
from tests.io.test_read_loads import folder, written

PLAN = np.array([[0, 1, 2, 3, 0, 1], [3, 2, 1, 0, 3, 1], [1, 0, 2, 3, 0, 2]])
ENGINES = {
    "sglang": "json",
    "vllm": "json",
    "trtllm": "yaml",
    "vllm-ascend": "json",
    "deepseek": "pt",
}


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.npz"
    write_plan(path, Plan(PLAN, 2, 4), layer_ids=[3, 4, 5], num_hidden_layers=7)
    return path


@pytest.mark.parametrize("first", list(ENGINES))
@pytest.mark.parametrize("second", list(ENGINES))
def test_a_plan_goes_through_any_two_engines_and_back(capsys, tmp_path, plan, first, second):
    there, on, back = tmp_path / f"a.{ENGINES[first]}", tmp_path / f"b.{ENGINES[second]}", "c.npz"
    facts = ["--gpus", 2, "--layers", "3-5", "--num-hidden-layers", 7]
    assert run(capsys, "convert", plan, there, "--engine", first)[0] == 0
    assert run(capsys, "convert", there, on, "--to", second, "--from", first, *facts)[0] == 0
    VALIDATORS[second](on, num_gpus=2, num_experts=4, num_slots=6, layer_ids=(3, 4, 5))
    assert run(capsys, "convert", on, tmp_path / back, *facts, "--kind", "plan")[0] == 0
    with np.load(tmp_path / back) as stored:
        assert (stored["physical_to_logical"] == PLAN).all()
        assert stored["layer_ids"].tolist() == [3, 4, 5]
        assert (int(stored["num_gpus"]), int(stored["num_hidden_layers"])) == (2, 7)


@pytest.mark.parametrize("name", [n for n in load_files() if n not in ("bare", "legacy.pt")])
def test_loads_go_through_parquet_and_back(capsys, tmp_path, name):
    source, table, back = written(tmp_path, name, load_files()[name]), "t.parquet", "back.npy"
    assert run(capsys, "convert", source, tmp_path / table, "--kind", "loads")[0] == 0
    assert run(capsys, "convert", tmp_path / table, tmp_path / back)[0] == 0
    assert (np.load(tmp_path / back) == LOAD).all()


@pytest.mark.parametrize("name", [n for n in plan_files() if n != "triple.pt"])
def test_plans_of_every_kind_are_told_from_loads_or_asked_for(capsys, tmp_path, name):
    source = written(tmp_path, name, plan_files()[name])
    code, _, err = run(capsys, "convert", source, tmp_path / "out.csv")
    if name in ("p.npy", "p.json", "tensor.pt"):  # two dimensions of integers
        assert code == 2
        assert "say --kind plan or --kind loads" in err
        assert run(capsys, "convert", source, tmp_path / "out.csv", "--kind", "plan")[0] == 0
    assert (read_plan(tmp_path / "out.csv") == read_plan(source)).all()


def test_a_folder_of_passes_becomes_one_array_or_its_total(capsys, tmp_path):
    source = folder(tmp_path, "passes")
    assert run(capsys, "convert", source, tmp_path / "a.npz")[0] == 0
    loads = read_loads(tmp_path / "a.npz")
    assert (loads.load == LOAD).all()
    assert loads.layer_ids == (1, 2, 3)
    assert (
        run(capsys, "convert", source, tmp_path / "b.json", "--total", "--to", "lmdeploy")[0] == 0
    )
    assert json.loads((tmp_path / "b.json").read_text()) == [[0] * 4, *LOAD.sum(axis=0).tolist()]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["plan.npz", "out.xyz"], 2, "its name tells no format; give --to"),
        (["plan.npz", "out.json", "--to", "lmdeploy"], 2, "lmdeploy is no format of plan"),
        (["plan.npz", "out.npz", "--layers", "3-"], 2, "give them as 3-60"),
        (["plan.npz", "out.npz", "--layers", "a"], 2, "give them as 3-60"),
        (["plan.npz", "out.npz", "--layers", "7-9,11"], 2, "do not hold the layers"),
        (["loads.npy", "out.npz", "--layers", "0-5"], 2, "layer_ids has"),
        (["plan.npz", "out.json", "--to", "sglang", "--gpus", "4"], 3, "no multiple of num_gpus=4"),
        (["none.npz", "out.npz"], 2, "no such file"),
        (["few.npy", "out.json", "--to", "vllm", "--kind", "plan"], 3, "expert 1 is on no GPU"),
        (["high.npy", "out.npz", "--kind", "plan"], 2, "ids up to 1000000 in 2 slots"),
        (["few.npy", "out.json", "--to", "vllm-ascend"], 2, "give --gpus"),
    ],
)
def test_bad_conversions_say_why(capsys, tmp_path, plan, arguments, code, words):
    written(tmp_path, "loads.npy", npy_bytes(LOAD))
    written(tmp_path, "few.npy", npy_bytes(np.array([[0, 2, 2]])))
    written(tmp_path, "high.npy", npy_bytes(np.array([[0, 10**6]])))
    paths = [tmp_path / name for name in arguments[:2]]
    found, _, err = run(capsys, "convert", *paths, *arguments[2:])
    assert found == code
    assert words in err
    assert not paths[1].exists()


MACHINE = ["--gpus", 2, "--slots", 6]
QUICK = [*MACHINE, "--effort", 1]


@pytest.mark.parametrize("engine", list(ENGINES))
def test_a_dump_becomes_a_plan_that_its_runtime_takes(capsys, tmp_path, engine):
    source, target = folder(tmp_path, "passes"), tmp_path / f"plan.{ENGINES[engine]}"
    code, _, err = run(capsys, "plan", source, *QUICK, "--engine", engine, "--output", target)
    assert code == 0
    assert ("--colocation forbid" in err) == (engine == "vllm-ascend")
    assert run(capsys, "check", target, source, *MACHINE, "--engine", engine)[0] == 0


def test_check_refuses_what_the_runtime_would(capsys, tmp_path):
    loads = written(tmp_path, "loads.npy", npy_bytes(LOAD))
    current = written(tmp_path, "old.json", json.dumps(expert_map(PLAN, 2)))
    swapped = PLAN[:, [1, 0, 2, 3, 4, 5]]
    target = written(tmp_path, "new.json", json.dumps(expert_map(swapped, 2)))
    check = ["check", target, loads, *MACHINE, "--engine", "vllm-ascend"]
    assert run(capsys, *check)[0] == 0
    code, _, err = run(capsys, *check, "--current", current)
    assert code == 3
    assert "changes its slot" in err
    code, _, err = run(capsys, *check[:-1], "trtllm")
    assert code == 2
    assert "this is json" in err


def test_vllm_ascend_keeps_the_slots_of_the_map_in_force(capsys, tmp_path):
    loads = written(tmp_path, "loads.npy", npy_bytes(LOAD))
    current = written(tmp_path, "old.json", json.dumps(expert_map(PLAN[:, [2, 0, 1, 5, 4, 3]], 2)))
    target = tmp_path / "new.json"
    keep = ["--engine", "vllm-ascend", "--current", current]
    assert run(capsys, "plan", loads, *QUICK, *keep, "--output", target)[0] == 0
    assert run(capsys, "check", target, loads, *MACHINE, *keep)[0] == 0
    plain = written(tmp_path, "p.npy", npy_bytes(PLAN))
    assert run(capsys, "convert", plain, target, *keep, "--gpus", 2)[0] == 0
    assert run(capsys, "check", target, loads, *MACHINE, *keep)[0] == 0


def test_a_terminal_sees_a_bar_while_files_are_read(tmp_path):
    done, seen = run_in_terminal("convert", folder(tmp_path, "passes"), tmp_path / "a.npz")
    assert done.returncode == 0
    assert done.stdout == b""
    assert "reading passes" in seen
    assert "100" in seen or "bytes" in seen or "kB" in seen


def test_maps_of_several_models_are_put_together_and_taken_apart(capsys, tmp_path, plan):
    maps, draft = tmp_path / "maps.json", tmp_path / "draft.npz"
    write_plan(draft, Plan(PLAN[:1, ::-1], 2, 4))
    to = ["--to", "vllm-hcu", "--model"]
    assert run(capsys, "convert", plan, maps, *to, "Target")[0] == 0
    assert run(capsys, "convert", draft, maps, *to, "Draft")[0] == 0
    code, _, err = run(capsys, "convert", maps, tmp_path / "one.npz")
    assert code == 2
    assert "it holds 2 models: Target, Draft. Take one out of it" in err
    assert run(capsys, "convert", maps, tmp_path / "one.npz", "--model", "Draft")[0] == 0
    assert (read_plan(tmp_path / "one.npz") == PLAN[:1, ::-1]).all()


def test_loads_are_written_by_the_models_name(capsys, tmp_path):
    np.save(tmp_path / "a.npy", LOAD)
    out = tmp_path / "a.safetensors"
    code, _, err = run(capsys, "convert", tmp_path / "a.npy", out)
    assert code == 2
    assert "convert --model" in err
    assert run(capsys, "convert", tmp_path / "a.npy", out, "--model", "org/model")[0] == 0
    assert (read_loads(out, model="org/model").load == LOAD.sum(axis=0)).all()


@pytest.mark.parametrize("told", [[], ["--layers", "1-3"], ["--num-hidden-layers", 3]])
def test_rows_of_hidden_layers_are_counted_aloud(capsys, tmp_path, told):
    np.save(tmp_path / "a.npy", LOAD)
    code, _, err = run(
        capsys, "convert", tmp_path / "a.npy", tmp_path / "a.json", "--to", "lmdeploy", *told
    )
    assert code == 0
    assert ("3 rows were written, one for every layer" in err) == (told == [])
    rows = json.loads((tmp_path / "a.json").read_text())
    assert len(rows) == (4 if "--layers" in told else 3)


def test_one_list_for_all_layers_is_refused_before_the_planning(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("eplb_opt.cli.plan.plan", lambda *_, **__: pytest.fail("planned"))
    np.save(tmp_path / "a.npy", LOAD)
    out = ["--output", tmp_path / "a.json", "--engine", "vllm-ranks"]
    code, _, err = run(capsys, "plan", tmp_path / "a.npy", "--gpus", 2, "--slots", 4, *out)
    assert code == 3
    assert "layer 1 differs from layer 0" in err
