"""The search for a priced topology, and the plans that it begins with."""

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Problem, ProblemError, Topology, plan
from eplb_opt.clock import Deadline
from eplb_opt.placement import checker, homes, scoring
from eplb_opt.search.annealing.topology import TopologySearch
from eplb_opt.search.at_home import first_homes, first_plan_at_home, level_choices, plan_at_home
from eplb_opt.search.within_limit import within_limit
from tests.bounds.test_topology_bound import tiny_problems
from tests.homes_oracle import home_optimum


def skewed(num_layers=1, num_experts=32, seed=0):
    rng = np.random.default_rng(seed)
    return rng.lognormal(0, 1.2, (num_layers, num_experts)).round(3) * 1000


def problem(rules=None, load=None, **terms):
    given = {"num_slots": 48, "num_gpus": 8, "num_nodes": 4, "num_groups": 8}
    load = skewed() if load is None else load
    return Problem(load.astype(np.int64), **(given | terms), topology=rules or Topology())


@pytest.mark.parametrize("colocation", ["allow", "forbid"])
def test_under_rules_the_first_plan_has_everything_at_home(colocation):
    asked = problem(Topology(anchored=True), colocation=colocation)
    placed = first_plan_at_home(asked)
    assert homes.off_home(asked, placed) == [0]
    checker.check(asked, placed)


@pytest.mark.parametrize("price", [0.0, 0.05, 1.0])
def test_where_a_price_alone_decides_the_first_plan_weighs_it(price):
    asked = problem(Topology(price), skewed(3))
    placed = first_plan_at_home(asked)
    checker.check(asked, placed)
    strict = first_plan_at_home(asked.with_topology(Topology(price, anchored=True)))
    ours, theirs = scoring.objectives(asked, placed), scoring.objectives(asked, strict)
    assert sum(ours) < sum(theirs)
    assert (placed == first_plan_at_home(asked)).all()


def test_a_crowded_node_sends_its_lightest_experts_away():
    load = np.array([[9, 8, 7, 1, 1, 1]])
    asked = problem(Topology(homes=[0] * 6), load, num_slots=8, num_gpus=4, num_nodes=2)
    placed = plan_at_home(asked, first_homes(asked)[0])
    assert {0, 1, 2} <= set(placed[:4].tolist())
    checker.check(asked, placed[None])


def test_a_node_without_experts_gets_copies_of_the_lightest():
    load = np.array([[9, 8, 7, 1]])
    asked = problem(Topology(homes=[0] * 4), load, num_slots=8, num_gpus=2, num_nodes=2)
    placed = plan_at_home(asked, first_homes(asked)[0])
    assert placed[4:].tolist() == [3] * 4


def test_a_limit_that_no_first_plan_keeps_is_refused_with_the_least_that_was_found():
    load = np.array([[9, 8, 7, 1]])
    rules = Topology(homes=[0] * 4, max_off_home=0.0)
    asked = problem(rules, load, num_slots=8, num_gpus=2, num_nodes=2)
    with pytest.raises(ProblemError, match="is the least that was found"):
        within_limit(asked, first_plan_at_home(asked))


def test_many_groups_are_levelled_greedily():
    load = skewed(num_experts=64, seed=4)
    asked = problem(load=load, num_slots=96, num_gpus=16, num_nodes=8, num_groups=16)
    choice = level_choices(asked)[0]
    assert np.bincount(choice, minlength=8).tolist() == [2] * 8
    groups = load.reshape(16, -1).sum(axis=1)
    loads = np.bincount(choice, groups, 8)
    assert loads.max() <= max(2 * groups.mean() * 1.3, groups.max() + groups.min())


def test_the_search_beats_its_start_and_says_what_its_plan_is_worth():
    asked = problem()
    start = first_plan_at_home(asked)
    search = TopologySearch(asked, start[0], seed=1)
    before = search.best
    search.run_slices(400)
    worth = float(scoring.objectives(asked, search.placed()[None])[0])
    assert worth <= search.best * (1 + 1e-9)
    assert search.best < before - 0.001


def test_counted_work_gives_the_same_plan_at_any_number_of_workers():
    asked = problem(load=skewed(3))
    plans = [plan(asked, effort=4, workers=w).plan.physical_to_logical for w in (1, 2)]
    assert plans[0].tolist() == plans[1].tolist()


def test_a_search_without_load_is_trivial():
    asked = problem(load=np.zeros((1, 32)))
    search = TopologySearch(asked, first_plan_at_home(asked)[0], seed=0)
    assert search.is_trivial
    assert plan(asked, effort=1).objective.tolist() == [1.0]


def test_a_run_under_a_clock_ends_with_it():
    asked = problem()
    search = TopologySearch(asked, first_plan_at_home(asked)[0], seed=0)
    search.run_until(Deadline.after(0.05))
    checker.check(asked, search.placed()[None])


@settings(max_examples=25, deadline=None)
@given(tiny_problems())
def test_plans_obey_the_rules_and_bounds_hold(asked):
    if asked is None:
        return
    try:
        result = plan(asked, effort=2, workers=1)
    except ProblemError:
        return
    best = home_optimum(asked)
    assert result.bounds[0].lower <= best <= result.bounds[0].objective
