"""Bounds where every GPU sends an expert's tokens to one replica."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt.bounds import bounds
from eplb_opt.bounds.sender_water import sender_levels
from eplb_opt.bounds.water_level import water_levels
from eplb_opt.placement import scoring
from tests.sender_oracle import every_plan, least_worth, sent_problems


def level_by_trial(row, num_slots, num_senders):
    """The least of all values that a replica can have, from the definition."""
    values = sorted({w * m for w in row for m in range(1, num_senders + 1)} | {0})

    def needed(weight, value):
        counts = range(1, num_senders + 1)
        return next((n for n in counts if -(-num_senders // n) * weight <= value), num_slots + 1)

    fitting = (v for v in values if sum(needed(w, v) for w in row) <= num_slots)
    return Fraction(next(fitting), num_senders)


@settings(max_examples=300, deadline=None)
@given(
    row=st.lists(st.integers(0, 40) | st.integers(0, 2**59), min_size=1, max_size=6),
    extra=st.integers(0, 12),
    num_senders=st.integers(1, 8),
)
def test_the_level_is_the_least_value_at_which_the_replicas_fit(row, extra, num_senders):
    num_slots = len(row) + extra
    level = sender_levels(np.array([row]), num_slots, num_senders)[0]
    assert level == level_by_trial(row, num_slots, num_senders)
    assert level >= min(water_levels(np.array([row]), num_slots)[0], Fraction(max(row)))


def test_two_replicas_of_three_senders_are_no_halves():
    problem = eplb_opt.Problem([[9, 1, 1]], num_slots=6, num_gpus=3, dispatch="rank_modulo")
    # Three replicas of expert 0 are 3 each; with two one of them would be 6.
    assert bounds.sender_water_bound(problem) == [3]
    fewer = eplb_opt.Problem([[9, 1, 1, 1, 1]], 6, 3, dispatch="rank_modulo")
    assert bounds.sender_water_bound(fewer) == [6]
    assert bounds.fast_bounds(fewer)[0] == bounds.Bound(Fraction(6), "sender_water")


@settings(max_examples=80, deadline=None)
@given(sent_problems())
def test_no_bound_is_above_any_plan_as_it_is_dealt(problem):
    rows = every_plan(problem)
    assume(0 < len(rows) <= 5000)
    copies = problem.repeated(0, len(rows))
    dealt = scoring.objectives(copies, rows)
    found = [
        *bounds.flat_bounds(problem),
        *bounds.fast_bounds(problem),
        *bounds.fast_bounds(problem.with_dispatch("optimal")),
    ]
    assert max(bound.value for bound in found) <= min(dealt)
    fewest, most = scoring.objectives(copies, rows, "least"), scoring.layer_objectives(copies, rows)
    assert all(a <= b <= c for a, b, c in zip(fewest, dealt, most, strict=True))


@settings(max_examples=15, deadline=None)
@given(sent_problems())
def test_no_bound_is_above_the_least_of_all_plans_and_draws(problem):
    assume(0 < len(every_plan(problem)) <= 300)
    assert bounds.fast_bounds(problem)[0].value <= least_worth(problem)


@pytest.mark.parametrize("dispatch", ["nearest", "rank_modulo"])
def test_groups_on_nodes_have_the_level_of_their_node(dispatch):
    # Each node has three slots for two experts; all four GPUs send.
    load = [[40, 1, 1, 1]]
    problem = eplb_opt.Problem(load, 8, 4, 2, 2, dispatch=dispatch)
    assert bounds.fast_bounds(problem)[0].value >= Fraction(41, 2)
    tight = eplb_opt.Problem([[40, 1, 40, 1]], 4, 4, 2, 2, dispatch=dispatch)
    assert bounds.fast_bounds(tight)[0].value == 40


@settings(max_examples=25, deadline=None)
@given(sent_problems())
def test_plans_are_checked_and_between_bound_and_what_the_engine_makes_of_them(problem):
    result = eplb_opt.plan(problem, effort=1)
    result.plan.check(problem)
    assert result.lower_bound[0] <= result.objective[0]
    assert result.bounds[0].objective == result.plan.objectives(problem)[0]
    assert eplb_opt.evaluate(problem, result.plan).objective[0] == result.objective[0]
