"""Files as users bring them, from outside: right figures, a note, or a refusal that leads on."""

import json
import re

import numpy as np
import pytest

from eplb_opt import Problem, evaluate
from eplb_opt.cli import main
from eplb_opt.io import read_plan, write_plan
from tests.io.test_long_tables import ROWS
from tests.io.test_plausible import MAP, SLOT_LOADS, recorded

QUICK = ["--effort", "1", "--workers", "1"]
PADDED = [[0, 1, 2, 3, 15], [4, 5, 6, 7, -1], [8, 9, 10, 11, -1], [12, 13, 14, 15, -1]]
PADDED_LOADS = [[9, 12, 7, 15, 11, 10, 8, 14, 13, 9, 16, 6, 12, 10, 11, 40]]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    code = main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def answered(capsys, *arguments):
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out), err


def expert_map(by_device):
    """vllm-ascend's file of [layers][devices][slots]."""
    layers = [
        {
            "layer_id": layer,
            "device_count": len(devices),
            "device_list": [
                {"device_id": gpu, "device_expert": list(map(int, slots))}
                for gpu, slots in enumerate(devices)
            ],
        }
        for layer, devices in enumerate(by_device)
    ]
    return json.dumps({"moe_layer_count": len(layers), "layer_list": layers})


def test_a_rank_table_is_planned_under_its_own_layers(capsys, here):
    (here / "rank0.csv").write_text(ROWS)
    machine = ["--gpus", 2, "--slots", 6, *QUICK]
    found, err = answered(capsys, "plan", "rank0.csv", *machine)
    assert found["layers"] == [3, 4]
    wanted = evaluate(Problem([[31, 131, 231, 331], [41, 141, 241, 341]], 6, 2), found_plan(here))
    assert found["objective"][0] <= wanted.objective[0]
    assert "4 experts are planned" in err
    assert "the file of rank 0 alone, and --gpus is 2" in err
    assert [note for note in found["messages"] if "rank 0 alone" in note]
    code, out, _ = run(capsys, "plan", "rank0.csv", *machine)
    assert re.search(r"│ +3 │.*│ +4 │", out, re.DOTALL)
    assert code == 0


def found_plan(here):
    """Some valid plan of four experts in six slots."""
    return np.array([[0, 1, 2, 3, 3, 2], [0, 1, 2, 3, 3, 2]])


def test_the_files_of_several_ranks_are_added_up(capsys, here):
    (here / "rank0.csv").write_text(ROWS)
    (here / "rank1.csv").write_text(ROWS)
    machine = ["--gpus", 2, "--slots", 4, *QUICK]
    both, err = answered(capsys, "bound", "rank0.csv", "rank1.csv", *machine)
    one, _ = answered(capsys, "bound", "rank0.csv", *machine)
    assert both["lower_bound"] == [2 * bound for bound in one["lower_bound"]]
    assert "alone" not in err
    assert answered(capsys, "bound", ".", *machine)[0]["lower_bound"] == both["lower_bound"]
    (here / "rank3.csv").write_text(ROWS)
    code, _, err = run(capsys, "bound", "rank0.csv", "rank1.csv", "rank3.csv", *machine)
    assert code == 2
    assert "files of 3 ranks (0, 1, 3) of 4; those of 2 are missing" in err


def test_experts_that_no_table_of_hits_names_get_a_slot_where_they_are_told(capsys, here):
    (here / "hits.csv").write_text(ROWS)
    machine = ["--gpus", 2, "--slots", 6, *QUICK]
    _, err = answered(capsys, "plan", "hits.csv", *machine, "--experts", 6, "--output", "p.npy")
    assert set(read_plan("p.npy").ravel()) == set(range(6))
    assert "are planned" not in err
    write_plan("now.npz", np.tile(np.arange(6), (2, 1)), num_gpus=2, layer_ids=(3, 4))
    found, err = answered(capsys, "plan", "hits.csv", *machine, "--current", "now.npz")
    assert "experts up to 3 were hit; there are 6, as in --current now.npz" in err
    code, _, err = run(capsys, "plan", "hits.csv", *machine, "--experts", 3)
    assert code == 2
    assert "there are 4 experts, more than the 3" in err
    assert found["moves"] is not None


def test_a_recording_of_one_rank_is_planned_and_said(capsys, here):
    load = np.zeros((1, 2, 8), dtype=int)
    load[:, :, :2] = [[300, 500], [900, 100]]
    (here / "one.json").write_text(json.dumps({"logical_count": load.tolist()}))
    for command in ("plan", "bound"):
        found, err = answered(capsys, command, "one.json", "--gpus", 2, "--slots", 10, *QUICK)
        assert "6 of 8 experts have no token in any layer" in err
        assert any("6 of 8 experts" in note for note in found["messages"])
    found, _ = answered(capsys, "gap", "one.json", "--gpus", 2, "--slots", 10, "--time-limit", 0.1)
    assert any("6 of 8 experts" in note for note in found["messages"])


@pytest.mark.parametrize("option", ["--current", "--map"])
def test_heat_of_physical_slots_is_folded_by_its_map(capsys, here, option):
    np.save("heat.npy", SLOT_LOADS)
    (here / "map.json").write_text(expert_map(MAP.reshape(3, 2, 3)))
    machine = ["--gpus", 2, "--slots", 6, *QUICK]
    found, err = answered(capsys, "plan", "heat.npy", *machine, option, "map.json")
    assert "folded by map.json into those of 4 experts" in err
    np.save("experts.npy", [[100, 7, 18, 30], [4, 16, 60, 12], [70, 10, 4, 9]])
    due, _ = answered(capsys, "plan", "experts.npy", *machine)
    assert found["lower_bound"] == due["lower_bound"]


def test_heat_without_a_map_is_refused_and_the_advice_leads_on(capsys, here):
    np.save("heat.npy", SLOT_LOADS)
    code, _, err = run(capsys, "plan", "heat.npy", "--gpus", 2, "--slots", 6, *QUICK)
    assert code == 2
    assert "[layers, ranks, slots of a rank]" in err
    assert "--map FILE" in err
    code, _, err = run(capsys, "replay", "heat.npy", "--gpus", 2, "--slots", 6, "--every", 1)
    assert code == 2
    assert "loads of physical slots" in err


def test_the_proof_of_folded_loads_is_checked_by_the_line_that_is_printed(capsys, here):
    np.save("heat.npy", SLOT_LOADS)
    (here / "map.json").write_text(expert_map(MAP.reshape(3, 2, 3)))
    files = ["--current", "map.json", "--certificate", "c.json", "--output", "p.npz"]
    _, err = answered(capsys, "plan", "heat.npy", "--gpus", 2, "--slots", 6, *QUICK, *files)
    line = re.search(r"anew by: eplb-opt (.*)", err)[1]
    assert "--map map.json" in line
    assert run(capsys, *line.split())[0] == 0


def test_a_padded_map_is_scored_planned_from_and_written_back(capsys, here):
    (here / "map.json").write_text(expert_map([PADDED]))
    np.save("loads.npy", PADDED_LOADS)
    machine = ["--gpus", 4, "--slots", 20]
    problem = Problem(PADDED_LOADS, 20, 4, gpu_slots=[5, 4, 4, 4])
    found, err = answered(capsys, "check", "map.json", "loads.npy", *machine)
    assert (
        found["objective"]
        == evaluate(problem, np.reshape(PADDED, (1, 20))).objective.tolist()
        == [63]
    )
    assert "leaves 3 of 20 slots of a layer empty" in err
    near = ["--current", "map.json", "--max-moves", 2, *QUICK]
    files = ["--engine", "vllm-ascend", "--output", "new.json"]
    found, err = answered(capsys, "plan", "loads.npy", *machine, *near, *files)
    assert found["moves"][0] <= 2
    assert found["objective"][0] < 63
    assert "--gpu-slots 5,3x4" in err
    new = read_plan("new.json").reshape(4, 5)
    assert ((new < 0) == (np.array(PADDED) < 0)).all()
    kept = (new == np.array(PADDED)) & (new >= 0)
    assert kept.sum() >= 15
    gate = ["--engine", "vllm-ascend", "--current", "map.json"]
    scored, _ = answered(capsys, "check", "new.json", "loads.npy", *machine, *gate)
    assert scored["objective"] == found["objective"]
    assert scored["moves"] == found["moves"]
    code, _, err = run(capsys, "check", "new.json", "loads.npy", *machine, *gate[:2])
    assert code == 3
    assert "is empty" in err
    rows = answered(
        capsys, "gap", "loads.npy", *machine, "--plan", "map.json", "--time-limit", 0.1
    )[0]["rows"]
    assert {row["name"] for row in rows if not row["problem"]} == {"eplb-opt", "map.json", "greedy"}


def test_empty_slots_between_full_ones_are_found_too(capsys, here):
    moved = [[-1, *row[:-1]] if row[-1] < 0 else row for row in PADDED]
    (here / "map.json").write_text(expert_map([moved]))
    np.save("loads.npy", PADDED_LOADS)
    machine = ["--gpus", 4, "--slots", 20]
    found, _ = answered(capsys, "check", "map.json", "loads.npy", *machine)
    assert found["objective"] == [63]
    near = ["--current", "map.json", "--max-moves", 2, *QUICK]
    files = ["--engine", "vllm-ascend", "--output", "new.json"]
    answered(capsys, "plan", "loads.npy", *machine, *near, *files)
    assert ((read_plan("new.json") < 0) == (np.array(moved).reshape(1, 20) < 0)).all()


def test_slots_that_are_to_be_filled_are_where_an_option_says_so(capsys, here):
    (here / "map.json").write_text(expert_map([PADDED]))
    np.save("loads.npy", PADDED_LOADS)
    command = ["plan", "loads.npy", "--gpus", 4, "--slots", 20, *QUICK, "--current", "map.json"]
    _, err = answered(capsys, *command, "--gpu-slots", "4x5", "--output", "p.npy")
    assert (read_plan("p.npy") >= 0).all()
    assert "stay empty" not in err


@pytest.mark.parametrize(
    ("current", "machine", "words"),
    [
        ({"num_gpus": 4}, ["--gpus", 8], "it is of 4 GPUs, and --gpus is 8"),
        ({}, ["--gpus", 8, "--slots", 48], "it has 40 slots a layer, and --slots is 48"),
        ({"num_experts": 40}, ["--gpus", 8], "it holds 40 experts, and LOADS has 32"),
    ],
)
def test_a_plan_in_force_that_contradicts_stops_the_work(capsys, here, current, machine, words):
    np.save("loads.npy", recorded()[0])
    placed = np.tile(np.arange(40) % 32, (6, 1))
    write_plan("now.npz", placed, **{"num_gpus": 8, **current})
    command = ["plan", "loads.npy", "--slots", 40, *machine, "--current", "now.npz", *QUICK]
    for files in ([], ["--engine", "sglang", "--output", "p.json"]):
        code, out, err = run(capsys, *command, *files)
        assert (code, out) == (2, "")
        assert f"--current now.npz: {words}" in err
    assert not (here / "p.json").exists()


def test_layers_that_only_the_plan_in_force_names_are_carried_over(capsys, here):
    np.save("loads.npy", recorded()[0])
    write_plan(
        "now.npz",
        np.tile(np.arange(40) % 32, (6, 1)),
        num_gpus=8,
        layer_ids=range(3, 9),
        num_hidden_layers=10,
    )
    files = ["--current", "now.npz", "--engine", "sglang", "--output", "p.json"]
    machine = ["--gpus", 8, "--slots", 40]
    found, err = answered(capsys, "plan", "loads.npy", *machine, *QUICK, *files)
    assert found["layers"] == list(range(3, 9))
    assert "they are 3 to 8, as in --current now.npz" in err
    assert len(read_plan("p.json")) == 10
    assert (np.sort(read_plan("p.json")[9])[:32] == np.arange(32)).sum() >= 1


def test_rows_that_nothing_names_are_refused_and_the_advice_leads_on(capsys, here):
    np.save("loads.npy", recorded()[0])
    (here / "now.json").write_text(
        json.dumps({"physical_to_logical_map": [(np.arange(40) % 32).tolist()] * 9})
    )
    command = ["--gpus", 8, "--slots", 40, "--current", "now.json", *QUICK]
    code, _, err = run(capsys, "plan", "loads.npy", *command)
    assert code == 2
    advice = re.search(r"eplb-opt convert LOADS named\.npz (.*?);", err)[1].split()
    assert run(capsys, "convert", "loads.npy", "named.npz", *advice)[0] == 0
    found, _ = answered(capsys, "plan", "named.npz", *command)
    assert found["layers"] == list(range(3, 9))


def test_the_number_of_moves_is_printed(capsys, here):
    np.save("loads.npy", recorded()[0])
    write_plan("now.npz", np.tile(np.arange(40) % 32, (6, 1)), num_gpus=8)
    command = ["plan", "loads.npy", "--gpus", 8, "--slots", 40, *QUICK, "--current", "now.npz"]
    found, _ = answered(capsys, *command, "--max-moves", 7, "--output", "p.npz")
    code, out, _ = run(capsys, *command, "--max-moves", 7)
    assert code == 0
    assert "moves" in out
    num = sum(found["moves"])
    assert 0 < num <= 7
    assert f"From the plan in force {num} of 240 slots" in out
    command = ["check", "p.npz", "loads.npy", "--gpus", 8, "--slots", 40, "--current", "now.npz"]
    assert answered(capsys, *command)[0]["moves"] == found["moves"]
    assert f"{num} of 240 slots" in run(capsys, *command)[1]


def test_broken_rules_are_told_with_the_layers_names(capsys, here):
    (here / "loads.csv").write_text("layer,e0,e1,e2,e3\n3,9,8,7,6\n7,5,9,5,9\n")
    np.save("plan.npy", [[0, 1, 2, 3], [0, 1, 2, 2]])
    code, _, err = run(capsys, "check", "plan.npy", "loads.csv", "--gpus", 2, "--slots", 4)
    assert code == 3
    assert "layer 7: expert 3 is on no GPU" in err


def test_loads_that_are_none_are_refused_by_every_command(capsys, here):
    ids = np.array([np.random.default_rng(i).permutation(np.arange(40) % 32) for i in range(2)])
    np.save("ids.npy", ids)
    machine = ["--gpus", 8, "--slots", 40]
    for command in (
        ["plan", "ids.npy", *machine],
        ["gap", "ids.npy", *machine],
        ["bound", "ids.npy", *machine],
        ["check", "ids.npy", "ids.npy", *machine],
        ["size", "ids.npy", "--gpus", "8"],
        ["replay", "ids.npy", *machine, "--every", 1],
    ):
        code, out, err = run(capsys, *command)
        assert (code, out) == (2, ""), command
        assert "the ids of experts in 40 slots" in err
    np.save("loads.npy", recorded(num_layers=2))
    code, _, err = run(capsys, "plan", "loads.npy", *machine, *QUICK, "--held-out", "ids.npy")
    assert code == 2
    assert "the ids of experts" in err
