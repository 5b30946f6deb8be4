"""How late plans come under short limits."""

import json

from eplb_opt.bench import deadlines
from eplb_opt.cli import main


def test_every_case_is_planned_and_measured(monkeypatch):
    monkeypatch.setattr(deadlines, "IN_FORCE_SECONDS", 0.0)
    rows = list(deadlines.deadline_rows(list(deadlines.CASES), [0.0], 1, num_layers=1))
    assert [row.case for row in rows] == list(deadlines.CASES)
    for row in rows:
        assert row.median == row.worst
        assert row.cpu_seconds > 0
        assert row.gap >= 0


def test_the_command_reports_each_limit(capsys):
    command = ["bench", "deadlines", "--case", "plain", "--layers", "1", "--calls", "2"]
    limits = ["--time-limit", "0", "--time-limit", "0.01"]
    assert main([*command, *limits, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["time_limit"] for row in rows] == [0.0, 0.01]
    assert main([*command, *limits]) == 0
    assert capsys.readouterr().out.count("plain") == 2


def test_a_case_that_is_unknown_is_refused_with_those_that_are(capsys):
    assert main(["bench", "deadlines", "--case", "plane"]) == 2
    assert "two slots a GPU" in " ".join(capsys.readouterr().err.split())
