"""`--verbose`: a log in columns on stderr, beside the bar, and nothing of it anywhere else."""

import json
import logging
import re

import numpy as np
import pytest

from eplb_opt.cli import main
from eplb_opt.cli.solver_log import COLUMNS, SolverLog
from eplb_opt.planner.journal import Event, Kind
from eplb_opt.result import HistoryPoint
from tests.cli.terminal import run_in_terminal

LOADS = np.random.default_rng(4).integers(1, 10**5, (4, 24)).tolist()
MACHINE = ["--gpus", "8", "--slots", "32"]


@pytest.fixture
def loads(tmp_path):
    path = tmp_path / "loads.json"
    path.write_text(json.dumps(LOADS))
    return str(path)


def run(capsys, *arguments):
    code = main(list(arguments))
    return code, *capsys.readouterr()


def table(err):
    """The lines under the heading, up to the empty one."""
    heading, _, rest = err.partition("time event")[2].partition("\n")
    assert heading.split() == [name for name, _, _ in COLUMNS][2:]
    return rest.partition("\n\n")[0].splitlines()[1:]


@pytest.mark.parametrize("command", ["plan", "bound"])
def test_the_log_goes_to_stderr_in_columns_of_equal_width(capsys, loads, command):
    code, out, err = run(capsys, command, loads, *MACHINE, "--effort", "20", "-v", "--json")
    assert code == 0
    json.loads(out)
    rows = table(err)
    assert "start" in rows[0]
    assert "greedy" in rows[0]
    assert any("search" in row and " stage " in row for row in rows)
    assert {len(row) for row in rows} == {sum(width + 1 for _, width, _ in COLUMNS) - 1}
    for row in rows:
        assert re.search(r"\d\.\d{7} \d\.\d{7} +\d+\.\d{5} % +\d/4$", row)
    assert "stopped by effort" in err
    assert re.search(r"^search +4 +\d+\.\d\d +\d +\d +\d$", err, re.M)
    assert "not proven optimal: the counted work is done" in err


def test_without_it_stderr_is_silent_and_the_plan_is_the_same(capsys, loads):
    silent = run(capsys, "plan", loads, *MACHINE, "--effort", "3", "--json")
    heard = run(capsys, "plan", loads, *MACHINE, "--effort", "3", "--json", "--verbose")
    assert silent[2] == ""
    one, two = (json.loads(text)["objective"] for text in (silent[1], heard[1]))
    assert one == two
    assert not logging.getLogger("eplb_opt").isEnabledFor(logging.INFO)
    assert not any(isinstance(h, SolverLog) for h in logging.getLogger("eplb_opt").handlers)


def test_twice_tells_every_turn(capsys, loads):
    _, _, once = run(capsys, "plan", loads, *MACHINE, "--effort", "3", "-v")
    _, _, twice = run(capsys, "plan", loads, *MACHINE, "--effort", "3", "-vv")
    assert "search on layer" not in once
    assert len(re.findall(r"^  search on layer \d: ", twice, re.M)) == 4


def test_the_gap_report_has_a_log_too(capsys, loads):
    arguments = ["gap", loads, *MACHINE, "--time-limit", "0.2", "--no-prices", "-v"]
    code, _, err = run(capsys, *arguments)
    assert code == 0
    assert table(err)


def test_on_a_terminal_the_bar_stays_below_the_log(loads):
    done, seen = run_in_terminal("plan", loads, *MACHINE, "--time-limit", "3", "-v")
    assert done.returncode == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen).replace("\r", "\n")
    lines = [line for line in plain.split("\n") if line.strip()]
    rows = [line for line in lines if re.search(r"%\s+\d/4\s*$", line)]
    assert rows
    assert not any("planning" in row for row in rows)
    assert all(len(row.rstrip()) == 78 for row in rows)


def test_long_names_and_many_layers_keep_the_columns():
    log = SolverLog()
    point = HistoryPoint(1234.5, "a/very/long/path/to/the/plan-of-yesterday.json", 2.0, 1.0, 2.5)
    event = Event(Kind.START, point, 0, 58, "", ())
    assert len(log._row(event)) == 78
    assert "...lan-of-yesterday.json" in log._row(event)
    many = Event(Kind.PLAN, point, 0, 58, "", tuple(range(0, 58, 2)))
    assert "29 layers" in log._row(many)


def test_heuristics_and_files_are_starts(capsys, loads, tmp_path):
    first = tmp_path / "first.npz"
    run(capsys, "plan", loads, *MACHINE, "--effort", "9", "--output", str(first))
    arguments = ["plan", loads, *MACHINE, "--effort", "0", "--json", "--start", str(first)]
    code, out, _ = run(capsys, *arguments, "--start", "cpu_lpt_slotted")
    assert code == 0
    starts = json.loads(out)["starts"]
    assert [start["name"] for start in starts] == ["greedy", str(first), "cpu_lpt_slotted"]
    assert starts[1]["share_closed"] == 0.0
    assert len(starts[1]["objective"]) == 4
    code, out, _ = run(capsys, *[word for word in arguments if word != "--json"])
    assert "What each start was worth" in out


def test_what_is_neither_a_heuristic_nor_a_file_is_refused(capsys, loads):
    code, _, err = run(capsys, "plan", loads, *MACHINE, "--start", "depseek")
    assert code == 2
    assert "--start depseek is neither a file nor a heuristic; known: greedy, deepseek" in err
