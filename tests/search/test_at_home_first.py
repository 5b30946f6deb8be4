"""The first plan for a priced topology: the serving path's, where a price alone decides."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem, Topology
from eplb_opt.placement import checker
from eplb_opt.search.at_home import FIRST_STEPS, first_plan_at_home

LOAD = (np.random.default_rng(5).lognormal(0, 1.2, (3, 32)) * 1000).astype(np.int64)


def problem(rules, **terms):
    return Problem(LOAD, 48, 8, num_nodes=4, num_groups=8, topology=rules, **terms)


def served():
    return eplb_opt.rebalance_experts(LOAD, 48, 8, 4, 8, effort=FIRST_STEPS, topology_price=0.3)[0]


def test_it_is_worth_what_the_serving_path_finds():
    asked = problem(Topology(0.3))
    placed = first_plan_at_home(asked)
    ours, theirs = (eplb_opt.evaluate(asked, plan).objective for plan in (placed, served()))
    assert (ours <= theirs * 1.01).all()


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
def test_where_there_are_further_rules_it_obeys_them(rules, terms):
    asked = problem(rules, **terms)
    placed = first_plan_at_home(asked)
    checker.check(asked, placed)
    assert (placed != served()).any()
