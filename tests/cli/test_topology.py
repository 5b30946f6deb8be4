import csv
import io
import json

import numpy as np
import pytest

from eplb_opt.cli import main

SHAPE = ["--gpus", "4", "--slots", "16", "--nodes", "2", "--groups", "4"]
QUICK = ["--effort", "2", "--workers", "1"]


@pytest.fixture
def loads(tmp_path):
    path = tmp_path / "loads.json"
    path.write_text(json.dumps([[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86], [50] * 12]))
    return str(path)


def run(capsys, *arguments):
    code = main(["topology", *arguments, *QUICK])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_table_goes_from_strict_to_flat(capsys, loads):
    code, out, err = run(capsys, loads, *SHAPE)
    assert code == 0
    assert err == ""
    order = [out.index(name) for name in ("strict", "anchored at 0.05", "priced at 0.3", "flat")]
    assert order == sorted(order)
    assert "off home" in out


def test_json_and_csv_hold_every_plan(capsys, loads, tmp_path):
    to = tmp_path / "rows.csv"
    code, out, _ = run(capsys, loads, *SHAPE, "--price", "0.2", "--json", "--csv", str(to))
    answer = json.loads(out, parse_constant=pytest.fail)
    assert code == 0
    kinds = [row["kind"] for row in answer["rows"]]
    assert kinds == ["strict", "anchored", "priced", "flat"]
    rows = list(csv.DictReader(io.StringIO(to.read_text())))
    assert [row["kind"] for row in rows] == kinds
    assert [row["price"] for row in rows] == ["", "0.2", "0.2", ""]
    for row, line in zip(answer["rows"], rows, strict=True):
        assert float(line["objective"]) == row["objective"] >= row["lower_bound"]
        expected = row["load"] + (row["price"] or 0) * row["off_home"]
        assert np.isclose(row["objective"], expected)


def test_the_least_off_home_with_loads_close_to_the_best(capsys, loads):
    code, out, err = run(capsys, loads, *SHAPE, "--within", "0.02")
    assert code == 0, err
    assert "at most 2 % above the best one found" in " ".join(out.split())
    code, out, _ = run(capsys, loads, *SHAPE, "--within", "0.02", "--json")
    near = json.loads(out, parse_constant=pytest.fail)["near_home"]
    assert code == 0
    assert np.shape(near["physical_to_logical"]) == (2, 16)
    assert (np.array(near["off_home_bound"]) <= near["off_home"]).all()


@pytest.mark.parametrize(
    "rule", [("--gpu-speeds", "2x1,2x0.5"), ("--gpu-slots", "6,6,3,6"), ("--lost-gpus", "3")]
)
def test_gpus_that_differ_are_planned_in_every_row(capsys, loads, rule):
    code, out, err = run(capsys, loads, *SHAPE, "--slots", "24", *rule, "--json")
    assert code == 0
    assert err == ""
    rows = json.loads(out)["rows"]
    kinds = [(row["kind"], row["price"]) for row in rows]
    between = [(kind, price) for kind in ("anchored", "priced") for price in (0.05, 0.3)]
    assert kinds == [("strict", None), *between, ("flat", None)]
    assert all(row["objective"] >= row["lower_bound"] for row in rows)
    assert rows[-1]["load"] <= rows[0]["load"] + 0.01


def test_the_front_is_drawn(capsys, loads, tmp_path):
    pytest.importorskip("matplotlib")
    to = tmp_path / "front.png"
    code, _, _ = run(capsys, loads, *SHAPE, "--front", "--plot", str(to))
    assert code == 0
    assert to.read_bytes().startswith(b"\x89PNG")


def test_groups_that_do_not_divide_leave_out_the_strict_plan_and_say_so(capsys, loads):
    code, out, err = run(
        capsys, loads, "--gpus", "4", "--slots", "16", "--nodes", "2", "--groups", "3"
    )
    assert code == 0
    assert "strict" not in out
    assert "note: strict: num_groups = 3 is no multiple of num_nodes = 2" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpus", "4", "--slots", "16", "--nodes", "1"], "num_nodes above 1"),
        ([*SHAPE, "--price", "-1"], "price"),
    ],
)
def test_bad_input_exits_with_2_and_says_what_to_do(capsys, loads, arguments, words):
    code, _, err = run(capsys, loads, *arguments)
    assert code == 2
    assert words in err


def test_several_files_are_served_by_one_plan(capsys, loads, tmp_path):
    other = tmp_path / "night.json"
    other.write_text(json.dumps([[186, 83, 56, 73, 4, 39, 165, 104, 61, 40, 132, 90], [80] * 12]))
    weights = ["--weight", "3", "--weight", "1"]
    code, out, err = run(capsys, loads, str(other), *SHAPE, *weights)
    assert code == 0
    assert err == ""
    assert "2 loads, 2 layers x 12 experts" in out
    code, out, _ = run(capsys, loads, str(other), *SHAPE, *weights, "--price", "0.2", "--json")
    rows = json.loads(out, parse_constant=pytest.fail)["rows"]
    assert [row["kind"] for row in rows] == ["strict", "anchored", "priced", "flat"]
    for row in rows:
        assert row["objective"] >= row["lower_bound"]
        expected = row["load"] + (row["price"] or 0) * row["off_home"]
        assert np.isclose(row["objective"], expected)


def test_the_table_tells_what_crosses_nodes_where_gpus_send(capsys, loads):
    code, out, err = run(capsys, loads, *SHAPE, "--dispatch", "nearest")
    assert code == 0
    assert err == ""
    assert "anchored" not in out
    assert "off home" not in out
    assert "crossing" in out
    assert "nearest copy" in out


def test_optimal_dispatch_has_no_price(capsys, loads):
    code, _, err = run(capsys, loads, *SHAPE, "--dispatch", "optimal")
    assert code == 2
    assert "differ in what crosses nodes" in " ".join(err.split())
