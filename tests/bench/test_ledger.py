"""The ledger: rows are appended whole or not at all, and read back as they were."""

import json

import pytest

from eplb_opt.bench import ledger
from eplb_opt.bench.ledger import LedgerRow, Setting, append, latest, read_ledger
from eplb_opt.bench.ledger_tables import (
    HEADINGS,
    anytime_points,
    gaps_by_method,
    rows_table,
    summary,
)
from eplb_opt.errors import FormatError

OLD = Setting("2026-01-01T10:00Z", "0.1", "a processor, 2 cores", 0.5)
NEW = Setting("2026-01-02T10:00Z", "0.2", "a processor, 2 cores", None)


def row(setting, case, method, gap, limit=None, **more):
    return LedgerRow(setting, "quality", case, method, gap=gap, time_limit=limit, **more)


ROWS = [
    row(OLD, "a", "ours", 0.1, 1.0, proven=1, layers=2, seconds=1.0),
    row(NEW, "a", "greedy", 0.3, seconds=0.001),
    row(NEW, "a", "ours", 0.2, 1.0, proven=0, layers=2, seconds=1.0, peak_bytes=2**21),
    row(NEW, "a", "ours", 0.1, 5.0, proven=2, layers=2, seconds=4.0, peak_bytes=2**20),
    row(NEW, "b", "greedy", None, note="breaks a rule: expert 1 is on no GPU"),
    row(NEW, "b", "ours", 0.0, 1.0, proven=2, layers=2, seconds=2.0),
    row(NEW, "b", "ours", 0.0, 5.0, proven=2, layers=2, seconds=2.0),
]


def test_rows_are_read_back_as_they_were_and_the_old_ones_stay(tmp_path):
    path = tmp_path / "ledger.jsonl"
    append(path, ROWS[:1])
    before = path.read_bytes()
    append(path, ROWS[1:])
    assert path.read_bytes().startswith(before)
    assert read_ledger(path) == ROWS


def test_an_append_that_fails_leaves_the_ledger_as_it_was(tmp_path):
    path = tmp_path / "ledger.jsonl"
    append(path, ROWS)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        append(path, [row(NEW, "c", "ours", float("nan"))])
    assert path.read_bytes() == before
    path.write_text("no row\n")
    with pytest.raises(FormatError, match="line 1"):
        append(path, ROWS)
    assert path.read_text() == "no row\n"


@pytest.mark.parametrize(
    "change", [{"gap": "small"}, {"colour": "red"}, {"case": None}, {"date": 3}, {"gap": True}]
)
def test_a_damaged_row_is_refused_with_its_line(tmp_path, change):
    path = tmp_path / "ledger.jsonl"
    append(path, ROWS[:2])
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{json.dumps(json.loads(second) | change)}\n")
    with pytest.raises(FormatError, match="line 2"):
        read_ledger(path)


def test_a_later_run_counts_though_it_is_worse():
    assert latest(ROWS, "quality") == ROWS[1:]
    assert latest(ROWS, "robust") == []


def test_the_summary_has_a_line_a_method_and_limit():
    headings, *lines = summary(ROWS[1:])
    assert headings == tuple(name for name in HEADINGS if name != "moves a layer")
    assert lines == [
        ("greedy", "1, 1 broke a rule", "30 %", "30 %", "-", "1.0 ms", "-"),
        ("ours, 1 s", "2", "10 %", "20 %", "2 of 4", "1.5 s", "2 MiB"),
        ("ours, 5 s", "2", "5 %", "10 %", "4 of 4", "3.0 s", "1 MiB"),
    ]
    table = rows_table("quality", ROWS[1:])
    assert [str(column.header) for column in table.columns] == list(headings)
    assert table.row_count == len(lines)


def test_short_times_are_told_in_microseconds():
    _, line = summary([row(NEW, "a", "split", 0.0, seconds=1.26e-6)])
    assert line[-1] == "1.3 µs"


def test_profiles_compare_with_the_best_of_all_and_no_plan_is_never_near():
    gaps = gaps_by_method(ROWS[1:])
    assert gaps["ours, 5 s"] == [0, 0]
    assert gaps["ours, 1 s"] == pytest.approx([1.2 / 1.1 - 1, 0])
    assert gaps["greedy"] == pytest.approx([1.3 / 1.1 - 1, float("inf")])


def test_anytime_points_are_medians_by_limit():
    points = anytime_points(ROWS[1:])
    assert points["ours"] == [(1.0, pytest.approx(0.1)), (5.0, pytest.approx(0.05))]
    assert points["greedy"] == [(0.001, 0.3)]


def test_the_setting_says_when_and_where():
    setting = Setting.now()
    assert setting.date.endswith("Z")
    assert setting.machine == ledger.machine_words()
    assert "cores" in setting.machine
