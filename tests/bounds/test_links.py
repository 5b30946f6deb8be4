"""The bound by duality: never above what brute force finds, tight in plain cases, proven again."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Problem, Topology
from eplb_opt.bounds.bounds import fast_bounds, flat_bounds
from eplb_opt.bounds.links import MANY_STEPS, link_bound
from eplb_opt.bounds.priced import priced_bound
from eplb_opt.bounds.topology import home_bound
from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.search.annealing.topology import flat_bound_of_layer
from tests.bounds.test_topology_bound import tiny_problems
from tests.homes_oracle import home_optimum
from tests.link_problems import tiny_links


def proven(problem, steps=MANY_STEPS):
    return link_bound(problem, flat_bound_of_layer(problem), steps)


def holds(problem):
    best = home_optimum(problem)
    if best is None:
        return
    assert flat_bounds(problem)[0].value <= best
    assert fast_bounds(problem)[0].value <= best
    flat = flat_bound_of_layer(problem)
    tried = [
        (None, priced_bound(problem, flat, MANY_STEPS)),
        ("traffic", link_bound(problem, flat, MANY_STEPS)),
    ]
    for source, found in tried:
        assert found.value <= best
        if not found.data:
            continue
        kind = source or found.source
        assert verify(problem, Certificate(kind, found.value, found.data)) == found.value
        with pytest.raises(CertificateError):
            verify(problem, Certificate(kind, best * 1001 / 1000, found.data))


@settings(max_examples=50, deadline=None)
@given(tiny_links())
def test_bound_never_exceeds_the_optimum(problem):
    if problem is not None:
        holds(problem)


@settings(max_examples=15, deadline=None)
@given(tiny_problems())
def test_it_holds_for_what_is_off_home_too(problem):
    if problem is not None:
        holds(problem)


def hot_node(price=0.3, **rules):
    """A node from where 100 of 106 tokens come; two GPUs a node, slots for all."""
    load = np.array([[40, 30, 20, 10, 2, 2, 1, 1]])
    sources = np.zeros((2, 8), dtype=int)
    sources[0, :4], sources[1, 4:] = 1, 1
    given = Topology(price, **({"sources": sources} | rules))
    return Problem(load, 16, 4, num_nodes=2, topology=given)


def test_bound_is_what_levels_the_node_of_most_tokens():
    assert float(proven(hot_node()).value) == pytest.approx(1 + 0.3 * 47 / 106, rel=1e-4)


def test_a_high_price_keeps_everything_at_its_source():
    assert float(proven(hot_node(price=5.0)).value) == pytest.approx(100 / 53, rel=1e-3)


def test_a_limit_on_the_cost_of_links_raises_the_bound():
    held = float(proven(hot_node(price=0.0, max_off_home=0.1)).value)
    assert held == pytest.approx((100 - 10.6) / 53, rel=2e-3)


def test_half_a_cost_is_half_a_price():
    half = hot_node(rank_costs=[[0, 0.5], [0.5, 0]])
    assert float(proven(half).value) == pytest.approx(1 + 0.15 * 47 / 106, rel=1e-4)


def test_slots_that_are_too_few_count():
    # All tokens come from node 0, whose two slots hold two of four experts.
    load = np.array([[10, 10, 10, 10]])
    rules = Topology(0.3, sources=[[1] * 4, [0] * 4])
    problem = Problem(load, 4, 2, num_nodes=2, topology=rules)
    assert float(proven(problem).value) == pytest.approx(1 + 0.3 / 2, rel=1e-4)


def test_given_homes_get_the_better_of_both_bounds():
    load = np.random.default_rng(7).lognormal(0, 1.4, (1, 64)).round(3) * 1000
    homes = np.random.default_rng(8).integers(0, 4, 64)
    rules = Topology(0.3, homes=homes)
    problem = Problem(load.astype(int), 72, 8, num_nodes=4, topology=rules)
    flat = flat_bound_of_layer(problem)
    best = priced_bound(problem, flat, MANY_STEPS)
    both = home_bound(problem, flat).value, link_bound(problem, flat, MANY_STEPS).value
    assert best.value == max(both)
    assert verify(problem, Certificate(best.source, best.value, best.data)) == best.value


def test_links_that_tell_gpus_apart_are_bounded_on_gpus():
    costs = np.where(np.eye(4), 0, 0.5)
    rules = Topology(0.4, rank_costs=costs, sources=np.ones((4, 8), dtype=int))
    problem = Problem(np.full((1, 8), 10), 8, 4, num_nodes=2, topology=rules)
    # From anywhere three of four tokens go elsewhere.
    assert float(proven(problem).value) == pytest.approx(1 + 0.4 * 0.5 * 3 / 4, rel=1e-4)


def test_a_layer_without_load_is_worth_one():
    assert proven(replace(hot_node(), load=np.zeros((1, 8), dtype=int))).value == 1


def test_the_same_bound_comes_again():
    assert proven(hot_node()).data == proven(hot_node()).data


def test_rounded_loads_widen_the_bound():
    exact, rough = hot_node(), replace(hot_node())
    rough.set_field("rounded", np.array([True]))
    assert proven(rough).value < proven(exact).value


def broken(data, name, change):
    values = data[name]
    return data | {name: change(list(values) if isinstance(values, list) else values)}


BREAKS = {
    "levels": [
        lambda levels: levels[:1],
        lambda levels: levels[::-1],
        lambda levels: [levels[0] + levels[0] // 50, *levels[1:]],
        lambda levels: levels[:-1],
        lambda levels: list(range(1, 70)),
    ],
    "scale": [lambda scale: 0, lambda scale: scale // 2],
    "unit": [lambda unit: 0, lambda unit: unit // 4],
    "load_prices": [
        lambda prices: [-p for p in prices],
        lambda prices: prices[:-1],
        lambda prices: [p * 3 for p in prices],
        lambda prices: [0] * len(prices),
    ],
    "slot_prices": [lambda prices: prices[1:], lambda prices: [10**30] * len(prices)],
}


@pytest.mark.parametrize(
    ("name", "idx"), [(n, i) for n, all_ in BREAKS.items() for i in range(len(all_))]
)
def test_verifier_refuses_what_is_no_proof(name, idx):
    problem = hot_node()
    found = proven(problem)
    data = broken(found.data, name, BREAKS[name][idx])
    with pytest.raises(CertificateError):
        verify(problem, Certificate("traffic", found.value, data))


def test_a_proof_is_of_its_own_costs_alone():
    problem, found = hot_node(), proven(hot_node())
    cheaper = hot_node(rank_costs=[[0, 0.9], [1, 0]])
    with pytest.raises(CertificateError):
        verify(cheaper, Certificate("traffic", found.value, found.data))
    with pytest.raises(CertificateError, match="not what comes from sources"):
        verify(problem, Certificate("topology", found.value, {"levels": [1], "scale": 1}))
    with pytest.raises(CertificateError, match="scale, unit"):
        verify(problem, Certificate("traffic", found.value, found.data | {"more": 1}))


def test_chosen_homes_get_the_bound_of_what_is_off_home():
    load = np.array([[40, 30, 20, 10, 2, 2, 1, 1]])
    # 0.1 at home, 0.6 elsewhere: 0.1 in any case, and half a price for what is off home.
    rules = Topology(0.4, rank_costs=[[0.1, 0.6], [0.6, 0.1]])
    problem = Problem(load, 16, 4, num_nodes=2, num_groups=2, topology=rules)
    found = priced_bound(problem, flat_bound_of_layer(problem))
    assert float(found.value) == pytest.approx(1 + 0.04 + 0.2 * 47 / 106, rel=1e-5)
    assert verify(problem, Certificate("topology", found.value, found.data)) == found.value
    dearer = Certificate("topology", found.value * 1001 / 1000, found.data)
    with pytest.raises(CertificateError):
        verify(problem, dearer)


def test_a_proof_is_for_the_speeds_of_its_problem():
    load, homes = np.array([[40, 30, 20, 10, 2, 2, 1, 1]]), [0, 0, 0, 0, 1, 1, 1, 1]
    fast = Problem(
        load, 16, 4, num_nodes=2, topology=Topology(0.3, homes=homes), gpu_speed=[1, 2, 1, 2]
    )
    found = proven(hot_node())
    with pytest.raises(CertificateError, match="not proven"):
        verify(fast, Certificate("traffic", found.value, found.data))
    own = proven(fast)
    assert verify(fast, Certificate("traffic", own.value, own.data)) == own.value


def test_a_slow_node_serves_as_much_as_its_speeds_add_up_to():
    # Of the 106 tokens 100 come from node 0, which serves a third of all.
    slow = replace(hot_node(), gpu_speed=[0.5, 0.5, 1, 1])
    assert float(proven(slow).value) == pytest.approx(1 + 0.3 * (100 - 106 / 3) / 106, rel=1e-4)
