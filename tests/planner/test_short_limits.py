"""Limits that end before the work does: what is left out, and that it is said."""

import time

import numpy as np
import pytest

from eplb_opt import CostTable, Problem, lower_bound
from eplb_opt.planner.planner import plan
from eplb_opt.search import starts

LOAD = np.random.default_rng(5).integers(1, 200, (3, 12))
TABLE = 100 * LOAD[:, :, None] // np.arange(1, 6)


def test_a_limit_that_is_over_before_there_is_a_plan_is_said(monkeypatch):
    first = starts.first_plan

    def slow(problem, seconds):
        time.sleep(0.03)
        return first(problem)

    monkeypatch.setattr(starts, "first_plan", slow)
    result = plan(Problem(LOAD, 16, 4), time_limit=0.01)
    assert any("was over before the search began" in text for text in result.messages)
    assert not any("was over" in text for text in plan(Problem(LOAD, 16, 4), effort=1).messages)


@pytest.mark.parametrize(
    "rules", [{"num_nodes": 2, "num_groups": 4}, {"cost": CostTable(TABLE)}], ids=lambda r: min(r)
)
def test_bounds_that_there_was_no_time_to_raise_are_said(rules):
    problem = Problem(LOAD, 16, 4, **rules)
    short, counted = plan(problem, time_limit=0), plan(problem, effort=1)
    told = "3 of 3 layers have the first bound alone"
    assert any(told in text for text in short.messages)
    assert not any("first bound alone" in text for text in counted.messages)
    assert (short.lower_bound <= lower_bound(problem) * (1 + 1e-12)).all()
    assert (counted.lower_bound >= short.lower_bound).all()
