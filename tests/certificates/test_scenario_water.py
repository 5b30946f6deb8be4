"""The joint level of scenarios: never above the optimum, above each one's own, and verified."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt import Problem
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.clock import Deadline
from eplb_opt.exact.joint_levels import ScenarioWaterParams, scenario_water
from eplb_opt.exact.joint_pairs import scenario_pairs
from eplb_opt.placement import scoring
from eplb_opt.search.starts import first_plan
from tests.oracle import scenario_optimum
from tests.strategies import scenario_problems

#: In each scenario one expert is hot; alone each would get the spare slots.
RIVALS = Problem([[[90, 2, 2, 2, 2, 2]], [[2, 90, 2, 2, 2, 2]]], 8, 8)


def proof(problem, **settings):
    return scenario_water(problem, Deadline(), ScenarioWaterParams(**settings))


@settings(max_examples=200, deadline=None)
@given(scenario_problems(colocations=("allow", "forbid")))
def test_no_certificate_exceeds_the_optimum(problem):
    certificate = proof(problem)
    if certificate is not None:
        assert verify(problem, certificate) <= scenario_optimum(problem)[0]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.floats(0.01, 50), min_size=3, max_size=3), min_size=2, max_size=3),
    st.lists(st.floats(1e-3, 1), min_size=3, max_size=3),
    st.sampled_from(["mean", "max"]),
)
def test_floats_and_odd_weights_make_no_false_certificate(rows, weights, objective):
    weights = weights[: len(rows)]
    loads = [[row] for row in rows]
    problem = Problem(loads, 6, 3, scenario_weights=weights, objective=objective)
    certificate = proof(problem)
    if certificate is not None:
        assert verify(problem, certificate) <= scenario_optimum(problem)[0]


def test_rivals_for_the_same_slots_raise_the_bound_to_the_optimum_of_counts():
    # One slot a GPU: the largest replica decides, so the joint level is the optimum.
    own = fast_bounds(RIVALS)[0].value
    best = min(
        (Fraction(max(Fraction(90, 1 + k), 2) + max(Fraction(90, 3 - k), 2)) / 2 / 100 * 8)
        for k in range(3)
    )
    certificate = proof(RIVALS)
    assert own < certificate.bound <= best
    assert best - certificate.bound < best * Fraction(1, 10**7)
    assert verify(RIVALS, certificate) == certificate.bound


def test_the_worst_scenario_is_bounded_by_a_level_that_all_share():
    worst = RIVALS.with_objective("max")
    certificate = proof(worst)
    assert fast_bounds(worst)[0].value < certificate.bound
    assert abs(certificate.bound - Fraction(45, 100) * 8) < Fraction(1, 10**7)


def test_a_search_that_ends_early_claims_less_and_no_more():
    rng = np.random.default_rng(3)
    problem = Problem(rng.lognormal(5, 1.5, (4, 1, 32)).astype(np.int64), 40, 20)
    full, early = proof(problem), proof(problem, max_boxes=3)
    assert early.bound < full.bound
    assert fast_bounds(problem)[0].value <= early.bound


def tampered():
    """Certificates that claim too much, or are no division of the space."""
    made = proof(RIVALS)
    scenario, level = made.data["scenario"], made.data["level"]
    whole = next(i for i, r in enumerate(scenario) if r == -1)

    def with_lists(scenario, level):
        return replace(made, data={"scenario": scenario, "level": level})

    return {
        "a higher claim": replace(made, bound=made.bound * Fraction(1001, 1000)),
        "a part left out": with_lists(
            scenario[:whole] + scenario[whole + 1 :], level[:whole] + level[whole + 1 :]
        ),
        "a part too many": with_lists([*scenario, -1], [*level, 0]),
        "no division": with_lists([-1], [0]),
        "nothing": with_lists([], []),
        "an unknown scenario": with_lists([2, -1, -1], [2**40, 0, 0]),
        "levels cut by half": with_lists(scenario, [v // 2 for v in level]),
        "lists of two lengths": with_lists(scenario, level[:-1]),
        "another name": replace(made, data={"scenarios": scenario, "level": level}),
        "a number": replace(made, data={"scenario": 1, "level": level}),
    }


@pytest.mark.parametrize("name", tampered())
def test_what_proves_nothing_is_refused(name):
    with pytest.raises(CertificateError):
        verify(RIVALS, tampered()[name])


def test_the_certificate_of_other_loads_is_refused():
    lighter = Problem([[[50, 42, 2, 2, 2, 2]], [[42, 50, 2, 2, 2, 2]]], 8, 8)
    with pytest.raises(CertificateError):
        verify(lighter, proof(RIVALS))
    with pytest.raises(CertificateError, match="with scenarios"):
        verify(RIVALS.scenario(0), proof(RIVALS))


def test_a_negative_level_or_an_endless_list_is_refused():
    too_long = Certificate(
        "scenario_water", Fraction(5), {"scenario": [0] * 10, "level": [-5] * 10}
    )
    with pytest.raises(CertificateError):
        verify(RIVALS, too_long)


def test_the_planner_proves_it_and_keeps_the_certificate():
    rng = np.random.default_rng(1)
    problem = Problem(rng.lognormal(5, 1.2, (3, 1, 24)).astype(np.int64), 32, 16)
    result = eplb_opt.plan(problem, effort=1)
    certificate = result.certificates[0]
    assert certificate.kind == "scenario_water"
    assert verify(problem, certificate) <= result.bounds[0].lower
    assert result.bounds[0].lower <= result.bounds[0].objective


def pairs_proof(problem, seconds=20.0):
    upper = scoring.objectives(problem, first_plan(problem))[0]
    lower = fast_bounds(problem)[0].value
    return scenario_pairs(problem, lower, upper, Deadline.after(seconds))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["mean", "max"]), st.integers(1, 3))
def test_no_certificate_of_pairs_exceeds_the_optimum(seed, objective, num_scenarios):
    rng = np.random.default_rng(seed)
    num_gpus = int(rng.integers(2, 4))
    num_experts = int(rng.integers(4, 2 * num_gpus + 1)) if num_gpus > 2 else 4
    loads = rng.integers(0, 40, (num_scenarios, 1, num_experts)) ** int(rng.integers(1, 3))
    problem = Problem(loads, 2 * num_gpus, num_gpus, objective=objective)
    if not loads.any():
        return
    certificate = pairs_proof(problem, 1.0)
    if certificate is not None:
        assert verify(problem, certificate) <= scenario_optimum(problem)[0]


@pytest.fixture(scope="module")
def pairs_case():
    """Each scenario alone pairs up evenly; no pairing serves both."""
    loads = [[[8, 7, 6, 5, 4, 3, 2, 1]], [[8, 1, 7, 2, 6, 3, 5, 4]]]
    problem = Problem(loads, 8, 4)
    return problem, pairs_proof(problem)


def test_pairs_that_suit_one_scenario_only_raise_the_bound(pairs_case):
    problem, certificate = pairs_case
    assert certificate.kind == "scenario_pairs"
    assert fast_bounds(problem)[0].value == 1
    assert 1 < verify(problem, certificate) <= scenario_optimum(problem)[0]


def test_values_that_prove_nothing_are_refused(pairs_case):
    problem, certificate = pairs_case
    data = certificate.data
    values = data["value"]
    for changed in (
        {"value": [0] * len(values)},
        {"value": values[:-1]},
        {"value": [-v for v in values]},
        {"value": [v**2 for v in values]},
        {"value": []},
        {"scenario": [-2 - len(values) if r < -1 else r for r in data["scenario"]]},
    ):
        with pytest.raises(CertificateError):
            verify(problem, replace(certificate, data=data | changed))
    with pytest.raises(CertificateError):
        verify(problem, replace(certificate, bound=certificate.bound * Fraction(11, 10)))
    wider = Problem(problem.load, 12, 4)
    with pytest.raises(CertificateError):
        verify(wider, certificate)


def test_slow_gpus_and_lost_ones_are_taken_into_account():
    # The same claim is false where a GPU is twice as fast, and where there are more slots.
    rules = {"gpu_speed": [1.0] * 8, "active_gpus": [True] * 8}
    problem = Problem(RIVALS.load, 8, 8, **rules)
    certificate = proof(problem)
    assert verify(problem, certificate) == verify(RIVALS, proof(RIVALS))
    faster = Problem(RIVALS.load, 8, 8, gpu_speed=[2.0, *[1.0] * 7])
    with pytest.raises(CertificateError):
        verify(faster, certificate)
    fewer = Problem(RIVALS.load, 8, 8, active_gpus=[True] * 7 + [False])
    assert verify(fewer, proof(fewer)) > 0
