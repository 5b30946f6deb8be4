"""Prices of what stands on a node: no bound above brute force, and every one proven again."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Problem, Topology
from eplb_opt.bounds.bounds import FLAT_BOUNDS
from eplb_opt.bounds.home_prices import NodePrices, PricedLayer, known_homes
from eplb_opt.bounds.topology import home_bound
from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.clock import Deadline
from eplb_opt.exact.homes.price_lp import Fineness
from eplb_opt.exact.homes.price_pieces import prove
from eplb_opt.planner.conditions import has_topology_and_two_slots
from tests.bounds.test_topology_bound import tiny_problems
from tests.homes_oracle import home_optimum

pytest.importorskip("scipy")
FINE = Fineness(12, 4, 0.002)


def flat_load(problem):
    return max(method(problem.flat())[0] for method in FLAT_BOUNDS.values())


def is_priced(problem):
    is_known = has_topology_and_two_slots(problem) and known_homes(problem) is not None
    return is_known and problem.load.any()


def proven(problem, fineness=FINE):
    layer = PricedLayer(problem)
    found = prove(layer, layer.level_of(flat_load(problem)), fineness, Deadline())
    value = layer.as_ratio(found.units)
    return value, Certificate("home_prices", value, found.data(layer))


@settings(max_examples=300, deadline=None)
@given(tiny_problems())
def test_no_plan_is_below_the_bound_and_the_certificate_proves_it(problem):
    if problem is None or not is_priced(problem):
        return
    best = home_optimum(problem)
    if best is None:
        return
    value, certificate = proven(problem)
    assert value <= best
    assert verify(problem, certificate) == value
    with pytest.raises(CertificateError):
        verify(problem, replace(certificate, bound=best * 1001 / 1000))


@settings(max_examples=60, deadline=None)
@given(tiny_problems())
def test_any_prices_are_a_proof(problem):
    if problem is None or not is_priced(problem):
        return
    best = home_optimum(problem)
    if best is None:
        return
    layer, random = PricedLayer(problem), np.random.default_rng(int(problem.load.sum()))
    most = layer.scale * layer.unit // 20
    for level in (layer.scale // problem.num_gpus, layer.scale // 2, layer.scale):
        prices = NodePrices(
            np.sort(random.integers(0, level, 5)),
            random.integers(0, most, (problem.num_nodes, 5)),
            random.integers(-most, most, problem.num_nodes),
            int(random.integers(0, layer.unit)),
        )
        away = layer.away(level, prices)
        peak_or_more = layer.as_ratio(min(layer.value(0, away), layer.value(level, 0)))
        assert peak_or_more <= best


def skewed(**rules):
    load = np.array([[900, 500, 400, 300, 200, 100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 5]])
    topology = Topology(0.3, **rules)
    return Problem(load, 24, 12, num_nodes=4, num_groups=4, topology=topology)


def test_it_proves_more_than_the_room_of_each_node():
    for problem in (skewed(), skewed(anchored=True)):
        assert proven(problem)[0] > home_bound(problem, flat_load(problem)).value * 1.01


def test_anchors_and_the_limit_raise_it():
    free = proven(skewed())[0]
    assert proven(skewed(anchored=True))[0] > free * 1.001
    assert proven(skewed(max_off_home=0.1))[0] > free * 1.001


@pytest.mark.parametrize(
    "change",
    [
        {"levels": [1]},
        {"levels": [3, 2]},
        {"scale": 0},
        {"unit": 0},
        {"extra": 1},
        {"many": []},
        {"on_slots": []},
        {"on_away": [-1]},
        {"thresholds": 3},
        {"unit": 2**80},
    ],
)
def test_verifier_refuses_what_is_no_proof(change):
    problem = skewed()
    certificate = proven(problem)[1]
    with pytest.raises(CertificateError):
        verify(problem, replace(certificate, data=certificate.data | change))


def test_verifier_refuses_prices_that_are_no_proof():
    problem = skewed()
    certificate = proven(problem)[1]
    data = certificate.data
    for change in (
        {"at_threshold": [0] * len(data["at_threshold"])},
        {"at_threshold": [-y for y in data["at_threshold"]]},
        {"thresholds": data["thresholds"][::-1]},
        {"levels": [data["levels"][0] * 2, *[level * 2 for level in data["levels"][1:]]]},
        {"levels": data["levels"][:-1], "many": data["many"][:-1]},
    ):
        with pytest.raises(CertificateError):
            verify(problem, replace(certificate, data=data | change))


def test_homes_that_are_chosen_are_not_known():
    load = np.arange(1, 9)[None]
    chosen = Problem(load, 12, 6, num_nodes=2, num_groups=4, topology=Topology(0.3))
    assert known_homes(chosen) is None
    alike = Problem(load, 12, 6, num_nodes=2, num_groups=2, topology=Topology(0.3))
    assert known_homes(alike).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="homes that are known"):
        PricedLayer(chosen)
