"""Annealing where GPUs differ: it obeys the rules, finds small optima, and uses what is fast."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt import Problem, ProblemError
from eplb_opt.bounds.bounds import mean_bound
from eplb_opt.placement import checker, scoring
from eplb_opt.planner.schedule import schedule
from eplb_opt.search.annealing.layer import AnnealSearch
from eplb_opt.search.annealing.starts import settle_from_starts
from eplb_opt.search.starts import first_plan
from eplb_opt.solver import Options
from tests.oracle import ruled_optimum
from tests.strategies import ruled_problems

SPREADS = (None, None, "gpu", "node")


def searched(problem, slices=8, seed=0):
    """What the search alone makes of the first plan, [1, num_slots]."""
    search = AnnealSearch(problem, first_plan(problem)[0], seed)
    if not search.is_trivial:
        settle_from_starts(search)
        # Hot enough to try everything that the rules let it.
        search.run_slices(slices, hottest=10.0)
        search.run_slices(slices)
    return search.placed()[None]


def drawn(rng, spread=None):
    """A tiny layer with rules of every kind, or None where they contradict each other."""
    num_gpus, num_experts = int(rng.integers(2, 4)), int(rng.integers(2, 5))
    tied = {(int(rng.integers(num_experts)), int(rng.integers(num_gpus))) for _ in range(3)}
    slots = rng.integers(1, 4, num_gpus)
    try:
        problem = Problem(
            rng.integers(0, 40, (1, num_experts)),
            3 * num_gpus,
            num_gpus,
            gpu_slots=slots,
            gpu_speed=rng.choice([1.0, 1.5, 0.3], num_gpus),
            pinned=sorted(tied)[:1],
            forbidden=sorted(tied)[1:],
            colocation="forbid" if num_experts > 2 and rng.integers(2) else "allow",
            spread=spread,
        )
        first_plan(problem)
    except ProblemError:
        return None
    return problem


@settings(max_examples=300, deadline=None)
@given(ruled_problems(spreads=SPREADS))
def test_plans_obey_the_rules_and_never_beat_the_optimum(arguments):
    try:
        problem = Problem(**arguments)
        placed = searched(problem)
    except ProblemError:
        return  # no plan
    checker.check(problem, placed)
    assert scoring.objectives(problem, placed)[0] >= ruled_optimum(problem)[0]


@pytest.mark.parametrize("spread", [None, "gpu"])
def test_the_search_alone_finds_small_optima(spread):
    rng = np.random.default_rng(3)
    problems = [p for _ in range(300) if (p := drawn(rng, spread)) is not None]
    assert len(problems) >= 30
    values = [scoring.objectives(p, searched(p, slices=64))[0] for p in problems]
    best = [ruled_optimum(p)[0] for p in problems]
    assert all(value >= least for value, least in zip(values, best, strict=True))
    found = sum(value == least for value, least in zip(values, best, strict=True))
    assert found >= 0.9 * len(problems)


def test_rules_go_with_several_loads():
    rng = np.random.default_rng(4)
    tried = 0
    for case in range(60):
        # Without spread the third GPU may be lost.
        third = int(rng.integers(0 if case % 3 == 2 else 2, 5))
        tied = {(int(rng.integers(6)), int(rng.integers(4))) for _ in range(4)}
        problem = Problem(
            rng.integers(0, 50, (3, 1, 6)),
            16,
            4,
            objective=("mean", "max")[case % 2],
            gpu_slots=[4, 3, third, 4],
            gpu_speed=[1, 2, 0.5, 1],
            pinned=sorted(tied)[:1] if sorted(tied)[0][1] != 2 else None,
            forbidden=sorted(tied)[2:],
            spread=("gpu", "node", None)[case % 3],
            num_nodes=2,
        )
        try:
            start = first_plan(problem)[0]
        except ProblemError:
            continue  # the rules contradict each other
        tried += 1
        search = AnnealSearch(problem, start, seed=0)
        search.run_slices(16)
        checker.check(problem, search.placed()[None])
        exact = scoring.objectives(problem, search.placed()[None])[0]
        assert search.best == pytest.approx(float(exact), rel=1e-9)
    assert tried >= 40


def uneven(num_slots=290, **rules):
    """58 GPUs, every second one at half speed, and 256 experts."""
    load = np.random.default_rng(6).lognormal(8, 1, (1, 256)).astype(np.int64)
    return Problem(load, num_slots, 58, gpu_speed=np.where(np.arange(58) % 2, 0.5, 1.0), **rules)


@pytest.mark.parametrize(
    "rules",
    [{}, {"spread": "gpu", "num_slots": 580}, {"forbidden": [(e, e % 58) for e in range(256)]}],
    ids=["speeds", "spread", "forbidden"],
)
def test_fast_gpus_get_more_until_all_are_level(rules):
    problem = uneven(**rules)
    mean = mean_bound(problem)[0]
    greedy = scoring.objectives(problem, first_plan(problem))[0]
    result = eplb_opt.plan(problem, effort=40)
    result.plan.check(problem)
    assert result.bounds[0].objective - mean < (greedy - mean) * Fraction(1, 10)


def test_a_call_searches_where_gpus_differ():
    names = [stage.name for stage in schedule(uneven(), Options())]
    assert names == ["annealing_first", "cpsat", "annealing"]


def test_speeds_that_no_float_can_compare_are_left_to_the_model():
    problem = Problem([[5, 4, 3]], 4, 2, gpu_speed=[1e60, 1e-60])
    assert AnnealSearch(problem, first_plan(problem)[0], seed=0).is_trivial
    eplb_opt.plan(problem, effort=2).plan.check(problem)


def test_few_moves_keep_the_rules():
    problem = uneven(forbidden=[(e, e % 58) for e in range(256)], gpu_slots=[5, 4] * 29)
    current = first_plan(problem)
    result = eplb_opt.plan(problem, effort=4, current=current, max_moves=20)
    result.plan.check(problem)
    assert result.moves[0] <= 20
    before = scoring.objectives(problem, current)[0]
    assert result.bounds[0].objective < before
