"""Plans with few moves from counted descents."""

from fractions import Fraction

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Plan, Problem
from eplb_opt.bench.families import family_loads
from eplb_opt.clock import Budget, Deadline
from eplb_opt.migration.descents import plans_by_descent
from eplb_opt.migration.near_plans import find_frontiers
from eplb_opt.placement import checker
from eplb_opt.placement.moves import moved_slots


def drifted(num_slots=48, num_gpus=8, **rules):
    """A layer whose loads have drifted, and the plan in force."""
    load = family_loads("lognormal-1.0", 1, 32, 5)
    later = np.rint(load * np.random.default_rng(3).lognormal(0, 0.3, load.shape)).astype(int)
    before = Problem(load, num_slots, num_gpus, **rules)
    held = eplb_opt.plan(before, time_limit=None, effort=1).plan.physical_to_logical[0]
    return Problem(later, num_slots, num_gpus, **rules), held


@pytest.mark.parametrize(
    "rules",
    [{}, {"colocation": "forbid"}, {"num_nodes": 2, "num_groups": 4}],
    ids=["plain", "apart", "hierarchical"],
)
def test_descents_keep_the_rules_and_cost_ever_more_moves_for_less_load(rules):
    layer, held = drifted(**rules)
    rows = plans_by_descent(layer, held)
    assert len(rows) >= 3
    num = len(rows)
    checker.check(layer.repeated(0, num), np.array(rows))
    moves = moved_slots(Plan(np.tile(held, (num, 1)), 8, 32), Plan(np.array(rows), 8, 32))
    loads = [Plan(row[None], 8, 32).objectives(layer)[0] for row in rows]
    assert (np.diff(moves) >= 0).all()  # the core counts a second copy on a GPU, too
    assert loads == sorted(loads, reverse=True)
    assert loads[0] < Plan(held[None], 8, 32).objectives(layer)[0]


def test_a_level_of_the_callers_is_reached():
    layer, held = drifted()
    mean = Fraction(int(layer.load.sum()), 8)
    row = plans_by_descent(layer, held, [mean * Fraction(21, 20)])[-1]
    level = mean * Fraction(21, 20) * Fraction(100001, 100000)
    assert Plan(row[None], 8, 32).objectives(layer)[0] <= level


def test_rules_that_descents_do_not_know_give_none():
    layer, held = drifted()
    assert plans_by_descent(Problem(layer.load, 48, 8, gpu_speed=[1.0] * 7 + [0.5]), held) == []
    assert plans_by_descent(Problem(layer.load, 48, 8, dispatch="optimal"), held) == []


def test_frontiers_are_nowhere_worse_than_descents():
    layer, held = drifted()
    best = eplb_opt.plan(layer, time_limit=None, effort=2).plan.physical_to_logical
    current = Plan(held[None], 8, 32)
    budget = Budget(Deadline(), effort=1)
    (frontier,) = find_frontiers(layer, current, best, budget)
    for row in plans_by_descent(layer, held):
        moves = int(moved_slots(current, Plan(row[None], 8, 32))[0])
        load = Plan(row[None], 8, 32).objectives(layer)[0]
        assert any(point.moves <= moves and point.objective <= load for point in frontier)
