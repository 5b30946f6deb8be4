"""The bound of several loads whose experts are split over nodes alike, against brute force."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt import Problem, Topology
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.certificates import CertificateError, verify
from eplb_opt.certificates.scenario_split import UNIT, proven
from eplb_opt.exact.homes.scenario_split import ScenarioSplitSolver
from eplb_opt.solver import Verdict
from tests.bounds.test_scenario_homes import tiny_scenarios
from tests.exact.home_tasks import solved
from tests.scenario_homes_oracle import scenario_home_optimum

pytest.importorskip("scipy")


def layer(objective="mean", price=0.3, seed=0, **rules):
    rng = np.random.default_rng(seed)
    base = rng.lognormal(0, 1, (1, 24)) * 1000
    load = (base * rng.lognormal(0, 0.7, (3, 1, 24))).astype(np.int64)
    terms = {"num_nodes": 4, "num_groups": 8, "scenario_weights": [1, 2, 3]}
    return Problem(load, 32, 8, **terms, objective=objective, topology=Topology(price, **rules))


@settings(max_examples=80, deadline=None)
@given(tiny_scenarios())
def test_bound_never_exceeds_the_optimum(problem):
    best = None if problem is None else scenario_home_optimum(problem)
    if best is None:
        return
    answer = solved(ScenarioSplitSolver, problem, 2000)
    if answer.bound is None:
        return
    assert answer.bound.value <= best
    assert verify(problem, answer.certificate) == answer.bound.value
    with pytest.raises(CertificateError, match="not proven"):
        verify(problem, replace(answer.certificate, bound=best * 1001 / 1000))


@pytest.mark.parametrize("objective", ["mean", "max"])
def test_it_is_above_what_each_load_proves_alone(objective):
    problem = layer(objective)
    answer = solved(ScenarioSplitSolver, problem, 20_000)
    assert answer.verdict == Verdict.FINISHED
    assert answer.bound.value > fast_bounds(problem)[0].value
    assert answer.bound.value <= eplb_opt.plan(problem, effort=50).bounds[0].objective


@pytest.mark.parametrize("objective", ["mean", "max"])
def test_calls_prove_with_it(objective):
    problem = layer(objective, homes=np.arange(24) // 6)
    plan = eplb_opt.plan(problem, effort=20)
    assert plan.bound_source == ["scenario_split"]
    assert verify(problem, plan.certificates[0]) == plan.bounds[0].lower


def test_a_limit_on_the_mean_of_what_is_off_home_raises_it():
    problem = layer(price=0.0, max_off_home=0.1)
    answer = solved(ScenarioSplitSolver, problem, 20_000)
    free = solved(ScenarioSplitSolver, layer(price=0.0), 20_000)
    assert answer.bound.value > free.bound.value
    assert any(answer.certificate.data["limit"])
    assert answer.bound.value <= eplb_opt.plan(problem, effort=50).bounds[0].objective


def test_more_work_goes_on_from_what_is_known():
    problem = layer()
    little, much = (solved(ScenarioSplitSolver, problem, effort) for effort in (0, 2000))
    assert len(little.certificate.data["limit"]) == 1
    assert len(much.certificate.data["limit"]) > 1
    assert little.bound.value <= much.bound.value


def test_counted_work_proves_the_same_again():
    first, second = (solved(ScenarioSplitSolver, layer("max"), 300) for _ in range(2))
    assert first.bound == second.bound
    assert first.certificate.data == second.certificate.data


@pytest.mark.parametrize("objective", ["mean", "max"])
@pytest.mark.parametrize(
    "change",
    [
        {"node": []},
        {"slot": None},
        {"limit": [1, 2]},
        {"limit": [UNIT]},
        {"extra": [1]},
        {"node": 3},
        {"node": [4 * UNIT] * 12},
        {"slot": [-1] * 4},
        {"slot": [10**9] * 4},
    ],
)
def test_verifier_refuses_what_is_no_proof(objective, change):
    homes = np.arange(24) // 6
    problem = layer(objective, homes=homes)
    proof = solved(ScenarioSplitSolver, problem, 0).certificate
    data = {k: v for k, v in (proof.data | change).items() if v is not None}
    with pytest.raises(CertificateError):
        verify(problem, replace(proof, data=data))


def test_weights_of_the_worst_add_up_to_one_at_most():
    homes = np.arange(24) // 6
    problem = layer("max", homes=homes)
    proof = solved(ScenarioSplitSolver, problem, 0).certificate
    data = proof.data | {"weight": [w + UNIT // 100 for w in proof.data["weight"]]}
    with pytest.raises(CertificateError, match="above its weight"):
        verify(problem, replace(proof, data=data))


def test_it_is_for_several_loads_with_a_topology_alone():
    problem = layer(homes=np.arange(24) // 6)
    proof = solved(ScenarioSplitSolver, problem, 0).certificate
    for other in (problem.scenario(0), problem.with_topology(None)):
        with pytest.raises(CertificateError):
            verify(other, proof)
    silent = Problem(np.zeros((2, 1, 8)), 8, 4, 2, 2, topology=Topology())
    assert solved(ScenarioSplitSolver, silent, 10).verdict == Verdict.REFUSED
    many = Problem(np.ones((2, 1, 32)), 32, 16, 8, 16, topology=Topology())
    assert solved(ScenarioSplitSolver, many, 10).verdict == Verdict.REFUSED


def test_loads_that_lack_tokens_lower_it_in_proportion():
    problem = layer(homes=np.arange(24) // 6)
    data = solved(ScenarioSplitSolver, problem, 0).certificate.data
    rough = replace(problem)
    rough.set_field("rounded", np.array([[True], [False], [False]]))
    total = int(problem.load[0].sum())
    assert proven(rough, data) == proven(problem, data) * Fraction(total, total + 24)
