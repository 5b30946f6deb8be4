"""Every method on every instance of a suite, scored exactly against the best bound known."""

from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.bench import best_known, library
from eplb_opt.bench.ledger import LedgerRow, Setting
from eplb_opt.bench.methods import Found, by_heuristic
from eplb_opt.bench.suites import (
    SUITE_KINDS,
    Asked,
    best_bound,
    released_name,
    scored,
    suite_names,
    suite_rows,
)
from eplb_opt.errors import FormatError, ProblemError

NAMES = ("twelve-16-4", "one-hot-20-4")


@pytest.fixture(scope="module")
def rows():
    pytest.importorskip("ortools")
    asked = Asked(limits=(0.1, 0.2), models=("cpsat",), heuristics=("greedy",), seeds=(0, 1))
    return list(suite_rows("quality", [library.get(name) for name in NAMES], asked))


def test_every_method_limit_and_seed_has_a_row(rows):
    told = [(row.method, row.time_limit, row.seed) for row in rows if row.case == NAMES[0]]
    assert told[0] == ("greedy", None, None)
    assert set(told[1:]) == {
        (method, limit, seed)
        for method in ("eplb-opt", "cpsat alone")
        for limit in (0.1, 0.2)
        for seed in (0, 1)
    }
    assert {row.case for row in rows} == set(NAMES)
    assert len({row.setting for row in rows}) == 1


def test_gaps_are_to_the_best_bound_that_is_known(rows):
    for row in rows:
        known = best_known.load_best_known()[row.case]
        bound = float(sum(layer.lower_bound.value for layer in known))
        assert row.bound == pytest.approx(bound)
        assert row.objective >= bound
        assert row.gap == pytest.approx(row.objective / bound - 1, abs=1e-12)
        assert row.layers == len(known)
        assert row.seconds > 0
        assert row.peak_bytes > 10**7


def test_ours_is_never_worse_than_the_greedy_that_it_starts_from(rows):
    for name in NAMES:
        gaps = {row.method: row.gap for row in rows if row.case == name}
        assert gaps["eplb-opt"] <= gaps["greedy"]


def test_a_plan_that_breaks_a_rule_has_a_row_without_a_gap():
    problem = library.get("twelve-16-4").problem()
    row = LedgerRow(Setting.now(), "quality", "twelve-16-4", "nobody")
    found = Found(np.zeros((6, 16), dtype=int), 1.0, 1.0, 0)
    broken = scored(row, problem, found, Fraction(1))
    assert broken.gap is None
    assert broken.objective is None
    assert broken.note.startswith("breaks a rule: ")


def test_without_stored_values_the_bound_needs_no_solver(tmp_path):
    library.generate(tmp_path)
    instance = library.get("readme", tmp_path)
    bound = best_bound(instance, instance.problem())
    assert 0 < bound <= 136 + 172


def test_heuristics_plan_scenarios_by_their_blend():
    instance = library.get("mixtral-8x7b-day-16-8-mean")
    found = by_heuristic(instance.problem(), "greedy")
    instance.check(instance.problem(), found.placed)


def test_models_take_no_part_where_off_home_load_has_a_price():
    pytest.importorskip("ortools")
    asked = Asked(limits=(0.05,), models=("cpsat",), heuristics=("greedy",))
    rows = suite_rows("topology", [library.get("twelve-16-4-price")], asked)
    assert [row.method for row in rows] == ["greedy", "eplb-opt"]


@pytest.mark.parametrize("asked", [Asked(models=("simplex",)), Asked(heuristics=("eplb",))])
def test_an_unknown_method_is_refused(asked):
    with pytest.raises(ProblemError, match="unknown; known: "):
        next(suite_rows("quality", [library.get("readme")], asked))


def test_engine_files_that_are_not_there_are_refused(tmp_path):
    with pytest.raises((ProblemError, FormatError)):
        next(suite_rows("quality", [library.get("readme")], Asked(engine_files=tmp_path)))


def test_a_released_program_has_the_version_of_its_wheel(tmp_path):
    assert released_name("vllm", tmp_path) == "vllm, released"
    (tmp_path / "sglang-0.5.23.dist-info").mkdir()
    (tmp_path / "vllm-0.33.0+cu128.dist-info").mkdir()
    assert released_name("sglang vec", tmp_path) == "sglang vec 0.5.23, released"
    assert released_name("vllm", tmp_path) == "vllm 0.33.0+cu128, released"


@pytest.mark.parametrize("suite", SUITE_KINDS)
def test_a_suite_has_instances_without_limits_on_moves(suite):
    names = suite_names(suite)
    assert len(names) >= 5
    assert all(library.get(name).max_moves is None for name in names)
