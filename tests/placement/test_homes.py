"""Homes of a plan, what it serves off home, and the checker's two laws on it."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Plan, PlanError, Problem, Topology, evaluate
from eplb_opt.placement import homes, scoring
from tests.bounds.test_topology_bound import tiny_problems
from tests.homes_oracle import all_homes, drawn_plan, plan_worth

LOAD = np.array([[12, 6, 4, 2]])


def problem(**rules):
    given = {"price": 0.5, "homes": [0, 0, 1, 1]} | rules
    return Problem(LOAD, 6, 2, num_nodes=2, num_groups=2, topology=Topology(**given))


PLACED = np.array([[0, 1, 2, 0, 3, 0]])  # expert 0: one replica at home, two away


def test_off_home_is_the_share_of_the_copies_that_stand_elsewhere():
    away = homes.off_home(problem(), PLACED)
    # Two of three replicas of expert 0 (8 of 12), and expert 2 (4), of 24.
    assert away == [Fraction(12, 24)]


def test_the_objective_is_load_over_mean_plus_the_price():
    # Loads: 4 + 6 + 4 = 14 and 4 + 2 + 4 = 10; mean 12.
    assert scoring.objectives(problem(), PLACED) == [Fraction(14, 12) + Fraction(1, 4)]
    assert scoring.load_ratios(problem(), PLACED) == [Fraction(14, 12)]
    score = evaluate(problem(), PLACED)
    assert score.objective[0] == pytest.approx(14 / 12 + 0.25)
    assert score.balancedness[0] == pytest.approx(12 / 14)


def test_groups_are_at_home_where_most_of_their_load_is():
    chosen = problem(homes=None)
    # Node 0 has 4 + 6 of group 0 and 4 of group 1, node 1 has 8 and 2: either way 12 are at home.
    assert homes.off_home(chosen, PLACED) == [Fraction(1, 2)]
    swapped = PLACED[:, [3, 4, 5, 0, 1, 2]]
    assert homes.off_home(chosen, swapped) == homes.off_home(chosen, PLACED)


def test_an_expert_without_a_copy_at_home_breaks_the_anchor():
    asked = problem(anchored=True)
    with pytest.raises(PlanError, match=r"expert 2 is at home on node 1 and stands on nodes .0."):
        Plan(PLACED, 2).check(asked)
    Plan([[0, 1, 0, 2, 3, 0]], 2).check(asked)


def test_too_much_off_home_breaks_the_limit():
    with pytest.raises(PlanError, match=r"0\.500000 of the assignments are served off home"):
        Plan(PLACED, 2).check(problem(max_off_home=0.49))
    Plan(PLACED, 2).check(problem(max_off_home=0.5))


def test_anchored_groups_get_a_node_on_which_all_have_a_copy():
    # Most of group 0's load is on node 1, but expert 1 has no replica there.
    placed = np.array([[0, 1, 1, 0, 0, 0], [0, 1, 2, 0, 3, 0]])[:1]
    load = np.array([[12, 1]])
    asked = Problem(load, 6, 2, num_nodes=2, num_groups=2, topology=Topology(anchored=True))
    assert homes.homes_of(asked, placed).tolist() == [[1, 0]]


def test_a_layer_without_load_is_worth_one():
    empty = Problem(LOAD * 0, 6, 2, num_nodes=2, num_groups=2, topology=Topology())
    assert scoring.objectives(empty, PLACED) == [1]
    assert homes.off_home(empty, PLACED) == [0]


@settings(max_examples=60, deadline=None)
@given(tiny_problems())
def test_chosen_homes_are_the_best_for_the_plan(asked):
    if asked is None:
        return
    placed = drawn_plan(asked)
    rows = placed.reshape(asked.num_gpus, -1).tolist()
    plan = tuple(tuple(e for e in row if e >= 0) for row in rows)  # without empty slots
    load = asked.load[0].tolist()
    worths = [plan_worth(asked, load, plan, home) for home in all_homes(asked)]
    worths = [worth for worth in worths if worth is not None]
    chosen = homes.homes_of(asked, placed)[0].tolist()
    ours = plan_worth(asked, load, plan, chosen)
    if not worths:
        assert ours is None
        return
    assert ours == scoring.objectives(asked, placed)[0]
    assert abs(float(ours - min(worths))) < 1e-8
