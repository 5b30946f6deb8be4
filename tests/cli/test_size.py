import csv
import io
import json

import numpy as np
import pytest

from eplb_opt.cli import main

LOADS = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86], [50] * 12]
QUICK = ["--effort", "2", "--workers", "1"]


@pytest.fixture
def loads(tmp_path):
    path = tmp_path / "loads.json"
    path.write_text(json.dumps(LOADS))
    return str(path)


@pytest.fixture
def other(tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps([row[::-1] for row in LOADS]))
    return str(path)


def run(capsys, *arguments):
    code = main(["size", *arguments, *QUICK])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_table_marks_the_smallest_size_that_meets_the_target(capsys, loads):
    code, out, err = run(
        capsys, loads, "--gpus", "4", "--target-balancedness", "0.99", "--expert-bytes", "1000000"
    )
    assert code == 0
    assert "smallest" in out
    assert "GiB" in out
    assert "reach 0.99" in out
    assert err == ""


def test_json_names_the_smallest_and_every_size(capsys, loads, other):
    code, out, _ = run(
        capsys,
        loads,
        "--gpus",
        "4,6",
        "--slots-per-gpu",
        "3:4",
        "--held-out",
        other,
        "--target-balancedness",
        "0.9",
        "--json",
    )
    answer = json.loads(out, parse_constant=pytest.fail)
    assert code == 0
    sizes = [(row["num_gpus"], row["num_slots"]) for row in answer["sizes"]]
    assert sizes == [(4, 12), (4, 16), (6, 18), (6, 24)]
    meeting = [row for row in answer["sizes"] if row["balancedness"] >= 0.9]
    assert {row["verdict"] for row in meeting} == {"meets"}
    smallest = answer["smallest"]["uniform"]
    assert smallest["num_slots"] == min(row["num_slots"] for row in meeting)
    assert smallest["num_redundant_experts"] == smallest["num_slots"] - 12
    assert answer["sizes"][0]["held_out"][0]["name"] == "other"
    assert 0 < answer["sizes"][0]["held_out"][0]["static"] <= 1


def test_csv_holds_one_line_a_size_and_columns_for_what_is_held_out(capsys, loads, other, tmp_path):
    target = tmp_path / "sizes.csv"
    code, _, _ = run(capsys, loads, "--gpus", "4", "--held-out", other, "--csv", str(target))
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert code == 0
    assert [row["num_slots"] for row in rows] == ["12", "16", "20", "24", "28"]
    assert all(0 < float(row["static on other"]) <= 1 for row in rows)
    assert all(float(row["lower_bound"]) <= float(row["objective"]) for row in rows)


def test_several_files_or_all_snapshots_are_served_by_one_plan(capsys, loads, other, tmp_path):
    path = tmp_path / "both.npy"
    np.save(path, np.array([LOADS, [row[::-1] for row in LOADS]]))
    one = [*("--gpus", "4", "--slots", "16", "--json")]
    answers = [
        json.loads(run(capsys, *files, *one)[1])["sizes"][0]["objective"]
        for files in ([loads, other], [str(path), "--scenarios"], [str(path)])
    ]
    assert answers[0] == answers[1]
    assert 1 <= answers[0] < 2 < answers[2]


def test_the_plot_is_written(capsys, loads, other, tmp_path):
    pytest.importorskip("matplotlib")
    target = tmp_path / "size.png"
    code, _, _ = run(
        capsys, loads, "--gpus", "4", "--slots", "12,16", "--held-out", other, "--plot", str(target)
    )
    assert code == 0
    assert target.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpus", "four"], "32,64 for several"),
        (["--gpus", "4", "--slots", "13"], "take 12 or 16"),
        (["--gpus", "4", "--slots-per-gpu", "9:8"], "8:12 for"),
        (["--gpus", "4", "--target-balancedness", "99"], "at most 1"),
        (["--gpus", "4", "--csv", "no/where.csv"], "mkdir -p"),
        ([], "--gpus"),
    ],
)
def test_bad_input_exits_with_2_and_says_what_to_do(capsys, loads, arguments, words):
    code, out, err = run(capsys, loads, *arguments)
    assert code == 2
    assert words in " ".join(err.split())
    assert out == ""


def test_files_of_different_models_are_refused(capsys, loads, tmp_path):
    path = tmp_path / "short.json"
    path.write_text(json.dumps(LOADS[:1]))
    code, _, err = run(capsys, loads, str(path), "--gpus", "4")
    assert code == 2
    assert "cannot serve both" in err


COST = ["--cost", "h100/deepseek-v3/fp8", "--batch-tokens", "4"]


def test_with_a_cost_the_fastest_size_stands_out(capsys, loads, tmp_path):
    to = tmp_path / "sizes.csv"
    code, out, err = run(capsys, loads, "--gpus", "4,6", *COST, "--csv", str(to))
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO(to.read_text())))
    best = min(rows, key=lambda row: float(row["objective"]))
    words = " ".join(out.split())
    assert "above the fastest" in words
    assert f"{best['num_slots']} slots on {best['num_gpus']} GPUs" in words
    assert "are the fastest" in words
    assert all(0 < float(row["lower_bound"]) <= float(row["objective"]) < 1e-2 for row in rows)
    assert {row["balancedness"] for row in rows} == {""}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([*COST, "--target-balancedness", "0.9"], "do not go with --cost"),
        (COST[:2], "needs one --batch-tokens"),
        (["--batch-tokens", "4"], "go with --cost here"),
    ],
)
def test_what_does_not_go_with_a_cost_is_said(capsys, loads, given, words):
    code, _, err = run(capsys, loads, "--gpus", "4", *given)
    assert code == 2
    assert words in " ".join(err.split())
