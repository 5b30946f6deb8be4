"""The bound of load and price on GPUs of different speeds and slots, and its certificates."""

from fractions import Fraction

import numpy as np
import pytest

from eplb_opt import Problem, Topology, plan
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.bounds.topology import home_choices
from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.placement import scoring
from eplb_opt.search.annealing.topology import bound_of_layer

LOAD = np.array([[40, 30, 20, 10, 2, 2, 1, 1]])


def layer(speed, rules=None, **terms):
    given = {"num_nodes": 2, "num_groups": 2} | terms
    return Problem(LOAD, 16, 4, gpu_speed=speed, topology=rules or Topology(0.3), **given)


def proof(found):
    return Certificate(
        "topology", found.value, {"levels": list(found.levels), "scale": found.scale}
    )


def test_a_plan_is_worth_its_loads_over_speeds_and_its_share_off_home():
    asked = layer([2, 1, 0.5, 0.5], Topology(0.3, homes=[0] * 4 + [1] * 4))
    placed = np.array([[0, 0, 1, 2, 1, 3, 4, 5, 6, 7, 4, 5, 6, 7, 3, 2]])
    # GPU 0: (40 + 15 + 10) / 2, GPU 1: 15 + 5 + 1 + 1, GPU 2: 3 / 0.5, GPU 3: 16 / 0.5.
    ratio = Fraction(65, 2) * 4 / 106
    away = Fraction(10 + 5 + 2, 106)
    assert scoring.objectives(asked, placed) == [ratio + Fraction(3, 10) * away]


def test_homes_go_where_the_speeds_are():
    # Groups of 100 and 6 on nodes of 3 and 1 of 4: 79.5 and 26.5 are level.
    found = bound_of_layer(layer([1, 2, 0.5, 0.5]))
    assert float(found.value) == pytest.approx(1 + 0.3 * 20.5 / 106, rel=1e-6)
    assert len(home_choices(layer([1, 2, 0.5, 0.5]))) == 2
    likewise = bound_of_layer(layer([0.5, 0.5, 2, 1]))
    assert likewise.value == found.value


def test_given_homes_on_a_slow_node_cost_more():
    slow = layer([0.5, 0.5, 2, 1], Topology(0.3, homes=[0] * 4 + [1] * 4))
    # Of the 100 there its GPUs serve 26.5 where all are level.
    assert float(bound_of_layer(slow).value) == pytest.approx(1 + 0.3 * 73.5 / 106, rel=1e-6)


def test_a_slow_nodes_replicas_are_small():
    # At T a GPU of the slow node carries T / 4, so its expert of 40 needs replicas of that size.
    load = np.array([[40, 0, 40, 0]])
    rules = Topology(100.0, homes=[0, 0, 1, 1])
    asked = Problem(load, 8, 4, num_nodes=2, topology=rules, gpu_speed=[0.25, 0.25, 1, 1])
    result = plan(asked, effort=50)
    assert result.bounds[0].lower <= result.bounds[0].objective
    verify(asked, proof(bound_of_layer(asked)))


@pytest.mark.parametrize("speed", [[1, 0.5, 1, 0.5], [0.1, 0.3, 0.7, 1e-3], [1e6, 1, 1, 1]])
@pytest.mark.parametrize("price", [0.0, 0.3, 50.0])
def test_certificates_prove_the_bound_whatever_the_speeds(speed, price):
    for rules in (Topology(price), Topology(price, anchored=True), Topology(price, max_off_home=0)):
        asked = layer(speed, rules)
        found = bound_of_layer(asked)
        assert verify(asked, proof(found)) == found.value
        result = plan(asked, effort=3)
        assert fast_bounds(asked)[0].value <= result.bounds[0].objective


def test_a_certificate_of_other_speeds_or_slots_is_refused():
    fast = layer([1, 1, 0.5, 0.5], Topology(0.3, homes=[1] * 4 + [0] * 4))
    found = bound_of_layer(fast)
    verify(fast, proof(found))
    others = (
        layer([0.5, 0.5, 1, 1], Topology(0.3, homes=[1] * 4 + [0] * 4)),
        layer(None, Topology(0.3, homes=[1] * 4 + [0] * 4)),
    )
    for other in others:
        with pytest.raises(CertificateError):
            verify(other, proof(found))
    few = layer(None, Topology(0.3, homes=[0] * 4 + [1] * 4), gpu_slots=[1, 1, 4, 4])
    verify(few, proof(bound_of_layer(few)))
    with pytest.raises(CertificateError):
        verify(layer(None, Topology(0.3, homes=[0] * 4 + [1] * 4)), proof(bound_of_layer(few)))


def test_with_too_many_choices_a_group_counts_as_on_the_best_node_wherever_that_is():
    # The first node's only GPU serves half of a group; the others have room for several.
    load = np.ones((1, 32), dtype=int)
    rules = Topology(50.0, nodes=[0, *[1] * 10, *[2] * 10, *[3] * 11])
    asked = Problem(load, 64, 32, num_nodes=4, num_groups=16, topology=rules)
    assert home_choices(asked) is None
    found = bound_of_layer(asked)
    verify(asked, proof(found))
    data = {"levels": list(found.levels), "scale": found.scale}
    with pytest.raises(CertificateError):
        verify(asked, Certificate("topology", Fraction(3, 2), data))


def test_the_annealing_knows_what_its_plan_is_worth():
    from eplb_opt.search.annealing.topology import TopologySearch
    from eplb_opt.search.starts import first_plan

    for terms in ({}, {"gpu_slots": [4, 4, 2, 4]}):
        asked = layer([1, 0.3, 2, 0.7], **terms)
        search = TopologySearch(asked, first_plan(asked)[0], seed=1)
        search.run_slices(50)
        worth = scoring.objectives(asked, search.placed()[None])[0]
        assert search.best == pytest.approx(float(worth), rel=1e-9)
