"""`--cost`: plans, gaps and checks in seconds of a step."""

import json

import pytest

from eplb_opt import StepCost
from eplb_opt.cli import main

SHAPE = ["--gpus", "4", "--slots", "16"]
COST = ["--cost", "h100/deepseek-v3/fp8", "--batch-tokens", "4"]


@pytest.fixture
def loads(tmp_path):
    path = tmp_path / "loads.json"
    path.write_text(json.dumps([[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 2], [50] * 12]))
    return str(path)


def run(capsys, *arguments):
    code = main([*map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_plan_is_made_and_checked_in_microseconds(capsys, loads, tmp_path):
    to = tmp_path / "plan.npz"
    quick = ["--effort", "5", "--output", to]
    code, out, err = run(capsys, "plan", loads, *SHAPE, *COST, *quick)
    assert code == 0, err
    assert "slowest GPU" in out
    assert "In a step of 4 tokens a GPU the experts take" in " ".join(out.split())
    assert "of the experts' part of the step" in " ".join(out.split())
    code, out, err = run(capsys, "check", to, loads, *SHAPE, *COST)
    assert code == 0, err
    assert "A better plan could save" in " ".join(out.split())


def test_the_bound_is_one_of_time(capsys, loads):
    code, out, err = run(capsys, "bound", loads, *SHAPE, *COST, "--effort", "5", "--json")
    assert code == 0, err
    answer = json.loads(out)
    read = float(StepCost.preset("h100", "deepseek-v3").seconds(1))
    assert all(read < value <= 4 * read for value in answer["lower_bound"])
    code, _, err = run(capsys, "bound", loads, *SHAPE, *COST[:2])
    assert code == 2
    assert "needs one --batch-tokens" in err


def test_json_is_in_seconds(capsys, loads):
    code, out, _ = run(capsys, "plan", loads, *SHAPE, *COST, "--effort", "5", "--json")
    assert code == 0
    answer = json.loads(out)
    read = float(StepCost.preset("h100", "deepseek-v3").seconds(1))
    assert answer["unit"] == "seconds"
    assert all(read < value <= 4 * read for value in answer["objective"])


def test_the_gap_of_every_heuristic_is_one_of_time(capsys, loads, tmp_path):
    to = tmp_path / "rows.csv"
    quick = ["--time-limit", "2", "--csv", to]
    code, out, err = run(capsys, "gap", loads, *SHAPE, *COST, *quick)
    assert code == 0, err
    assert "a layer" in out
    assert "deepseek" in out
    assert '"uniform split"' not in out
    first = to.read_text().splitlines()[1].split(",")
    assert any(
        0 < float(cell) < 1e-3
        for cell in first
        if cell.replace("e-", "").replace(".", "").isdigit()
    )


def test_a_measured_table_is_read_from_a_file(capsys, loads, tmp_path):
    table = tmp_path / "expert.csv"
    table.write_text("tokens,seconds\n1,1e-5\n64,3e-5\n")
    asked = ["plan", loads, *SHAPE, "--cost", table, "--batch-tokens", "4", "--effort", "2"]
    code, out, err = run(capsys, *asked)
    assert code == 2
    assert "--experts-per-token" in err
    code, out, err = run(capsys, *asked, "--experts-per-token", "2")
    assert code == 0, err
    assert "µs" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cost", "h100/deepseek-v3/fp8"], "needs one --batch-tokens"),
        (["--cost", "nowhere.csv", "--batch-tokens", "4"], "no such file"),
        (["--cost", "h100/nothing", "--batch-tokens", "4"], "known: deepseek-v3"),
        ([*COST, "--dispatch", "optimal"], "uniform split"),
        ([*COST, "--gpu-speeds", "1,1,1,0.5"], "leave the speeds out"),
        ([*COST, "--report", "page.html"], "does not go with --cost"),
        ([*COST, "--scenarios"], None),
    ],
)
def test_what_does_not_go_with_it_is_refused(capsys, loads, options, words):
    code, _, err = run(capsys, "plan", loads, *SHAPE, *options, "--effort", "1")
    assert (code, words is None or words in " ".join(err.split())) == (
        0 if words is None else 2,
        True,
    )
