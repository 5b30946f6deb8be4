"""The serving call at a price beside its rivals, as a table."""

import json

import pytest
from rich.console import Console

from eplb_opt.bench.families import family_loads
from eplb_opt.bench.ledger import read_ledger
from eplb_opt.bench.prices import price_rows
from eplb_opt.bench.prices_table import prices_table
from eplb_opt.cli import main
from eplb_opt.problem.machine import Machine

LOAD = family_loads("lognormal-1.0", 2, 32, 0)
ASKED = {"efforts": (0, 40), "limits": (0.005,), "rounds": 1}


@pytest.fixture(scope="module")
def rows():
    machine = Machine.parse("40x8/4/8")
    return {row.policy: row for row in price_rows("x", LOAD, machine, 0.3, offline=0.3, **ASKED)}


def test_every_policy_is_measured_beside_the_others(rows):
    assert list(rows) == [
        "deepseek, groups on nodes",
        "deepseek, flat",
        "ours, groups on nodes",
        "ours, flat",
        "ours, priced, effort 0",
        "ours, priced, effort 40",
        "ours, priced, 5 ms",
        "planner, 0.3 s",
    ]
    assert all(row.seconds > 0 and row.processor_seconds > 0 for row in rows.values())


def test_figures_belong_together(rows):
    for row in rows.values():
        assert row.objective == pytest.approx(row.load + 0.3 * row.off_home)
        assert row.above_bound >= 0
    assert rows["deepseek, groups on nodes"].off_home == 0
    assert rows["planner, 0.3 s"].above_planner == 0
    priced = rows["ours, priced, effort 40"]
    assert priced.objective <= rows["ours, priced, effort 0"].objective
    assert priced.objective < min(rows[name].objective for name in list(rows)[:4])


def test_where_numbers_do_not_divide_no_plan_keeps_groups_on_nodes():
    found = list(price_rows("x", LOAD, Machine.parse("42x14/3/7"), 0.3, **ASKED))
    assert [row.policy for row in found][:2] == ["deepseek, flat", "ours, flat"]
    assert found[0].above_planner is None
    console = Console(width=140)
    with console.capture() as shown:
        console.print(prices_table(found))
    assert "42x14/3/7, price 0.3" in shown.get()
    assert "above the planner" not in shown.get()


def test_the_command_prints_a_table_and_writes_rows(capsys, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    small = ["bench", "prices", "--layers", "1", "--rounds", "1", "--machine", "288x32/4/8"]
    small += ["--offline", "0", "--effort", "5", "--time-limit", "0.01"]
    assert main([*small, "--ledger", str(ledger)]) == 0
    assert "ours, priced, effort 5" in capsys.readouterr().out
    assert {row.suite for row in read_ledger(ledger)} == {"prices"}
    assert main([*small, "--topology-price", "0.05", "--json"]) == 0
    assert {row["price"] for row in json.loads(capsys.readouterr().out)} == {0.05}
