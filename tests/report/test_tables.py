import doctest

import numpy as np

import eplb_opt
from eplb_opt.report import tables
from eplb_opt.report.gap import gap_report, relaxations


def text_of(table):
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_examples_in_docstrings_hold():
    assert doctest.testmod(tables).failed == 0


def test_durations_and_amounts_read_well():
    assert tables.duration(None) == "given"
    assert tables.duration(0.0123) == "12.3 ms"
    assert tables.duration(12.34) == "12.3 s"
    assert tables.amount(1234567.8) == "1,234,568"
    assert tables.amount(196.66666666) == "196.667"
    assert tables.amount(33361) == "33,361"
    assert tables.amount(33361.25) == "33,361.25"


def test_the_result_table_shows_the_worst_layers_and_the_sum():
    load = np.random.default_rng(0).integers(1, 1000, (9, 12))
    result = eplb_opt.plan(eplb_opt.Problem(load, 16, 4), time_limit=0)
    text = text_of(tables.result_table(result))
    worst = int(result.gap.argmax())
    assert f" {worst} " in text
    assert "all 9" in text
    assert tables.percent(result.model_gap) in text


def test_rows_come_best_first_and_broken_plans_last():
    problem = eplb_opt.Problem([[9, 5, 4, 1, 1, 1]], 8, 4)
    result = eplb_opt.plan(problem, time_limit=10)
    worse = np.sort(result.plan.physical_to_logical, axis=1)
    report = gap_report(
        problem,
        result,
        plans={"bad": [[0] * 8], "sorted": worse},
        heuristics={"fails": lambda: (_ for _ in ()).throw(ImportError("no torch"))},
        relaxed_results={},
    )
    assert report.rows[0].name == "eplb-opt"
    assert {row.name for row in report.rows[-2:]} == {"bad", "fails"}
    text = text_of(tables.gap_table(report))
    assert "no torch" in text
    assert "expert 1 is on no GPU" in text


def test_each_constraint_has_a_relaxation():
    flat = eplb_opt.Problem([[1, 2, 3, 4]], 8, 4)
    nodes = eplb_opt.Problem([[1, 2, 3, 4]], 8, 4, 2, 2, "forbid")
    assert relaxations(flat) == {}
    without = relaxations(nodes)
    assert not without["groups stay on one node"].is_hierarchical
    assert without["replicas stand apart"].colocation == "allow"
