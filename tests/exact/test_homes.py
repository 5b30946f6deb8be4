"""The exact model of a priced topology, against brute force."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Problem, Topology, plan
from eplb_opt.errors import ProblemError
from eplb_opt.exact.homes.solver import HomeModelSolver
from eplb_opt.placement.scoring import objectives
from eplb_opt.solver import Verdict
from tests.bounds.test_topology_bound import tiny_problems
from tests.exact import home_tasks
from tests.homes_oracle import home_optimum

pytest.importorskip("ortools")


def solved(problem):
    return home_tasks.solved(HomeModelSolver, problem, 100_000)


@settings(max_examples=40, deadline=None)
@given(tiny_problems())
def test_model_finds_and_proves_the_optimum(problem):
    if problem is None or not problem.load.any():
        return
    try:
        answer = solved(problem)
    except ProblemError:  # no first plan within the limit on what is off home
        return
    best = home_optimum(problem)
    assert answer.verdict is Verdict.FINISHED
    found = objectives(problem, answer.placed[None])[0]
    if has_small_fractions(problem):
        assert answer.bound.value == found == best
    else:
        assert answer.bound.value <= best <= found <= best * Fraction(101, 100)


def has_small_fractions(problem):
    """Whether the model rounds no speed: a tenth as a float64 is none of its small fractions."""
    return problem.gpu_speed is None or 0.1 not in problem.gpu_speed


def test_a_plan_of_a_small_model_is_proven_optimal():
    load = np.array([[40, 30, 20, 10, 2, 2, 1, 1], [5, 5, 5, 5, 5, 5, 5, 5]])
    problem = Problem(load, 12, 4, num_nodes=2, num_groups=4, topology=Topology(0.3))
    result = plan(problem, time_limit=20)
    assert result.status == ["optimal", "optimal"]
    assert result.stop_reason == "optimal"


def test_large_layers_are_refused():
    load = np.random.default_rng(0).integers(1, 99, (1, 64))
    problem = Problem(load, 96, 16, num_nodes=4, num_groups=8, topology=Topology(0.3))
    assert solved(problem).verdict is Verdict.REFUSED
