"""Costs of replicas at the door: integers once, what goes with them, and parts of a problem."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eplb_opt import CostTable, Problem, ProblemError, StepCost, Topology
from eplb_opt.placement.caller_units import bound_in_caller_units, objective_in_caller_units
from eplb_opt.placement.step_time import gpu_costs
from eplb_opt.problem import costs

LOAD = np.arange(1, 17).reshape(2, 8)
STEP = StepCost(expert_bytes=1e6, bandwidth=1e12, experts_per_token=2)


def problem(**terms):
    given_terms = {"cost": STEP, "batch_tokens": 16} | terms
    return Problem(given_terms.pop("load", LOAD), 12, 4, **given_terms)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"load": LOAD[None]}, "several loads"),
        ({"dispatch": "optimal"}, "dispatch=.optimal"),
        ({"gpu_speed": [1, 1, 2, 1]}, "gpu_speed"),
        ({"num_nodes": 2, "num_groups": 4, "topology": Topology()}, "a topology"),
        ({"batch_tokens": None}, "needs batch_tokens"),
        ({"batch_tokens": 0}, "batch_tokens=0"),
        ({"cost": StepCost(fixed=1)}, "needs experts_per_token"),
        ({"cost": 3.0}, "neither an eplb_opt.StepCost"),
        ({"cost": None}, "needs cost"),
        (
            {"cost": CostTable(np.ones((8, 5))), "batch_tokens": None, "dispatch": "nearest"},
            "a table by count",
        ),
        ({"cost": CostTable(np.ones((8, 5)))}, "goes with a StepCost"),
        ({"cost": CostTable(np.ones((8, 4))), "batch_tokens": None}, r"\[8, 5\] is needed"),
        ({"cost": CostTable(np.ones((3, 8, 5))), "batch_tokens": None}, r"\[8, 5\] is needed"),
        ({"cost": CostTable(np.full((8, 5), 2.0**60)), "batch_tokens": None}, "larger unit"),
    ],
)
def test_what_does_not_go_with_a_cost_is_refused_with_the_mend(terms, words):
    with pytest.raises(ProblemError, match=words):
        problem(**terms)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (np.ones(3), "num_experts, most"),
        ([[1, -1]], "negative or not finite"),
        ([[1, np.inf]], "negative or not finite"),
    ],
)
def test_a_table_that_is_none_is_refused(seconds, words):
    with pytest.raises(ProblemError, match=words):
        CostTable(seconds)


def test_costs_of_a_step_follow_load_count_batch_and_gpus():
    asked = problem()
    tokens = LOAD / LOAD.sum(axis=1, keepdims=True) * 16 * 4 * 2
    assert costs.mean_tokens(asked) == pytest.approx(tokens)
    wanted = STEP.expected(tokens[:, :, None] / np.arange(1, 6))
    found = np.ldexp(asked.replica_cost[:, :, 1:], -asked.cost_exponent[:, None, None])
    assert found == pytest.approx(wanted, rel=1e-6)
    assert (found <= wanted).all()
    assert (asked.replica_cost[:, :, 0] == 0).all()
    assert asked.has_cost
    assert not asked.is_plain
    assert asked.experts_per_token == 2


def test_whole_numbers_stay_whole_and_have_no_unit():
    table = np.arange(40).reshape(8, 5)
    asked = problem(cost=CostTable(table), batch_tokens=None)
    assert (asked.replica_cost[:, :, 1:] == table).all()
    assert (asked.cost_exponent == 0).all()
    assert asked.unit(0) == 1
    assert not asked.costs.rounded.any()


@given(st.floats(1e-12, 1e3), st.integers(0, 100))
def test_floats_are_rounded_to_the_safe_side(scale, seed):
    rng = np.random.default_rng(seed)
    table = rng.random((8, 5)) * scale
    asked = problem(cost=CostTable(table), batch_tokens=None)
    placed = np.tile(np.resize(np.arange(8), 12), (2, 1))
    count = np.bincount(placed[0])
    exact = [
        max(
            sum(Fraction(float(table[e, count[e] - 1])) for e in gpu)
            for gpu in placed[0].reshape(4, 3).tolist()
        )
    ]
    found = [Fraction(v) for v in gpu_costs(asked, placed).max(axis=1).tolist()]
    assert bound_in_caller_units(asked, found)[0] <= exact[0]
    upper = objective_in_caller_units(asked, found)[0]
    assert exact[0] <= upper <= exact[0] * (1 + Fraction(1, 10**12))


def test_parts_have_the_costs_of_their_layers():
    table = np.arange(80).reshape(2, 8, 5)
    asked = problem(cost=CostTable(table), batch_tokens=None)
    part = asked.layer(1)
    assert (part.replica_cost[0, :, 1:] == table[1]).all()
    assert (asked.selected([1, 0]).replica_cost[0] == asked.replica_cost[1]).all()
    # A part can be changed again: its own table went with it.
    assert (part.with_colocation("forbid").replica_cost == part.replica_cost).all()
    assert part.half_token(0) == Fraction(1, 2)


def test_another_load_has_other_costs():
    asked = problem()
    other = asked.with_load(LOAD[:, ::-1])
    assert other.replica_cost[:, ::-1] == pytest.approx(asked.replica_cost)
    assert asked.with_slots(16).replica_cost.shape == (2, 8, 10)
    same = asked.with_colocation("forbid")
    assert (same.replica_cost == asked.replica_cost).all()


def test_half_a_nanosecond_is_nothing():
    asked = problem()
    assert float(asked.half_token(0) * asked.unit(0)) == pytest.approx(5e-10)


def test_a_problem_without_costs_says_so():
    plain = Problem(LOAD, 12, 4)
    assert not plain.has_cost
    with pytest.raises(ProblemError, match="no cost"):
        _ = plain.replica_cost


def test_too_large_a_table_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr(costs, "MAX_ENTRIES", 50)
    with pytest.raises(ProblemError, match="above 50; take fewer slots"):
        problem()


def test_a_layer_without_load_costs_what_idle_experts_do():
    cost = StepCost(expert_bytes=1e6, bandwidth=1e12, resident=1e-6, experts_per_token=2)
    asked = problem(load=np.zeros((1, 8)), cost=cost)
    seconds = np.ldexp(gpu_costs(asked, np.resize(np.arange(8), 12)[None]), -asked.cost_exponent)
    assert seconds == pytest.approx(3e-6)
