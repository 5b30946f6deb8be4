"""Options for GPUs that differ, the commands for losses and frontiers, and dispatch weights."""

import json
from pathlib import Path

import numpy as np
import pytest

import eplb_opt
from eplb_opt.cli import main
from eplb_opt.cli.gpu_options import RuleTexts
from eplb_opt.io import read_plan, write_plan
from eplb_opt.problem.machine import GpuRules, Machine

LOAD = np.random.default_rng(0).integers(1, 100, (2, 8))
MACHINE = ["--gpus", "4", "--slots", "16"]
QUICK = ["--effort", "1", "--workers", "1"]
NAMES = [3, 5]


@pytest.fixture
def loads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("loads.npz", load=LOAD, layer_ids=np.array(NAMES))
    return "loads.npz"


def run(capsys, *arguments):
    code = main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    return code, out, err


RULES = {
    "lost": (["--lost-gpus", "1"], {"active_gpus": np.array([True, False, True, True])}),
    "a range lost": (["--lost-gpus", "1:2"], {"active_gpus": np.array([True, False, False, True])}),
    "slots": (["--gpu-slots", "4,2x3,2"], {"gpu_slots": [4, 3, 3, 2]}),
    "speeds": (["--gpu-speeds", "3x1,0.5"], {"gpu_speed": [1, 1, 1, 0.5]}),
    "pins": (["--pin", "7:3", "--pin", "5:0:2"], {"pinned": [(0, 7, 3), (1, 7, 3), (1, 0, 2)]}),
    "bans": (["--ban", "0:0,1:0"], {"forbidden": [(0, 0), (1, 0)]}),
    "spread": (["--spread", "gpu"], {"spread": "gpu"}),
}


@pytest.mark.parametrize("case", RULES)
def test_the_options_are_what_the_library_has(capsys, loads, case):
    options, arguments = RULES[case]
    problem = eplb_opt.Problem(LOAD, 16, 4, **arguments)
    wanted = eplb_opt.plan(problem, effort=1, workers=1)
    files = ["--output", "p.npz", "--certificate", "c.json"]
    code, out, err = run(capsys, "plan", loads, *MACHINE, *QUICK, *options, *files, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["objective"] == wanted.objective.tolist()
    assert (read_plan("p.npz") == wanted.plan.physical_to_logical).all()
    # The line that proves it anew asks the same.
    line = err.partition("anew by: eplb-opt ")[2].split()
    code, out, _ = run(capsys, *line, "--json")
    assert code == 0
    assert json.loads(out)["objective"] == found["objective"]
    code, out, _ = run(capsys, "bound", loads, *MACHINE, *QUICK, *options, "--json")
    assert json.loads(out)["lower_bound"] == found["lower_bound"]
    code, out, err = run(
        capsys, "gap", loads, *MACHINE, "--time-limit", 0.1, *options, "--plan", "p.npz", "--json"
    )
    rows = {row["name"]: row for row in json.loads(out)["rows"]}
    assert set(rows) == {"eplb-opt", "p.npz", "greedy"}
    assert not any(row["problem"] for row in rows.values())
    assert "know of no GPUs that differ" in err


def test_a_plan_that_breaks_such_a_rule_fails_the_check(capsys, loads):
    np.save("p.npy", np.tile(np.arange(16) % 8, (2, 1)))
    check = ["check", "p.npy", loads, *MACHINE]
    assert run(capsys, *check)[0] == 0
    for options, words in (
        (["--pin", "0:3"], "layer 3, GPU 3: expert 0 is pinned there"),
        (["--pin", "5:0:3"], "layer 5, GPU 3: expert 0 is pinned there"),
        (["--ban", "0:0"], "layer 3, GPU 0: expert 0 is forbidden there"),
        (["--lost-gpus", "2"], "closed slots are empty: layer 3, GPU 2"),
    ):
        code, _, err = run(capsys, *check, *options)
        assert code == 3
        assert words in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lost-gpus", "4"], "GPU 4 cannot be lost: there are 4, from 0"),
        (["--lost-gpus", "x"], "'x' names no whole numbers from 0"),
        (["--gpu-slots", "4,4"], "has 2 numbers; --gpus is 4"),
        (["--gpu-slots", "5x4"], "'5x4' is none of"),
        (["--gpu-slots", "4,4,4,5"], "must be integers in 0..4"),
        (["--gpu-speeds", "1,1,1,0"], "'0' is none of"),
        (["--gpu-speeds", "1,1,1,inf"], "'inf' is none of"),
        (["--pin", "7"], "'7' is none of EXPERT:GPU"),
        (["--pin", "4:7:3"], "there is no layer 4; LOADS has 2, from 3 to 5"),
        (["--pin", "8:0"], "pinned holds [8, 0]"),
        (["--ban", "0:4"], "forbidden holds [0, 4]; the range is [8, 4]"),
        (["--pin", "0:0", "--ban", "0:0"], "both pinned and forbidden"),
        (["--dispatch-weights", "w.txt"], "the extension '.txt' is unknown"),
    ],
)
def test_errors_name_the_numbers(capsys, loads, options, words):
    code, out, err = run(capsys, "plan", loads, *MACHINE, *QUICK, *options)
    assert (code, out) == (2, "")
    assert words in err


def test_rules_in_words_are_the_same_rules():
    texts = RuleTexts(["1"], "4,3x3", "4x1", ["7:3"], ["5:0:1"], "gpu")
    words = texts.words()
    assert words == [
        *("--lost-gpus", "1", "--gpu-slots", "4,3x3", "--gpu-speeds", "4x1"),
        *("--pin", "7:3", "--ban", "5:0:1", "--spread", "gpu"),
    ]
    due = GpuRules((1,), (4, 3, 3, 3), (1.0,) * 4, ((7, 3),), ((1, 0, 1),), "gpu")
    assert texts.rules(4, NAMES) == due
    assert RuleTexts().words() == []
    assert RuleTexts().rules(4, NAMES) == GpuRules()
    assert Machine(16, 4, rules=due) != Machine(16, 4)


@pytest.mark.parametrize("name", ["w.npz", "w.npy", "w.json"])
def test_dispatch_weights_are_those_of_the_library(capsys, loads, name):
    options = ["--gpu-speeds", "3x1,0.5", "--dispatch-weights", name]
    code, _, _ = run(capsys, "plan", loads, *MACHINE, *QUICK, *options, "--output", "p.npz")
    assert code == 0
    plan = eplb_opt.Plan(read_plan("p.npz"), 4, 8)
    due = eplb_opt.dispatch(plan, LOAD, gpu_speed=[1, 1, 1, 0.5])
    if name.endswith("npz"):
        with np.load(name) as found:
            weights = found["weights"]
            assert found["layer_ids"].tolist() == NAMES
            assert np.allclose(found["log2phy_prob"].sum(axis=2), 1)
    else:
        weights = json.loads(Path(name).read_text()) if name.endswith("json") else np.load(name)
    assert np.allclose(weights, due)
    code, _, _ = run(capsys, "check", "p.npz", loads, *MACHINE, *options)
    assert code == 0


def test_the_frontier_is_a_table_and_gives_its_plans(capsys, loads):
    write_plan("now.npz", np.tile(np.arange(16) % 8, (2, 1)), num_gpus=4, layer_ids=NAMES)
    command = ["frontier", loads, *MACHINE, "--current", "now.npz", *QUICK]
    files = ["--max-moves", 3, "--output", "p.npz", "--csv", "f.csv"]
    code, out, _ = run(capsys, *command, *files, "--json")
    found = json.loads(out)
    assert code == 0
    due = eplb_opt.frontier(
        eplb_opt.Problem(LOAD, 16, 4), read_plan("now.npz"), effort=1, workers=1
    )
    assert found["moves"] == due.moves.tolist()
    assert found["objective"] == due.objective.tolist()
    assert (read_plan("p.npz") == due.plan(3).physical_to_logical).all()
    rows = Path("f.csv").read_text().splitlines()
    assert rows[0] == "moves,objective"
    assert len(rows) == 1 + len(found["moves"])
    code, out, _ = run(capsys, *command)
    assert code == 0
    assert "What moves buy, of 32 slots" in out
    code, _, err = run(capsys, *command, "--max-moves", 3)
    assert code == 2
    assert "give both" in err


def test_a_plan_for_losses_says_what_they_cost(capsys, loads):
    command = ["plan-for-loss", loads, *MACHINE, *QUICK]
    code, out, _ = run(capsys, *command, "--output", "p.npz", "--json")
    found = json.loads(out)
    assert code == 0
    due = eplb_opt.plan_for_loss(eplb_opt.Problem(LOAD, 16, 4), effort=1, workers=1)
    assert (read_plan("p.npz") == due.plan.physical_to_logical).all()
    assert found["largest_after_loss"] == due.after.largest_load.tolist()
    assert found["survives"] is True
    assert found["layers"] == NAMES
    code, out, _ = run(capsys, *command)
    assert "no loss takes an expert" in out
    code, _, err = run(capsys, *command, "--nodes", 2, "--groups", 2, "--of", "node")
    assert code == 2
    assert "lost with it" in err


def test_help_puts_the_options_under_a_heading_of_their_own(capsys):
    for command in ("plan", "check", "gap", "bound", "frontier", "plan-for-loss"):
        code, out, _ = run(capsys, command, "--help")
        assert code == 0
        heading, _, rest = out.partition("GPUs that differ:")
        assert "--lost-gpus" not in heading
        assert "--lost-gpus" in rest.partition("\n\n")[0]
