"""`eplb-opt plan --transfers`: a file that can be carried out."""

import json
from pathlib import Path

import numpy as np
import pytest

from eplb_opt.cli import main
from eplb_opt.io import read_plan
from eplb_opt.placement.transfers import played_back

LOADS = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [12, 9, 3, 44, 5, 31, 8, 2, 60, 7, 1, 5],
]
MACHINE = ["--gpus", "8", "--slots", "16", "--effort", "2"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("loads.json").write_text(json.dumps(LOADS))
    Path("before.json").write_text(json.dumps([row[::-1] for row in LOADS]))
    assert main(["plan", "before.json", *MACHINE, "--output", "current.npz"]) == 0
    return tmp_path


@pytest.mark.parametrize(("engine", "plan"), [("npz", "plan.npz"), ("vllm-ascend", "plan.json")])
def test_the_file_leads_from_the_plan_in_force_to_the_plan_that_is_written(
    folder, capsys, engine, plan
):
    capsys.readouterr()
    wanted = ["--engine", engine, "--output", plan, "--transfers", "moves.json", "--json"]
    assert main(["plan", "loads.json", *MACHINE, "--current", "current.npz", *wanted]) == 0
    out, err = capsys.readouterr()
    document = json.loads(Path("moves.json").read_text())
    batches = [[tuple(t.values()) for t in batch] for batch in document["eplb_opt_transfers"]]
    found = played_back(read_plan("current.npz"), batches, 8)
    assert (found == read_plan(plan)).all()
    summary = json.loads(out)["transfers"]
    assert summary == {
        "transfers": sum(map(len, batches)),
        "batches": len(batches),
        "fewest_batches": document["lower_bound"],
        "staging_slots": document["staging"],
    }
    assert f"{summary['transfers']} transfers in {len(batches)} batches" in err
    assert (document["num_slots"], document["layer_ids"]) == (16, [0, 1])


def test_layers_are_named_as_the_model_does(folder):
    np.savez("loads.npz", load=np.array(LOADS), layer_ids=[3, 4])
    np.savez("before.npz", load=np.array(LOADS)[:, ::-1], layer_ids=[3, 4])
    assert main(["plan", "before.npz", *MACHINE, "--output", "current.npz"]) == 0
    files = ["--current", "current.npz", "--transfers", "moves.json"]
    assert main(["plan", "loads.npz", *MACHINE, *files]) == 0
    assert json.loads(Path("moves.json").read_text())["layer_ids"] == [3, 4]


def test_transfers_need_a_plan_in_force(folder, capsys):
    assert main(["plan", "loads.json", *MACHINE, "--transfers", "moves.json"]) == 2
    assert "--transfers needs --current" in capsys.readouterr().err
    assert not Path("moves.json").exists()
