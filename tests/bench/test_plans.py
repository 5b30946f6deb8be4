"""The comparison of methods over load families."""

import numpy as np
import pytest

from eplb_opt.bench.families import family_loads
from eplb_opt.bench.plans import plan_rows
from eplb_opt.errors import ProblemError
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.machine import Machine
from heuristics import greedy_numpy
from tests.oracle import optimum

LOADS = {"small": family_loads("zipf-1.2", 2, 5, 0)}


@pytest.fixture(scope="module")
def rows():
    pytest.importorskip("ortools")
    found = plan_rows(LOADS, [Machine(8, 4)], [30.0], models=["cpsat"], heuristics=["greedy"])
    return {row.method: row for row in found}


def test_every_method_has_a_row_and_ours_comes_first(rows):
    assert list(rows) == ["eplb-opt", "cpsat", "greedy"]


def test_a_model_that_proves_the_optimum_is_said_to(rows):
    assert rows["cpsat"].proven == rows["eplb-opt"].proven == 2
    assert rows["cpsat"].worst_gap == 0


def test_a_heuristic_is_held_against_the_proven_bound(rows):
    problem = Machine(8, 4).problem(LOADS["small"])
    best = optimum(problem)
    placed = greedy_numpy.rebalance_experts(problem.load, 8, 1, 1, 4)[0]
    peaks = Plan(placed, 4).objectives(problem)
    worst = max(float(peak / least) - 1 for peak, least in zip(peaks, best, strict=True))
    assert rows["greedy"].worst_gap == pytest.approx(worst)
    assert rows["greedy"].proven is None


@pytest.mark.parametrize("names", [{"models": ["simplex"]}, {"heuristics": ["eplb"]}])
def test_an_unknown_method_is_refused_before_anything_is_planned(names):
    with pytest.raises(ProblemError, match=r"unknown; known: "):
        plan_rows({"none": np.ones((1, 2))}, [Machine(2, 1)], [1.0], **names)


@pytest.mark.parametrize(
    ("text", "machine"),
    [("288x32", Machine(288, 32)), ("288x32/4/8", Machine(288, 32, 4, 8))],
)
def test_a_machine_is_read_as_it_is_written(text, machine):
    assert Machine.parse(text) == machine
    assert str(machine) == text
