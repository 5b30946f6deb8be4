"""The exact model with costs of links and sources, against brute force."""

from fractions import Fraction

import pytest
from hypothesis import given, settings

from eplb_opt import Problem, Topology
from eplb_opt.errors import ProblemError
from eplb_opt.exact.homes.solver import HomeModelSolver
from eplb_opt.placement.scoring import objectives
from eplb_opt.solver import Options, Verdict
from tests.exact import home_tasks
from tests.exact.test_homes import has_small_fractions
from tests.homes_oracle import home_optimum
from tests.link_problems import tiny_links

pytest.importorskip("ortools")


@settings(max_examples=30, deadline=None)
@given(tiny_links())
def test_model_finds_and_proves_the_optimum(problem):
    if problem is None or not problem.load.any():
        return
    try:
        answer = home_tasks.solved(HomeModelSolver, problem, 100_000)
    except ProblemError:  # no first plan within the limit
        return
    best = home_optimum(problem)
    assert answer.verdict is Verdict.FINISHED
    assert answer.bound.value <= best
    if problem.link_costs.unit[0] <= 2**10 and has_small_fractions(problem):
        assert answer.bound.value == best
        assert objectives(problem, answer.placed[None])[0] == best


def test_speeds_that_are_no_small_fractions_raise_no_bound_above_the_optimum():
    # T is whole in the model; with a speed of 0.3 of the fastest one it would be a fraction.
    costs, tokens = [[0.2, 0.1], [1.0, 0.5]], [[2, 5], [5, 2]]
    rules = Topology(0.3, homes=[0, 0], rank_costs=costs, sources=tokens)
    terms = {"colocation": "forbid", "gpu_slots": [2, 2], "gpu_speed": [1 / 3, 0.1]}
    problem = Problem([[20, 0]], 6, 2, num_nodes=2, num_groups=2, topology=rules, **terms)
    answer = home_tasks.solved(HomeModelSolver, problem, 100_000)
    best = home_optimum(problem)
    assert best * Fraction(99, 100) <= answer.bound.value <= best


def by_milp(problem, _):
    return HomeModelSolver(problem, Options(model="milp"))


@settings(max_examples=4, deadline=None)
@given(tiny_links())
def test_a_linear_model_plans_and_claims_no_bound(problem):
    pytest.importorskip("pulp")
    if problem is None or not problem.load.any():
        return
    try:
        answer = home_tasks.solved(by_milp, problem, 1000)
    except ProblemError:
        return
    assert answer.bound is None
    if answer.placed is not None:
        assert objectives(problem, answer.placed[None])[0] >= home_optimum(problem)
