"""`eplb-opt bench quality`, `robust`, `topology` and `figure`, and the ledger they share."""

import json

import pytest

from eplb_opt.bench.ledger import read_ledger
from eplb_opt.cli import main

SUITES = {
    "quality": "twelve-16-4",
    "robust": "mixtral-8x7b-day-16-8-mean",
    "topology": "twelve-16-4-price",
}


def run(capsys, *arguments):
    code = main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    return code, out, err


def test_suites_append_rows_to_one_ledger_and_are_drawn(capsys, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    for suite, name in SUITES.items():
        code, out, err = run(capsys, "bench", suite, name, "--time-limit", 0.05, "--ledger", ledger)
        assert code == 0, err
        assert "eplb-opt, 0.05 s" in out
    rows = read_ledger(ledger)
    assert [(row.suite, row.method) for row in rows] == [
        (suite, method) for suite in SUITES for method in ("greedy", "eplb-opt")
    ]
    pytest.importorskip("matplotlib")
    for kind in ("profile", "anytime"):
        plot = tmp_path / f"{kind}.png"
        code, out, err = run(capsys, "bench", "figure", ledger, "--kind", kind, "--plot", plot)
        assert code == 0, err
        assert plot.read_bytes().startswith(b"\x89PNG")
    code, _, err = run(capsys, "bench", "figure", ledger, "--suite", "hot", "--plot", plot)
    assert code == 2
    assert "no rows of 'hot'" in err


def test_rows_are_printed_as_json(capsys):
    code, out, _ = run(capsys, "bench", "quality", "one-expert-4-4", "--time-limit", 0, "--json")
    assert code == 0
    (greedy, ours) = json.loads(out)
    assert greedy["setting"] == ours["setting"]
    assert ours["gap"] == 0
    assert ours["time_limit"] == 0


def test_other_measurements_write_rows_too(capsys, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    small = ["--layers", 1, "--rounds", 1, "--machine", "288x72", "--ledger", ledger]
    code, _, err = run(capsys, "bench", "moves", *small, "--offline", 0, "--drift", 0.1)
    assert code == 0, err
    code, _, err = run(capsys, "bench", "dispatch", *small, "--batches", 1)
    assert code == 0, err
    rows = read_ledger(ledger)
    assert {row.suite for row in rows} == {"moves", "dispatch"}
    assert all(row.gap >= -1e-6 and row.seconds > 0 for row in rows)
    assert all((row.moves is not None) == (row.suite == "moves") for row in rows)


def test_a_file_that_is_no_ledger_is_not_touched(capsys, tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("not yours\n")
    code, _, err = run(
        capsys, "bench", "quality", "one-expert-4-4", "--time-limit", 0, "--ledger", other
    )
    assert code == 2
    assert "line 1" in err
    assert other.read_text() == "not yours\n"
