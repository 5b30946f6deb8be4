"""The bound of load and price: never above what brute force finds, and proven again elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt import Problem, Topology
from eplb_opt.bounds.bounds import fast_bounds, flat_bounds
from eplb_opt.bounds.topology import home_choices
from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.errors import ProblemError
from eplb_opt.search.annealing.topology import bound_of_layer
from tests.homes_oracle import all_homes, home_optimum

UNEQUAL_NODES = {(3, 2): ([0, 1, 1],), (4, 2): ([0, 1, 1, 1], [0, 0, 0, 1])}


@st.composite
def tiny_problems(draw):
    num_gpus, num_nodes = draw(st.sampled_from([(2, 2), (3, 2), (4, 2), (3, 3)]))
    slots = draw(st.integers(1, 2 if num_gpus > 2 else 3))
    num_experts = draw(st.integers(2, min(4, num_gpus * slots)))
    load = draw(st.lists(st.integers(0, 30), min_size=num_experts, max_size=num_experts))
    homes = None
    if draw(st.booleans()):
        node = st.integers(0, num_nodes - 1)
        homes = draw(st.lists(node, min_size=num_experts, max_size=num_experts))
    rules = Topology(
        price=draw(st.sampled_from([0, 0.05, 0.3, 1, 2.5])),
        homes=homes,
        anchored=draw(st.booleans()),
        max_off_home=draw(st.sampled_from([None, None, 0.2, 0.5])),
        nodes=draw(st.sampled_from([None, None, *UNEQUAL_NODES.get((num_gpus, num_nodes), ())])),
    )
    gpus = {"min_size": num_gpus, "max_size": num_gpus}
    speeds = st.sampled_from([0.1, 0.5, 0.5, 1.0, 1.0, 3.0])
    try:
        return Problem(
            np.array([load]),
            num_gpus * slots,
            num_gpus,
            num_nodes=num_nodes,
            num_groups=draw(st.integers(2, num_experts)),
            colocation=draw(st.sampled_from(["allow", "allow", "forbid"])),
            gpu_speed=draw(st.none() | st.lists(speeds, **gpus)),
            gpu_slots=draw(st.none() | st.lists(st.integers(0, slots), **gpus)),
            topology=rules,
        )
    except ProblemError:
        return None


@settings(max_examples=150, deadline=None)
@given(tiny_problems())
def test_bound_never_exceeds_the_optimum(problem):
    if problem is None:
        return
    best = home_optimum(problem)
    if best is None:
        return
    assert flat_bounds(problem)[0].value <= best
    found = bound_of_layer(problem)
    assert found.value <= best
    assert fast_bounds(problem)[0].value <= best
    if found.levels:
        data = {"levels": list(found.levels), "scale": found.scale}
        assert verify(problem, Certificate("topology", found.value, data)) == found.value


@settings(max_examples=40, deadline=None)
@given(tiny_problems())
def test_verifier_accepts_no_bound_above_the_optimum(problem):
    if problem is None:
        return
    best, found = home_optimum(problem), bound_of_layer(problem)
    if best is None or not found.levels:
        return
    data = {"levels": list(found.levels), "scale": found.scale}
    with pytest.raises(CertificateError):
        verify(problem, Certificate("topology", best * 1001 / 1000, data))


def layer_with_one_hot_group(price=0.3, **rules):
    load = np.array([[40, 30, 20, 10, 2, 2, 1, 1]])
    return Problem(load, 16, 4, num_nodes=2, num_groups=2, topology=Topology(price, **rules))


def test_bound_is_what_levels_the_hot_node():
    # 100 of 106 are at home on one node, whose two GPUs carry 53 where all are level.
    found = bound_of_layer(layer_with_one_hot_group())
    assert float(found.value) == pytest.approx(1 + 0.3 * 47 / 106, rel=1e-6)


def test_a_high_price_keeps_everything_at_home():
    # At price 2 and above it pays to leave the hot node hot: load 100 / 53 of the mean.
    found = bound_of_layer(layer_with_one_hot_group(price=5.0))
    assert float(found.value) == pytest.approx(100 / 53, rel=1e-6)


def test_limit_on_what_is_off_home_raises_the_bound():
    free = bound_of_layer(layer_with_one_hot_group(price=0.0)).value
    held = bound_of_layer(layer_with_one_hot_group(price=0.0, max_off_home=0.1)).value
    assert free <= 1
    assert float(held) == pytest.approx((100 - 10.6) / 53, rel=1e-6)


def test_too_few_slots_at_home_count_as_off_home():
    # Two nodes of two slots: of the four experts at home on node 0 two at least are elsewhere.
    load = np.array([[10, 10, 10, 10]])
    rules = Topology(0.3, homes=[0, 0, 0, 0])
    problem = Problem(load, 4, 2, num_nodes=2, topology=rules)
    assert float(bound_of_layer(problem).value) == pytest.approx(1 + 0.3 / 2, rel=1e-6)


def test_choices_of_homes_are_all_but_for_the_names_of_equal_nodes():
    load = np.ones((1, 8), dtype=int)
    problem = Problem(load, 12, 4, num_nodes=4, num_groups=8, topology=Topology())
    assert len(home_choices(problem)) == 105
    uneven = Problem(load, 15, 5, num_nodes=3, num_groups=4, topology=Topology())
    held = {tuple(sorted(np.bincount(c, minlength=3).tolist())) for c in home_choices(uneven)}
    assert held == {(1, 1, 2)}
    names = [{tuple(c[e * 2] for e in range(4)) for c in all_homes(uneven)}]
    # The two full nodes may trade names; the last node is smaller.
    assert len(names[0]) == 2 * len(home_choices(uneven))


def test_many_groups_have_a_bound_without_looking_at_every_choice():
    load = np.random.default_rng(3).integers(1, 100, (1, 32))
    problem = Problem(load, 64, 16, num_nodes=8, num_groups=16, topology=Topology())
    assert home_choices(problem) is None
    assert fast_bounds(problem)[0].value >= flat_bounds(problem)[0].value
    assert bound_of_layer(problem).levels


@pytest.mark.parametrize(
    "change",
    [
        {"levels": []},
        {"levels": [3, 2]},
        {"levels": [0]},
        {"scale": 0},
        {"levels": [2**40]},
        {"extra": 1},
        {"levels": list(range(1, 70))},
    ],
)
def test_verifier_refuses_what_is_no_proof(change):
    problem = layer_with_one_hot_group()
    found = bound_of_layer(problem)
    data = {"levels": list(found.levels), "scale": found.scale} | change
    with pytest.raises(CertificateError):
        verify(problem, Certificate("topology", found.value, data))


def test_certificates_of_other_kinds_do_not_prove_a_bound_with_a_price():
    problem = layer_with_one_hot_group()
    with pytest.raises(CertificateError):
        verify(problem, Certificate("enumeration", found_value(problem), {}))
    plain = Problem(problem.load, 16, 4)
    with pytest.raises(CertificateError):
        verify(plain, Certificate("topology", found_value(problem), {"levels": [1], "scale": 1}))


def found_value(problem):
    return bound_of_layer(problem).value


def test_rounded_loads_widen_the_bound():
    exact = layer_with_one_hot_group()
    rough = replace(exact)
    rough.set_field("rounded", np.array([True]))
    assert bound_of_layer(rough).value < bound_of_layer(exact).value
