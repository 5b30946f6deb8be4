"""What a plan's links cost, against a sum over all tokens; and the limit on it."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Plan, PlanError, Problem, Topology
from eplb_opt.placement import homes, scoring
from tests.homes_oracle import all_homes, drawn_plan, plan_worth
from tests.link_problems import tiny_links


@settings(max_examples=60, deadline=None)
@given(tiny_links())
def test_a_plan_is_worth_what_its_tokens_cost(asked):
    if asked is None:
        return
    placed = drawn_plan(asked)
    rows = placed.reshape(asked.num_gpus, -1).tolist()
    plan = tuple(tuple(e for e in row if e >= 0) for row in rows)
    load = asked.load[0].tolist()
    worths = [plan_worth(asked, load, plan, home) for home in all_homes(asked)]
    worths = [worth for worth in worths if worth is not None]
    if not worths:
        return
    ours = scoring.objectives(asked, placed)[0]
    if asked.topology.chooses_homes:
        assert 0 <= float(ours - min(worths)) < 1e-8
    else:
        assert ours == worths[0]


def test_the_mean_cost_is_over_all_assignments():
    rules = Topology(0.5, rank_costs=[[0, 0.5], [2, 0]], sources=[[1, 0, 1], [0, 1, 1]])
    asked = Problem([[12, 6, 4]], 4, 2, num_nodes=2, topology=rules)
    placed = np.array([[0, 2, 1, 0]])
    # 6 of expert 0 from node 0 on node 1; expert 2, half from node 1, on node 0.
    assert homes.off_home(asked, placed) == [Fraction(6 * 1 + 4 * 2, 2) / 22]
    assert homes.homes_of(asked, placed).tolist() == [[0, 1, 1]]


def test_too_dear_a_plan_breaks_the_limit():
    rules = {"rank_costs": [[0, 3], [3, 0]], "sources": [[1, 1], [0, 0]]}
    placed = [[0, 1]]

    def asked(most):
        return Problem([[2, 1]], 2, 2, num_nodes=2, topology=Topology(max_off_home=most, **rules))

    with pytest.raises(PlanError, match=r"1\.000000 is what an assignment costs on average, above"):
        Plan(placed, 2).check(asked(0.9))
    Plan(placed, 2).check(asked(1.0))


def test_rounded_loads_count_with_the_dearest_links():
    rules = Topology(rank_costs=[[0, 3], [3, 0]], sources=[[1, 1], [0, 0]])
    asked = Problem([[2, 1]], 2, 2, num_nodes=2, topology=rules)
    asked.set_field("rounded", np.array([True]))
    assert homes.off_home(asked, np.array([[0, 1]])) == [Fraction(3)]  # never above the dearest
