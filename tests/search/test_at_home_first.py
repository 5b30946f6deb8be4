"""The first plan for a priced topology: the cheaper of two, and at home where rules ask for it."""

import numpy as np
import pytest

from eplb_opt import Problem, Topology
from eplb_opt.placement import checker
from eplb_opt.placement.scoring import objectives
from eplb_opt.search.at_home import cheapest_first_plan, first_plan_at_home

LOAD = (np.random.default_rng(5).lognormal(0, 1.2, (3, 32)) * 1000).astype(np.int64)


def problem(rules, **terms):
    return Problem(LOAD, 48, 8, num_nodes=4, num_groups=8, topology=rules, **terms)


def test_it_costs_no_more_than_the_plan_at_home():
    asked = problem(Topology(0.3))
    at_home = first_plan_at_home(asked)
    placed = cheapest_first_plan(asked, at_home)
    checker.check(asked, placed)
    pairs = zip(objectives(asked, placed), objectives(asked, at_home), strict=True)
    assert all(mine <= theirs for mine, theirs in pairs)
    assert sum(objectives(asked, placed)) < sum(objectives(asked, at_home))


@pytest.mark.parametrize(
    ("rules", "terms"),
    [
        (Topology(0.3, anchored=True), {}),
        (Topology(0.3, max_off_home=0.5), {}),
        (Topology(0.3, homes=np.arange(32) // 8), {}),
        (Topology(0.3, nodes=[0, 0, 0, 1, 2, 2, 3, 3]), {}),
        (Topology(0.3), {"colocation": "forbid"}),
    ],
    ids=str,
)
def test_where_there_are_further_rules_it_is_the_plan_at_home(rules, terms):
    asked = problem(rules, **terms)
    at_home = first_plan_at_home(asked)
    np.testing.assert_array_equal(cheapest_first_plan(asked, at_home), at_home)
