"""Problems whose tokens are split freely: scores, bounds, plans and what must not be claimed."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt.bounds.bounds import fast_bounds, flat_bounds
from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.clock import Deadline
from eplb_opt.exact.model_solver import ModelSolver
from eplb_opt.placement import scoring
from eplb_opt.problem.problem import Problem
from eplb_opt.search.starts import first_plan
from eplb_opt.solver import Options, Task
from tests import oracle
from tests.strategies import ruled_problems, scenario_problems, tiny_problems


def test_by_hand():
    # Expert 0 on both GPUs: 6 tokens level 5 and 1.
    problem = Problem([[6, 5, 1]], num_slots=4, num_gpus=2, dispatch="optimal")
    assert eplb_opt.evaluate(problem, [[0, 1, 0, 2]]).objective.tolist() == [6]
    uniform = problem.with_dispatch("uniform")
    assert eplb_opt.evaluate(uniform, [[0, 1, 0, 2]]).objective.tolist() == [8]
    assert eplb_opt.evaluate(problem, [[0, 1, 0, 2]]).gap.tolist() == [0]


def test_another_name_is_refused_with_the_known_ones():
    with pytest.raises(eplb_opt.ProblemError, match="'lp' is unknown; known: uniform, optimal"):
        Problem([[1, 2]], 2, 2, dispatch="lp")


@settings(max_examples=60, deadline=None)
@given(tiny_problems())
def test_a_plan_is_never_worse_than_under_the_uniform_split(problem):
    placed = eplb_opt.plan(problem, effort=0).plan.physical_to_logical
    free = scoring.objectives(problem.with_dispatch("optimal"), placed)
    assert free <= scoring.objectives(problem, placed)


@settings(max_examples=60, deadline=None)
@given(tiny_problems(loads=st.integers(0, 60)))
def test_no_bound_exceeds_the_optimum(problem):
    # The oracle tries every plan; on two nodes with more slots there are too many.
    assume(not problem.is_hierarchical or problem.num_slots <= 6)
    assume(problem.num_experts <= 5)
    problem = problem.with_dispatch("optimal")
    best = oracle.free_optimum(problem)
    for bounds in (flat_bounds(problem), fast_bounds(problem)):
        assert bounds[0].value <= best


@settings(max_examples=40, deadline=None)
@given(scenario_problems())
def test_no_bound_of_scenarios_exceeds_the_optimum(problem):
    problem = problem.with_dispatch("optimal")
    assert fast_bounds(problem)[0].value <= oracle.free_optimum(problem)


@settings(max_examples=60, deadline=None)
@given(ruled_problems())
def test_no_bound_exceeds_the_optimum_where_gpus_differ(arguments):
    try:
        problem = Problem(**arguments, dispatch="optimal")
    except eplb_opt.ProblemError:
        return
    best = oracle.free_optimum(problem)
    if best is not None:
        assert fast_bounds(problem)[0].value <= best


def test_values_of_pairs_prove_nothing_where_tokens_are_split_freely():
    load = [[[30, 1, 1, 1]], [[1, 30, 1, 1]]]
    problem = Problem(load, num_slots=6, num_gpus=3, dispatch="optimal")
    lists = Certificate(
        "scenario_water", Fraction(1), {"scenario": [-2], "level": [0], "value": [1] * 4}
    )
    with pytest.raises(CertificateError, match="uniform split alone"):
        verify(problem, lists)
    with pytest.raises(CertificateError, match="uniform split alone"):
        verify(problem, Certificate("scenario_pairs", Fraction(1), lists.data))


@pytest.mark.parametrize("kind", ["pairs", "config_lp", "config_lp_tree", "nodes", "enumeration"])
def test_certificates_of_the_uniform_split_prove_nothing_where_tokens_are_split_freely(kind):
    problem = Problem([[30, 1, 1, 1]], num_slots=6, num_gpus=3, dispatch="optimal")
    with pytest.raises(CertificateError, match=f"{kind} holds for the uniform split alone"):
        verify(problem, Certificate(kind, Fraction(15), {}))


def test_scores_of_lost_and_slow_gpus():
    problem = Problem(
        [[8, 4, 0]],
        num_slots=6,
        num_gpus=3,
        active_gpus=[True, True, False],
        gpu_speed=[1, 0.5, 1],
        dispatch="optimal",
    )
    placed = np.array([[0, 1, 0, 2, -1, -1]])
    # 12 tokens over speeds 1 and 1/2: 8 and 4, level 8.
    assert scoring.objectives(problem, placed) == [8]


def test_small_tight_layers_are_planned_to_a_proof():
    # Mean and water level are below what one spare slot allows.
    problem = Problem([[90, 61, 44, 30, 25, 17, 9]], 8, 4, dispatch="optimal")
    result = eplb_opt.plan(problem, effort=200, noise=0.0)
    assert result.status == ["optimal"]
    assert result.bound_source == ["cp_sat"]
    assert result.gap.tolist() == [0]


def test_with_noise_the_exact_model_brings_its_bound_and_no_plan():
    problem = Problem([[90, 61, 44, 30]], 6, 3, dispatch="optimal")
    start = first_plan(problem)
    value = scoring.objectives(problem, start)[0]
    task = Task(
        layer_idx=0,
        problem=problem,
        start=start[0],
        objective=value,
        lower_bound=Fraction(0),
        deadline=Deadline.after(20),
        call_deadline=Deadline.after(20),
        effort=None,
        seed=0,
        attempt=0,
    )
    plain, noisy = (ModelSolver(problem, Options(noise=size)).solve(task) for size in (0.0, 0.3))
    assert plain.placed is not None
    assert noisy.placed is None
    assert noisy.bound == plain.bound
    assert noisy.verdict is plain.verdict
