from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eplb_opt import Problem, plan
from eplb_opt.placement.caller_units import (
    balancedness,
    bound_in_caller_units,
    objective_in_caller_units,
)
from eplb_opt.problem.rounding import round_down, round_up
from eplb_opt.result import ObjectiveBounds, model_gap


def test_a_bound_above_the_objective_is_refused():
    with pytest.raises(ValueError, match="exceeds"):
        ObjectiveBounds(Fraction(1), Fraction(3, 2))


def test_gap_is_zero_only_where_proven():
    assert ObjectiveBounds(Fraction(0), Fraction(0)).gap == 0
    assert ObjectiveBounds(Fraction(590, 3), Fraction(590, 3)).gap == 0
    assert ObjectiveBounds(Fraction(2), Fraction(0)).gap == np.inf
    almost = ObjectiveBounds(Fraction(2**80 + 1, 2**80), Fraction(1))
    assert 0 < almost.gap < 1e-20


@given(st.fractions(min_value=0, max_value=10**18))
def test_rounding_leans_to_the_named_side(value):
    assert Fraction(round_down(value)) <= value <= Fraction(round_up(value))
    assert round_up(value) <= np.nextafter(round_down(value), np.inf)


def test_rounded_loads_widen_what_is_reported():
    load = np.array([[1e-20, 0.1, 1e5 / 3, 7.0]])
    problem = Problem(load, 4, 2)
    result = plan(problem, time_limit=1)
    assert problem.rounded.all()
    placed = result.plan.physical_to_logical[0].reshape(2, 2)
    true_objective = max(sum(Fraction(load[0, e]) for e in gpu) for gpu in placed.tolist())
    assert Fraction(result.objective[0]) >= true_objective
    true_mean = sum(Fraction(v) for v in load[0]) / 2
    assert Fraction(result.lower_bound[0]) <= max(true_mean, Fraction(load.max()))


def test_figures_come_in_the_callers_unit():
    load = np.array([[0.5, 0.25, 0.25, 0.5]])
    problem = Problem(load, 4, 2)
    assert objective_in_caller_units(problem, [Fraction(3)]).tolist() == [0.75]
    assert bound_in_caller_units(problem, [Fraction(3)]).tolist() == [0.75]
    assert plan(problem, time_limit=1).objective.tolist() == [0.75]


def test_model_gap_sums_layers_of_different_units_truly():
    problem = Problem([[0.5, 0.5], [3, 1]], 2, 2)
    pairs = [
        ObjectiveBounds(Fraction(1), Fraction(1)),
        ObjectiveBounds(Fraction(3), Fraction(5, 2)),
    ]
    assert model_gap(problem, pairs) == pytest.approx((0.5 + 3) / (0.5 + 2.5) - 1)


def test_balancedness_of_an_idle_layer_is_one():
    problem = Problem([[0, 0], [3, 1]], 2, 2)
    assert balancedness(problem, [Fraction(0), Fraction(3)]).tolist() == [1.0, 2 / 3]
