"""Prices of slots and of load on nodes: no bound above brute force, and every one proven again."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Problem, Topology
from eplb_opt.bounds.bounds import FLAT_BOUNDS
from eplb_opt.bounds.node_prices import NodePrices, PricedNodes
from eplb_opt.bounds.priced_choices import PricedChoices
from eplb_opt.bounds.topology import home_bound
from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.clock import Deadline
from tests.bounds.test_topology_bound import tiny_problems
from tests.homes_oracle import home_optimum


def flat_load(problem):
    return max(method(problem.flat())[0] for method in FLAT_BOUNDS.values())


def best_of(problem):
    """The optimum, where these prices say anything of the problem; else None."""
    if problem is None or problem.has_gpu_rules or not problem.load.any():
        return None
    if not problem.topology.counts_off_home:
        return None
    return home_optimum(problem)


def proven(problem, known):
    """What is proven below a known plan's worth, and the certificate."""
    layer = PricedNodes(problem)
    found = PricedChoices(layer, layer.level_of(flat_load(problem)), layer.units_of(known))
    while not found.is_done:
        found.step(Deadline())
    units, data = found.certified(found.first)
    assert units == found.units
    value = layer.as_ratio(units)
    return value, Certificate("node_prices", value, data)


@settings(max_examples=100, deadline=None)
@given(tiny_problems())
def test_no_plan_is_below_the_bound_and_the_certificate_proves_it(problem):
    best = best_of(problem)
    if best is None:
        return
    known = best * 11 / 10
    value, certificate = proven(problem, known)
    assert value <= best
    assert verify(problem, certificate) == value
    with pytest.raises(CertificateError):
        verify(problem, replace(certificate, bound=best * 1001 / 1000))


@settings(max_examples=60, deadline=None)
@given(tiny_problems())
def test_any_prices_are_a_proof(problem):
    best = best_of(problem)
    if best is None:
        return
    layer, random = PricedNodes(problem), np.random.default_rng(int(problem.load.sum()))
    whole = layer.scale * layer.unit
    first, last = layer.level_of(flat_load(problem)), layer.scale + 1
    for _ in range(3):
        prices = NodePrices(
            random.integers(-whole // 20, whole // 20, problem.num_nodes),
            random.integers(0, 2 * layer.unit, problem.num_nodes),
        )
        values = layer.values(first, last, prices)
        assert layer.as_ratio(int(values.min())) <= best


def skewed(**rules):
    load = np.array([[900, 500, 400, 300, 200, 100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 5]])
    topology = Topology(0.3, **{"anchored": True, **rules})
    return Problem(load, 24, 8, num_nodes=4, num_groups=4, topology=topology)


def test_it_proves_more_than_the_room_of_each_node():
    problem = skewed()
    assert proven(problem, Fraction(4))[0] > home_bound(problem, flat_load(problem)).value * 1.1


def test_anchors_raise_it():
    assert proven(skewed(), Fraction(4))[0] > proven(skewed(anchored=False), Fraction(4))[0] * 1.1


def test_prices_go_with_what_is_at_home_on_a_node():
    load = np.array([[50, 40, 30, 20, 9, 8, 7, 6]])
    rules = {"num_nodes": 2, "topology": Topology(0.3, anchored=True, homes=[0] * 4 + [1] * 4)}
    given_homes = Problem(load, 12, 4, **rules)
    turned = given_homes.with_topology(replace(given_homes.topology, homes=[1] * 4 + [0] * 4))
    assert (PricedNodes(given_homes).place == PricedNodes(turned).place).all()
    value, certificate = proven(given_homes, Fraction(3))
    assert verify(turned, certificate) == value


@pytest.mark.parametrize(
    "change",
    [
        {"levels": [1]},
        {"levels": [3, 2]},
        {"levels": [10**12, 10**13]},
        {"scale": 0},
        {"unit": 0},
        {"unit": 2**80},
        {"extra": 1},
        {"on_slots": []},
        {"on_slots": 3},
        {"on_load": [-1, 0, 0, 0], "on_slots": [0] * 4},
        {"on_load": [0] * 4, "on_slots": [0] * 4},
    ],
)
def test_verifier_refuses_what_is_no_proof(change):
    problem = skewed()
    certificate = proven(problem, Fraction(4))[1]
    with pytest.raises(CertificateError):
        verify(problem, replace(certificate, data=certificate.data | change))


def test_a_better_plan_lowers_the_end_of_the_range():
    layer = PricedNodes(skewed())
    first = layer.level_of(flat_load(skewed()))
    found = PricedChoices(layer, first, layer.units_of(Fraction(9)))
    found.step(Deadline())
    before, end = found.units, found.end
    found.lower_top(layer.units_of(Fraction(2)))
    assert found.end < end and found.units >= before
    assert not found.is_done  # experts need more replicas, so that the prices are renewed
    found.step(Deadline())
    assert found.is_done and found.units > before
