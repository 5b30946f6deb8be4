import doctest

import numpy as np

import eplb_opt
from eplb_opt.report import gap_columns, gap_tables, tables, words
from eplb_opt.report.scenarios import ScenarioTable
from tests.report.texts import text_of


def test_examples_in_docstrings_hold():
    for module in (words, gap_columns):
        found = doctest.testmod(module)
        assert found.attempted > 0
        assert found.failed == 0


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


def test_where_there_is_no_room_held_out_loads_stay():
    loads = [*(f"load {i + 1}" for i in range(20)), "unseen.npz"]
    scored = ScenarioTable(loads, 20, {"eplb-opt": [0.9] * 20 + [0.8765]})
    text = text_of(gap_tables.scenario_table_text(scored, 100), 100)
    assert "0.8765" in text
    assert "load 1 " in " ".join(text.split())
