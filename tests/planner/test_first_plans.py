"""First plans under the tightest limit that any plan keeps, found by looking at all of them."""

import re
from dataclasses import replace
from fractions import Fraction
from math import ceil

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem, ProblemError, Topology
from eplb_opt.exact.least_away.call import least_off_home
from eplb_opt.placement import checker
from eplb_opt.placement.homes import off_home
from eplb_opt.planner.first_plans import first_plan
from tests.crossing_oracle import share_that_crosses
from tests.homes_oracle import all_homes, all_plans, plan_worth
from tests.sender_oracle import every_plan, targets

PARTS = 10**6


def drawn(kind, seed):
    """The terms of a tiny problem, and its topology without a limit."""
    rng = np.random.default_rng([seed, len(kind)])
    num_gpus, num_nodes = [(2, 2), (3, 2), (4, 2), (3, 3)][seed % 4]
    slots = num_gpus * int(rng.integers(1, {2: 4, 3: 3, 4: 2}[num_gpus]))
    num_experts = int(rng.integers(2, min(4, slots) + 1))
    rules = {"price": 0.3}
    terms = {"colocation": ["allow", "allow", "forbid"][seed % 3], "num_groups": num_experts}
    if kind == "senders":
        terms["dispatch"] = ["nearest", "rank_modulo"][seed % 2]
        if (num_gpus, num_nodes) == (4, 2):
            rules["nodes"] = [0, 1, 1, 1]
    elif kind == "links":
        size = [num_gpus, num_nodes][seed % 2]
        rules["rank_costs"] = rng.integers(0, 11, (size, size)) / 10
        if seed % 3:
            rules["sources"] = rng.integers(0, 6, (size, num_experts))
    if kind != "senders" and seed % 5 < 3:
        rules["homes"] = rng.integers(0, num_nodes, num_experts)
        rules["anchored"] = seed % 5 == 0
    given = rng.integers(1, 31, (1, num_experts)), slots, num_gpus, num_nodes
    return lambda most: Problem(*given, topology=Topology(max_off_home=most, **rules), **terms)


def least_of_all(problem, kind):
    """The least off home of any plan; None where none keeps the other rules."""
    load = problem.load[0].tolist()
    if kind == "senders":
        rows = every_plan(problem).tolist()
        return min(share_that_crosses(problem, load, targets(problem, [row])[0]) for row in rows)
    # What a price of 1 adds to that of 0 is what is off home.
    rules = replace(problem.topology, max_off_home=None)
    free, dear = (problem.with_topology(replace(rules, price=p)) for p in (0.0, 1.0))
    pairs = [(plan, homes) for homes in all_homes(problem) for plan in all_plans(problem)]
    worth = [(plan_worth(free, load, *each), plan_worth(dear, load, *each)) for each in pairs]
    return min((b - a for a, b in worth if a is not None), default=None)


@pytest.mark.parametrize("kind", ["senders", "links", "homes"])
@pytest.mark.parametrize("seed", range(10))
def test_a_plan_is_found_where_there_is_one_and_its_absence_is_proven(kind, seed):
    try:
        make = drawn(kind, seed)
        least = least_of_all(make(1.0), kind)
    except ProblemError:
        pytest.skip("no room at home")
    if least is None:
        pytest.skip("no plan keeps the other rules")
    problem = make(ceil(least * PARTS) / PARTS)
    placed = first_plan(problem)
    checker.check(problem, placed)
    found = least_off_home(problem)
    assert found.bound <= least
    assert least - found.bound < Fraction(1, PARTS)
    if least < Fraction(2, PARTS):
        return
    with pytest.raises(ProblemError, match="That is proven") as told:
        first_plan(make(round(float(least) - 2 / PARTS, 6)))
    (share,) = re.findall(r"at least (\d\.\d{6}) ", str(told.value), re.IGNORECASE)
    assert least - Fraction(2, PARTS) < Fraction(share) <= least


def test_the_least_that_crosses_under_nearest_copy_is_known_for_any_size():
    load = (np.random.default_rng(0).lognormal(0, 1, (2, 128)) * 1000).astype(np.int64)
    terms = {"num_slots": 160, "num_gpus": 16, "num_nodes": 4, "dispatch": "nearest"}
    free = Problem(load, **terms, topology=Topology(0.3))
    least = [least_off_home(free.layer(i)) for i in range(2)]
    for i, each in enumerate(least):
        assert off_home(free.layer(i), each.placed[None])[0] == pytest.approx(float(each.bound))
    most = ceil(max(each.bound for each in least) * PARTS) / PARTS
    tight = Problem(load, **terms, topology=Topology(0.3, max_off_home=most))
    result = eplb_opt.plan(tight, effort=1)
    assert result.off_home.max() <= most
    below = Problem(load, **terms, topology=Topology(0.3, max_off_home=most - 0.001))
    with pytest.raises(ProblemError, match="there is no plan of which at most"):
        eplb_opt.plan(below, effort=1)


@pytest.mark.parametrize("objective", ["mean", "max"])
def test_several_loads_share_a_limit(objective):
    loads = np.array([[[30, 2, 1, 9]], [[1, 25, 4, 2]]])
    homes = [0, 0, 0, 1]  # replicas of the last expert alone would be at home on its node

    def make(most):
        rules = Topology(0.3, homes=homes, max_off_home=most)
        given = {"objective": objective, "scenario_weights": [3, 1], "colocation": "forbid"}
        return Problem(loads, 8, 4, 2, topology=rules, **given)

    bound = least_off_home(make(1.0)).bound
    assert bound > 0
    tight = make(ceil(bound * PARTS) / PARTS)
    checker.check(tight, first_plan(tight))
    with pytest.raises(ProblemError, match="That is proven"):
        first_plan(make(float(bound) / 2))


def test_without_a_model_the_least_that_was_found_is_told(monkeypatch):
    def missing():
        raise eplb_opt.errors.MissingDependency("ortools", "cpsat")

    monkeypatch.setattr("eplb_opt.exact.least_away.call.import_cp_model", missing)
    make = drawn("links", 1)
    with pytest.raises(ProblemError, match="is the least that was found"):
        first_plan(make(0.0))
