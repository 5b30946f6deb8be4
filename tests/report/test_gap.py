"""The gap report: plans against the bound, constraints at their price, layers worst first."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

import eplb_opt
from eplb_opt.bench.families import family_loads
from eplb_opt.report import gap_tables
from eplb_opt.report.gap import gap_report
from eplb_opt.report.gap_csv import gap_csv
from tests.report.texts import text_of


@pytest.fixture(scope="module")
def problem():
    return eplb_opt.Problem(family_loads("zipf-1.2", 3, 16, 0), num_slots=24, num_gpus=8)


@pytest.fixture(scope="module")
def report(problem):
    result = eplb_opt.plan(problem, effort=2)
    greedy = eplb_opt.plan(problem, time_limit=0).plan
    return gap_report(
        problem, result, plans={"old.json": greedy, "bad": [[0] * 24] * 3}, heuristics={}
    )


def test_rows_come_best_first_and_broken_plans_last_in_words():
    problem = eplb_opt.Problem([[9, 5, 4, 1, 1, 1]], 8, 4)
    result = eplb_opt.plan(problem, time_limit=10)
    worse = np.sort(result.plan.physical_to_logical, axis=1)
    report = gap_report(
        problem,
        result,
        plans={"[bad]": [[0] * 8], "sorted": worse},
        heuristics={"fails": lambda: (_ for _ in ()).throw(ImportError("no torch"))},
    )
    assert report.rows[0].name == "eplb-opt"
    assert {row.name for row in report.rows[-2:]} == {"[bad]", "fails"}
    text = text_of(gap_tables.gap_table(report))
    assert "no torch" in text
    assert "[bad]: no figures" in text
    assert "expert 1 is on no GPU" in text


def test_layers_come_worst_first_with_every_given_plans_gap(report):
    gap = report.ours.layer_gap
    assert (np.diff(gap[report.worst_first]) <= 0).all()
    text = text_of(gap_tables.layer_table(report, 2))
    assert "old.json" in text
    assert "bad" not in text
    shown = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")]
    assert shown == [*(str(i) for i in report.worst_first[:2]), "all 3"]
    assert "All layers" in text_of(gap_tables.layer_table(report, None))


@pytest.mark.parametrize("width", [80, 100, 120])
def test_names_and_figures_are_whole_on_any_screen(report, width):
    long = [
        replace(row, name="replica_refine_guarded", model_gap=4.44e-6, seconds=0.98)
        for row in report.rows
    ]
    named = replace(report, rows=[*report.rows, *(row for row in long if not row.problem)])
    for table in (gap_tables.gap_table(named, width), gap_tables.layer_table(named, 3, width)):
        lines = text_of(table, width).splitlines()
        assert max(map(len, lines)) <= width
        assert not [line for line in lines if "…" in line]
        assert sum(line.startswith("│") for line in lines) in (4, 5, 6)  # no cell is broken


def test_the_csv_holds_every_layer_worst_first_and_the_whole_model(report):
    rows = list(csv.DictReader(io.StringIO(gap_csv(report, layer_ids=[3, 4, 5]))))
    assert [row["layer"] for row in rows] == [*map(str, report.worst_first), "all"]
    for row in rows[:-1]:
        layer_idx = int(row["layer"])
        assert int(row["hidden_layer"]) == layer_idx + 3
        assert float(row["objective"]) == report.objective[layer_idx]
        assert float(row["gap eplb-opt"]) == report.ours.layer_gap[layer_idx]
        assert row["gap bad"] == ""
    assert float(rows[-1]["gap eplb-opt"]) == report.ours.model_gap


def test_plans_of_one_name_keep_their_own_columns(report):
    twice = replace(
        report, rows=[*report.rows, replace(report.rows[0], name="old.json", kind="given")]
    )
    lines = list(csv.reader(io.StringIO(gap_csv(twice))))
    assert {len(line) for line in lines} == {len(lines[0])}
    assert lines[0].count("gap old.json") == 2
