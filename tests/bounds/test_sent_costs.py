"""Costs where every GPU sends an expert's tokens to one replica, against every plan."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt import Problem, StepCost
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.placement import scoring, step_time
from eplb_opt.placement.senders import senders
from eplb_opt.problem import costs
from tests.sender_oracle import every_plan, sent_problems

ROOFLINE = StepCost(expert_bytes=4e6, bandwidth=1e12, flops_per_token=1e8, peak=1e14)
TABLE = StepCost(table=[(0, 1e-6), (1, 1e-5), (8, 1.2e-5), (20, 9e-5)])


def with_cost(asked, cost, batch_tokens):
    return Problem(
        asked.load,
        asked.num_slots,
        asked.num_gpus,
        asked.num_nodes,
        asked.num_groups,
        asked.colocation,
        dispatch=asked.dispatch,
        cost=cost,
        batch_tokens=batch_tokens,
        experts_per_token=1,
    )


@settings(max_examples=30, deadline=None)
@given(sent_problems(), st.sampled_from([ROOFLINE, TABLE]), st.sampled_from([1, 8, 90]))
def test_no_bound_exceeds_the_best_of_all_plans(asked, cost, batch_tokens):
    problem = with_cost(asked, cost, batch_tokens)
    plans = every_plan(problem)
    # As layers of one model the plans have draws of their own; the bound holds for all draws.
    copies = problem.repeated(0, len(plans))
    bound = fast_bounds(problem)[0]
    dealt, most = scoring.objectives(copies, plans), scoring.layer_objectives(copies, plans)
    assert bound.value <= min(dealt)
    assert bound.value <= min(most)
    held = np.sort(plans.reshape(len(plans), problem.num_gpus, -1), axis=2)
    apart = (np.diff(held, axis=2) > 0).all(axis=(1, 2)).tolist()
    each = zip(dealt, most, apart, strict=True)
    assert all(one <= other for one, other, is_apart in each if is_apart)
    assert bound.source.startswith("cost_")


@pytest.mark.parametrize("dispatch", ["nearest", "rank_modulo"])
def test_a_replica_costs_what_the_tokens_of_its_senders_take(dispatch):
    load = np.array([[9.0, 5, 2, 1]])
    problem = Problem(
        load, 6, 3, dispatch=dispatch, cost=ROOFLINE, batch_tokens=8, experts_per_token=2
    )
    placed = np.array([[0, 1, 0, 2, 0, 3]])
    sent = senders(problem, placed)
    tokens = costs.mean_tokens(problem)[0][placed[0]] * sent[0] / 3
    gpus = ROOFLINE.expected(tokens).reshape(3, 2).sum(axis=1)
    assert step_time.gpu_seconds(problem, placed)[0] == pytest.approx(gpus, rel=1e-6)


@given(st.lists(st.integers(0, 60), min_size=2, max_size=9))
def test_a_hull_is_convex_and_the_largest_below_the_costs(row):
    values = np.array([sorted(row)])
    hull = costs._hulls(values)[0]
    assert (hull <= values[0] + 1e-9).all()
    assert (np.diff(hull, 2) >= -1e-9).all()
    for a in range(len(row)):
        for b in range(a, len(row)):
            for at in range(a, b + 1):
                part = (at - a) / (b - a) if b > a else 0
                line = values[0, a] + part * (values[0, b] - values[0, a])
                assert hull[at] <= line + 1e-9


@pytest.mark.parametrize("dispatch", ["nearest", "rank_modulo"])
def test_a_call_plans_for_the_engines_dispatch_and_seconds_together(dispatch):
    load = np.random.default_rng(5).pareto(1.2, (2, 16)) * 1000 + 5
    cost = StepCost.preset("H100", "deepseek-v3")
    problem = Problem(load, 24, 8, num_nodes=2, dispatch=dispatch, cost=cost, batch_tokens=4)
    first, second = (eplb_opt.plan(problem, effort=20, workers=n) for n in (1, 2))
    assert (first.plan.physical_to_logical == second.plan.physical_to_logical).all()
    assert (first.objective < first.starts[0].objective).all()
    assert (first.lower_bound <= first.objective).all()
    uniform = eplb_opt.plan(problem.with_dispatch("uniform"), effort=20).plan
    assert first.objective.sum() <= eplb_opt.evaluate(problem, uniform).objective.sum()
