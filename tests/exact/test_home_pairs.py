"""The bound of a priced topology that begins at the proven load of pairs, against brute force."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Problem, Topology, plan
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.certificates import CertificateError, verify
from eplb_opt.errors import ProblemError
from eplb_opt.exact.homes.pairs import HomePairsSolver
from eplb_opt.planner.conditions import has_topology_and_two_slots
from tests.bounds.test_topology_bound import tiny_problems
from tests.exact import home_tasks
from tests.homes_oracle import home_optimum


def solved(problem):
    return home_tasks.solved(HomePairsSolver, problem, 2000)


@settings(max_examples=120, deadline=None)
@given(tiny_problems())
def test_no_plan_is_below_the_bound_and_the_certificate_proves_no_more(problem):
    if problem is None or not has_topology_and_two_slots(problem):
        return
    try:
        answer = solved(problem)
    except ProblemError:  # no first plan within the limit on what is off home
        return
    best = home_optimum(problem)
    if answer.bound is None or best is None:
        return
    assert answer.bound.value <= best
    if answer.certificate is not None:
        assert verify(problem, answer.certificate) <= best


def skewed():
    load = np.array([[900, 500, 400, 300, 200, 100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 5]])
    return Problem(load, 24, 12, num_nodes=3, num_groups=4, topology=Topology(0.3))


def test_it_is_above_the_bound_of_the_water_level_and_is_proven_again():
    problem = skewed()
    answer = solved(problem)
    assert answer.bound.value > fast_bounds(problem)[0].value
    assert verify(problem, answer.certificate) > fast_bounds(problem)[0].value
    result = plan(problem, effort=300)
    assert result.bounds[0].lower >= answer.bound.value * Fraction(99, 100)
    assert verify(problem, result.certificates[0]) <= result.bounds[0].lower


def test_a_certificate_that_claims_more_of_the_flat_layer_is_refused():
    problem = skewed()
    proof = solved(problem).certificate
    more = {**proof.data, "pairs_bound": [proof.data["pairs_bound"][0] * 2, 1]}
    with pytest.raises(CertificateError):
        verify(problem, replace(proof, data=more))
    higher = {**proof.data, "levels": [level + level // 50 for level in proof.data["levels"]]}
    with pytest.raises(CertificateError, match="first level"):
        verify(problem, replace(proof, data=higher))
    without = {name: proof.data[name] for name in ("levels", "scale")}
    with pytest.raises(CertificateError, match="first level"):
        verify(problem, replace(proof, data=without))
