import numpy as np

import eplb_opt
from eplb_opt.report.html import write_report
from eplb_opt.report.starts import _closed, start_columns, starts_table
from tests.report.pages import planned

LOAD = np.random.default_rng(0).integers(1, 99, (4, 12))


def test_every_start_has_a_row_and_the_answer_the_last():
    result, _ = planned()
    columns = {column.heading: column.cells for column in start_columns(result)}
    assert columns["start"] == ["greedy", "current", "eplb-opt"]
    assert sum(map(int, columns["layers begun"][:2])) == 4  # what current is depends on torch
    assert len({len(cells) for cells in columns.values()}) == 1
    assert columns["gap closed since"][0].endswith("%")


def test_a_gap_that_is_not_closed_is_not_rounded_to_all_of_it():
    assert _closed(None) == "-"
    assert _closed(1.0) == "100 %"
    assert _closed(0.999999) == "> 99.99 %"
    assert _closed(-0.5) == "-50 %"


def test_a_narrow_terminal_loses_columns_and_no_digits():
    result = eplb_opt.plan(eplb_opt.Problem(LOAD, 16, 4), effort=0, starts=["deepseek"])
    narrow = [str(column.header) for column in starts_table(result, 50).columns]
    assert "start" in narrow
    assert "gap closed since" in narrow
    assert "largest GPU loads" not in narrow


def test_the_page_has_the_table(tmp_path):
    result, _ = planned()
    write_report(tmp_path / "report.html", result)
    page = (tmp_path / "report.html").read_text()
    assert "Warm starts, and the answer" in page
