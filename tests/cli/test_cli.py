import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import eplb_opt
from eplb_opt.cli import main
from eplb_opt.io import read_plan
from tests.cli.terminal import run_in_terminal

LOADS = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]]
MACHINE = ["--gpus", "8", "--slots", "16"]
NODES = [*MACHINE, "--nodes", "2", "--groups", "4"]


@pytest.fixture
def loads(tmp_path):
    path = tmp_path / "loads.json"
    path.write_text(json.dumps(LOADS))
    return str(path)


@pytest.fixture
def greedy(tmp_path):
    placed = [[5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1]]
    path = tmp_path / "greedy.json"
    path.write_text(json.dumps({"physical_to_logical_map": placed}))
    return str(path)


def run(capsys, *arguments):
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_plan_prints_a_table_and_writes_the_engines_file(capsys, loads, tmp_path):
    target = tmp_path / "plan.json"
    code, out, _ = run(
        capsys,
        "plan",
        loads,
        *NODES,
        "--time-limit",
        "20",
        "--engine",
        "sglang",
        "--output",
        str(target),
    )
    assert code == 0
    assert "optimal" in out
    assert "151" in out
    assert list(json.loads(target.read_text())) == ["physical_to_logical_map"]
    problem = eplb_opt.Problem(LOADS, 16, 8, 2, 4)
    assert eplb_opt.evaluate(problem, read_plan(target)).objective.tolist() == [151]


def test_plan_prints_strict_json(capsys, loads):
    code, out, _ = run(capsys, "plan", loads, *MACHINE, "--time-limit", "20", "--json")
    answer = json.loads(out, parse_constant=pytest.fail)
    assert code == 0
    assert answer["objective"] == answer["lower_bound"] == [136]
    assert answer["status"] == ["optimal"]
    assert answer["history"]


def test_effort_gives_the_same_json_twice(capsys, loads):
    answers = [
        json.loads(run(capsys, "plan", loads, *MACHINE, "--effort", "3", "--json")[1])
        for _ in range(2)
    ]
    assert answers[0]["objective"] == answers[1]["objective"]
    assert answers[0]["stop_reason"] == answers[1]["stop_reason"]


def test_gap_shows_every_heuristic_every_plan_and_the_price_of_the_nodes(capsys, loads, greedy):
    from heuristics import HEURISTICS

    pytest.importorskip("torch")
    code, out, _ = run(
        capsys, "gap", loads, *NODES, "--plan", greedy, "--time-limit", "3", "--json"
    )
    report = json.loads(out)
    rows = {row["name"]: row for row in report["rows"]}
    assert code == 0
    assert set(HEURISTICS) | {"eplb-opt", greedy} == set(rows)
    assert rows["eplb-opt"]["model_gap"] == 0
    assert rows[greedy]["model_gap"] == pytest.approx(156 / 151 - 1)
    assert report["rows"][0]["model_gap"] == 0
    assert all(0 < row["nearest_copy"] <= 1 for row in report["rows"])
    price = next(price for price in report["prices"] if price["name"] == "hierarchy")
    assert price["at_least"] == pytest.approx(151 / 136 - 1)
    assert price["at_most"] == pytest.approx(151 / 136 - 1)
    code, out, _ = run(capsys, "gap", loads, *NODES, "--plan", greedy, "--time-limit", "1")
    assert code == 0
    assert "swap_refine" in out
    assert "groups stay on one node" in out
    assert "greedy.json" in out


def test_gap_shows_strict_anchored_priced_and_flat_plans_beside_their_bounds(
    capsys, loads, tmp_path
):
    quick = ["--time-limit", "0.2"]
    page = tmp_path / "gap.html"
    code, out, _ = run(capsys, "gap", loads, *NODES, *quick, "--json", "--report", str(page))
    report = json.loads(out)
    assert code == 0
    rows = report["topology"]["rows"]
    names = [(row["kind"], row["price"]) for row in rows]
    assert names == [
        ("strict", None),
        ("anchored", 0.3),
        ("priced", 0.05),
        ("priced", 0.3),
        ("flat", None),
    ]
    assert all(row["lower_bound"] <= row["objective"] for row in rows)
    mean = np.array(json.loads(Path(loads).read_text())).sum() / 8
    assert rows[0]["load"] == pytest.approx(sum(report["objective"]) / mean)
    assert "All at home, or anywhere?" in page.read_text()
    code, out, _ = run(capsys, "gap", loads, *NODES, *quick)
    assert code == 0
    assert "priced at 0.05" in out
    code, out, _ = run(capsys, "gap", loads, *NODES, *quick, "--no-prices")
    assert "priced at" not in out
    code, _, err = run(capsys, "gap", loads, *NODES, *quick, "--dispatch", "optimal")
    assert code == 0
    assert "plans between strict and flat are left out" in " ".join(err.split())


def test_gap_writes_a_row_a_layer_and_lists_as_many_as_asked(capsys, tmp_path):
    path, table = tmp_path / "loads.npy", tmp_path / "gap.csv"
    np.save(path, np.random.default_rng(0).integers(1, 99, (3, 6)))
    command = ["gap", str(path), "--gpus", "4", "--slots", "8", "--time-limit", "0.2"]
    code, out, _ = run(capsys, *command, "--csv", str(table), "--layers", "all", "--no-prices")
    assert code == 0
    assert len(table.read_text().splitlines()) == 5
    assert "All layers" in out
    assert "equal counts" not in out
    code, _, err = run(capsys, *command, "--layers", "many")
    assert code == 2
    assert "--layers many" in err


def test_gap_says_which_given_plan_breaks_which_rule(capsys, loads, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"physical_to_logical_map": [[0] * 16]}))
    code, out, _ = run(
        capsys, "gap", loads, *MACHINE, "--plan", str(bad), "--time-limit", "1", "--json"
    )
    (row,) = [row for row in json.loads(out)["rows"] if row["name"] == str(bad)]
    assert code == 0
    assert "expert 1 is on no GPU" in row["problem"]
    assert row["model_gap"] is None


def test_check_scores_a_good_plan_and_refuses_a_bad_one(capsys, loads, greedy):
    code, out, _ = run(capsys, "check", greedy, loads, *NODES)
    assert code == 0
    assert "156" in out
    assert "nearest copy" in out
    near = json.loads(run(capsys, "check", greedy, loads, *NODES, "--json")[1])["nearest_copy"]
    assert near["uniform"] == [156]
    assert near["apart"] == pytest.approx(near["nearest"][0] / 156 - 1)
    code, out, err = run(capsys, "check", greedy, loads, *NODES[:-1], "2")
    assert code == 3
    assert "group" in err
    assert out == ""


def test_check_is_a_gate_where_a_gap_or_a_balancedness_is_asked_for(capsys, loads, greedy):
    check = ["check", greedy, loads, *NODES]
    assert run(capsys, *check, "--max-gap", "0.2", "--min-balancedness", "0.8")[0] == 0
    for gate in (["--max-gap", "0.01"], ["--min-balancedness", "0.9"]):
        code, out, err = run(capsys, *check, *gate)
        assert code == 3
        assert gate[0] in err
        assert "156" in out


def test_bound_writes_proofs_that_check_accepts(capsys, loads, greedy, tmp_path):
    proof = tmp_path / "proof.json"
    work = ["--effort", "20", "--workers", "1", "--certificate", str(proof)]
    code, out, _ = run(capsys, "bound", loads, *MACHINE, *work)
    assert code == 0
    assert "all 1" in out
    score = ["check", greedy, loads, *MACHINE, "--certificate", str(proof), "--json"]
    code, out, _ = run(capsys, *score)
    assert code == 0
    assert json.loads(out)["lower_bound"][0] > sum(LOADS[0]) / 8


def test_bound_prints_every_layer(capsys, loads):
    code, out, _ = run(capsys, "bound", loads, *MACHINE, "--time-limit", "20", "--json")
    assert code == 0
    assert json.loads(out)["lower_bound"] == [136]
    code, out, _ = run(capsys, "bound", loads, *MACHINE, "--time-limit", "0")
    assert code == 0
    assert "proven bound" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "absent.npy", *MACHINE], "absent.npy"),
        (["plan", "LOADS", "--gpus", "7", "--slots", "16"], "num_slots = 16"),
        (["plan", "LOADS", *MACHINE, "--engine", "cray"], "cray"),
        (["plan", "LOADS", *MACHINE, "--time-limit", "-1"], "time_limit=-1"),
        (["plan", "LOADS", "--slots", "16"], "--gpus"),
        (["fly"], "fly"),
        (["check", "LOADS", "LOADS", *MACHINE], "12 slots"),
    ],
)
def test_bad_input_exits_with_2_or_3_and_says_why(capsys, loads, arguments, words):
    code, out, err = run(capsys, *[loads if a == "LOADS" else a for a in arguments])
    assert code == (3 if arguments[0] == "check" else 2)
    assert words in err
    assert "Traceback" not in err
    assert out == ""


def test_our_own_fault_exits_with_1(capsys, loads, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("a bug")

    monkeypatch.setattr("eplb_opt.cli.plan.plan", broken)
    code, _, err = run(capsys, "plan", loads, *MACHINE)
    assert code == 1
    assert "a bug" in err
    assert "report" in err


def test_a_failed_write_is_bad_input(capsys, loads, tmp_path):
    target = tmp_path / "no" / "such" / "folder.json"
    code, _, err = run(
        capsys,
        "plan",
        loads,
        *MACHINE,
        "--time-limit",
        "1",
        "--engine",
        "sglang",
        "--output",
        str(target),
    )
    assert code == 2
    assert "folder.json" in err


@pytest.mark.parametrize("command", [[], ["plan"], ["gap"], ["check"], ["bound"], ["warmup"]])
def test_every_command_explains_itself(capsys, command):
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0
    assert "Usage: eplb-opt" in out


def test_python_m_is_the_same_program_and_progress_stays_out_of_pipes(loads):
    command = [
        sys.executable,
        "-m",
        "eplb_opt",
        "plan",
        loads,
        *MACHINE,
        "--time-limit",
        "3",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["objective"] == [136]
    assert done.stderr == ""


def test_a_terminal_sees_progress_on_stderr_alone(loads):
    done, seen = run_in_terminal("plan", loads, *MACHINE, "--time-limit", "3", "--json")
    assert json.loads(done.stdout)["objective"] == [136]
    assert "planning" in seen


def test_many_layers_from_an_array_file(capsys, tmp_path):
    path = tmp_path / "loads.npy"
    np.save(path, np.arange(1, 25).reshape(2, 3, 4))
    code, out, _ = run(
        capsys, "plan", str(path), "--gpus", "2", "--slots", "6", "--json", "--time-limit", "5"
    )
    assert code == 0
    assert len(json.loads(out)["objective"]) == 3


def test_plan_moves_no_more_than_asked(capsys, loads, greedy):
    near = ["plan", loads, *MACHINE, "--effort", "5", "--current", greedy, "--json"]
    code, out, _ = run(capsys, *near, "--max-moves", "2")
    assert code == 0
    assert json.loads(out)["moves"][0] <= 2
    code, out, _ = run(capsys, *near, "--move-tolerance", "10")
    assert json.loads(out)["moves"] == [0]
    code, _, err = run(capsys, *near, "--max-moves", "2", "--move-tolerance", "0.1")
    assert code == 2
    assert "exclude each other" in err
