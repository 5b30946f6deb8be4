"""Several loads with a price on what is off home: bounds, proofs and scores against brute force."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt import Problem, Topology
from eplb_opt.bounds.bounds import fast_bounds, flat_bounds, layer_home_bound
from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.errors import ProblemError
from eplb_opt.placement import homes, scoring
from eplb_opt.search.annealing.topology import scenario_bound_of_layer
from tests.homes_oracle import all_homes, all_plans, as_row
from tests.scenario_homes_oracle import scenario_home_optimum, scenario_plan_worth


@st.composite
def tiny_scenarios(draw):
    num_gpus, num_nodes = draw(st.sampled_from([(2, 2), (3, 2), (3, 3)]))
    slots = draw(st.integers(1, 2 if num_gpus > 2 else 3))
    num_experts = draw(st.integers(2, min(4, num_gpus * slots)))
    num_loads = draw(st.integers(1, 3))
    row = st.lists(st.integers(0, 30), min_size=num_experts, max_size=num_experts)
    homes_given = None
    if draw(st.booleans()):
        node = st.integers(0, num_nodes - 1)
        homes_given = draw(st.lists(node, min_size=num_experts, max_size=num_experts))
    rules = Topology(
        price=draw(st.sampled_from([0, 0.05, 0.3, 1, 2.5])),
        homes=homes_given,
        anchored=draw(st.booleans()),
        max_off_home=draw(st.sampled_from([None, None, 0.2, 0.5])),
    )
    weights = draw(st.lists(st.integers(0, 3), min_size=num_loads, max_size=num_loads))
    gpus = {"min_size": num_gpus, "max_size": num_gpus}
    speeds = st.none() | st.lists(st.sampled_from([0.1, 0.5, 1.0, 3.0]), **gpus)
    few_slots = st.none() | st.lists(st.integers(1, slots), **gpus)
    try:
        return Problem(
            np.array([[draw(row)] for _ in range(num_loads)]),
            num_gpus * slots,
            num_gpus,
            num_nodes=num_nodes,
            num_groups=draw(st.integers(2, num_experts)),
            colocation=draw(st.sampled_from(["allow", "allow", "forbid"])),
            scenario_weights=weights,
            objective=draw(st.sampled_from(["mean", "max"])),
            topology=rules,
            gpu_speed=draw(speeds),
            gpu_slots=None if rules.max_off_home else draw(few_slots),
        )
    except ProblemError:
        return None


def proof_of(problem):
    found = scenario_bound_of_layer(problem)
    return Certificate(found.source, found.value, found.data)


@settings(max_examples=40, deadline=None)
@given(tiny_scenarios())
def test_bound_never_exceeds_the_optimum_and_is_proven_again(problem):
    best = None if problem is None else scenario_home_optimum(problem)
    if best is None:
        return
    assert flat_bounds(problem)[0].value <= best
    assert fast_bounds(problem)[0].value <= best
    found = layer_home_bound(problem)
    assert found.value <= best
    if not any(part.levels for part in found.parts):
        return
    proof = proof_of(problem)
    assert verify(problem, proof) == found.value
    with pytest.raises(CertificateError, match="not proven"):
        verify(problem, replace(proof, bound=best * 1001 / 1000))


@settings(max_examples=60, deadline=None)
@given(tiny_scenarios(), st.integers(0, 10**6))
def test_plans_are_worth_what_the_definition_says(problem, seed):
    if problem is None:
        return
    plans = list(all_plans(problem))
    for plan in plans[seed % len(plans) :: max(len(plans) // 8, 1)]:
        placed = as_row(problem, plan)
        home = homes.homes_of(problem, placed)[0].tolist()
        assert home in list(all_homes(problem))
        bare = problem.with_topology(replace(problem.topology, anchored=False, max_off_home=None))
        worth = scenario_plan_worth(bare, plan, home)
        free = homes.homes_of(bare, placed)[0].tolist()
        assert scoring.objectives(bare, placed) == [scenario_plan_worth(bare, plan, free)]
        if problem.objective == "mean" and problem.topology.homes is None:
            # No other choice of homes has less off home in the weighted mean.
            least = min(scenario_plan_worth(bare, plan, one) for one in all_homes(bare))
            assert float(scenario_plan_worth(bare, plan, free) - least) <= 1e-7
        elif problem.topology.homes is not None:
            assert scoring.objectives(problem, placed) == [worth]


def two_loads(**rules):
    load = np.array([[[8, 4, 2, 2]], [[1, 1, 7, 7]]])
    return Problem(
        load,
        6,
        2,
        num_nodes=2,
        num_groups=2,
        scenario_weights=[1, 3],
        topology=Topology(**({"price": 0.5, "homes": [0, 0, 1, 1]} | rules)),
    )


PLACED = np.array([[0, 1, 2, 3, 0, 1]])  # of the first two experts a half is away, and expert 2


def test_each_load_counts_with_its_own_share_off_home():
    problem = two_loads()
    # Off home: 4 + 2 + 2 of 16, and 1 + 7 of 16; loads 4 + 2 + 2 and 8, 1 + 7 and 8 over 8.
    assert homes.scenario_off_home(problem, PLACED) == [[Fraction(1, 2)], [Fraction(1, 2)]]
    swapped = PLACED[:, [0, 1, 3, 2, 4, 5]]
    assert homes.off_home(problem, swapped) == [Fraction(1, 2)]
    at_home = np.array([[0, 1, 0, 3, 2, 1]])
    away = homes.scenario_off_home(problem, at_home)
    assert away == [[Fraction(1, 8)], [Fraction(1, 32)]]
    assert homes.off_home(problem, at_home) == [Fraction(1, 32) + Fraction(3, 128)]
    assert homes.off_home(problem.with_objective("max"), at_home) == [Fraction(1, 8)]
    first = Fraction(10, 8) + Fraction(1, 16)
    second = Fraction(29, 16) + Fraction(1, 64)
    assert scoring.objectives(problem, at_home) == [(first + 3 * second) / 4]
    assert scoring.objectives(problem.with_objective("max"), at_home) == [second]
    assert scoring.load_ratios(problem, at_home) == [(Fraction(10, 8) + 3 * Fraction(29, 16)) / 4]


def test_homes_chosen_are_those_of_the_weighted_loads():
    # Expert 0 and 1 stand on node 0 but for a half; loads of the second scenario weigh three times.
    problem = two_loads(homes=None)
    assert homes.homes_of(problem, PLACED).tolist() in ([[0, 0, 1, 1]], [[1, 1, 0, 0]])
    other = np.array([[2, 3, 0, 0, 1, 2]])
    assert homes.homes_of(problem, other).tolist() == [[1, 1, 0, 0]]


@pytest.mark.parametrize(
    "change",
    [
        {"levels_0": []},
        {"levels_1": [3, 2]},
        {"scale_0": 0},
        {"levels_1": [2**45]},
        {"levels_2": [1]},
        {"levels_0": None},
    ],
)
def test_verifier_refuses_what_is_no_proof(change):
    problem = two_loads()
    proof = proof_of(problem)
    data = {k: v for k, v in (proof.data | change).items() if v is not None}
    with pytest.raises(CertificateError):
        verify(problem, replace(proof, data=data))


def test_certificates_go_with_their_problem_alone():
    problem = two_loads()
    proof = proof_of(problem)
    for other in (problem.with_topology(None), problem.scenario(0)):
        with pytest.raises(CertificateError):
            verify(other, proof)
    with pytest.raises(CertificateError):
        verify(problem, Certificate("topology", Fraction(1), {"levels": [1], "scale": 1}))


def test_one_choice_of_homes_for_all_bounds_better_than_one_for_each():
    # Of three groups every two are hot together in some load, and two nodes hold four groups.
    load = np.ones((3, 1, 16), dtype=np.int64)
    for row, hot in zip(load[:, 0].reshape(3, 4, 4), ([0, 1], [0, 2], [1, 2]), strict=True):
        row[hot] = 50
    problem = Problem(load, 24, 8, num_nodes=2, num_groups=4, topology=Topology(0.3))
    found = layer_home_bound(problem)
    alone = sum(part.value for part in found.parts) / 3
    assert found.value > alone
    assert len(found.choices) == 3
    assert list(found.of_choice) == sorted(found.of_choice)
