"""The exact models with costs of replicas, against every plan of tiny problems."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from eplb_opt import CostTable, Problem
from eplb_opt.clock import Deadline
from eplb_opt.exact import get_model
from eplb_opt.exact.formulations import FORMULATIONS
from eplb_opt.exact.shared.loads import plan_value
from eplb_opt.exact.shared.scaling import ScaleLimits
from eplb_opt.placement import scoring
from eplb_opt.search.starts import first_plan
from tests.exact.starts import model_with_its_start
from tests.oracle import cost_optimum
from tests.strategies import cost_problems


@settings(max_examples=60, deadline=None)
@given(cost_problems(with_rules=True))
def test_the_start_is_a_solution_of_the_model_and_worth_the_same(problem):
    known = model_with_its_start(problem)
    if known is not None:
        f, upper, units = known
        assert units == f.to_units(upper)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cost_problems(with_rules=True))
def test_cp_sat_proves_the_optimum_of_every_plan(problem):
    start = first_plan(problem)[0]
    answer = get_model("cpsat")(problem, start, Fraction(0), Deadline.after(20))
    best = cost_optimum(problem)[0]
    assert answer.lower_bound == best
    assert scoring.objectives(problem, answer.physical_to_logical[None]) == [best]


def test_milp_finds_the_optimum_where_more_copies_cost_more():
    pytest.importorskip("pulp")
    table = [[9, 7, 8], [5, 6, 3], [2, 4, 1]]
    problem = Problem([[5, 3, 1]], 6, 2, cost=CostTable(np.pad(table, ((0, 0), (0, 1)))))
    start = first_plan(problem)[0]
    answer = get_model("milp")(problem, start, Fraction(0), Deadline.after(30))
    best = cost_optimum(problem)[0]
    assert answer.lower_bound <= best
    assert scoring.objectives(problem, answer.physical_to_logical[None]) == [best]


def test_a_count_that_makes_replicas_too_dear_is_no_choice_and_others_beyond_it_are():
    problem = Problem([[4, 2]], 4, 2, cost=CostTable([[5, 9, 4], [3, 3, 3]]))
    start = np.array([0, 1, 1, 1])
    upper = plan_value(problem, start)
    choices = FORMULATIONS["uniform"].list_choices(problem, upper)
    assert upper == 8
    pairs = list(zip(choices.expert.tolist(), choices.count.tolist(), strict=True))
    assert pairs == [(0, 1), (0, 3), (1, 1), (1, 2), (1, 3)]


def test_large_costs_are_rounded_down_and_the_bound_stays_below_the_optimum():
    rng = np.random.default_rng(3)
    table = rng.integers(2**40, 2**41, (4, 3))
    problem = Problem([[4, 3, 2, 1]], 6, 3, cost=CostTable(table))
    start = first_plan(problem)[0]
    answer = get_model("cpsat")(problem, start, Fraction(0), Deadline.after(20))
    best = cost_optimum(problem)[0]
    assert best * (1 - 1e-7) < answer.lower_bound <= best
    limits = ScaleLimits(load=2**20)
    choices = FORMULATIONS["uniform"].list_choices(problem, plan_value(problem, start))
    f = FORMULATIONS["uniform"].formulate(choices, Fraction(0), limits)
    assert f.to_bound(f.to_units(Fraction(best))) <= best
