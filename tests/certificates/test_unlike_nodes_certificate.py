"""Certificates of groups that stay on nodes whose GPUs differ: what they refuse."""

from fractions import Fraction

import numpy as np
import pytest

from eplb_opt import Problem, plan
from eplb_opt.bounds.unlike_nodes import unlike_node_bounds
from eplb_opt.bounds.unlike_scenarios import least_of_choices
from eplb_opt.certificates import Certificate, CertificateError, verify

SPEED = [1, 1, 0.5, 0.5]
LOAD = [[30, 30, 20, 10, 10, 10, 5, 5]]


def layer(load=LOAD, **terms):
    return Problem(np.array(load), 16, 4, 2, 2, **({"gpu_speed": SPEED} | terms))


def proof(bound, **data):
    return Certificate("unlike_nodes", Fraction(bound), data)


def test_the_best_way_to_share_out_the_groups_is_proven_and_no_more():
    # 90 on two GPUs of speed 1 and 30 on two of half of it.
    assert verify(layer(), proof(45)) == 45
    with pytest.raises(CertificateError, match="no node proven"):
        verify(layer(), proof(Fraction(451, 10)))
    with pytest.raises(CertificateError, match="no node proven"):
        verify(layer(gpu_speed=[1, 1, 1, 0.5]), proof(Fraction(451, 10)))


def test_few_slots_of_a_node_are_proven_too():
    few = layer([[80, 1, 1, 1, 80, 1, 1, 1]], gpu_speed=None, gpu_slots=[2, 2, 4, 4])
    assert verify(few, proof(80)) == 80


def test_it_goes_with_its_problems_alone_and_without_data():
    others = (
        Problem(LOAD, 16, 4, 1, 1, gpu_speed=SPEED),
        Problem(LOAD, 16, 4, 2, 2),
    )
    for other in others:
        with pytest.raises(CertificateError):
            verify(other, proof(1))
    with pytest.raises(CertificateError, match="no data"):
        verify(layer(), proof(45, level=1))


def test_with_many_groups_the_heaviest_is_proven():
    load = np.ones((1, 48), dtype=int)
    load[0, :3] = 50
    many = Problem(load, 96, 16, 8, 16, gpu_speed=[1] * 8 + [0.5] * 8)
    found = unlike_node_bounds(many)[0]
    assert verify(many, proof(found)) == found == Fraction(153, 2)
    with pytest.raises(CertificateError):
        verify(many, proof(found + 1))


def test_several_loads_have_one_way_for_all():
    both = layer([LOAD, [LOAD[0][::-1]]])
    found = least_of_choices(both)
    assert verify(both, proof(found)) == found
    with pytest.raises(CertificateError):
        verify(both, proof(found * Fraction(1001, 1000)))
    empty = layer([LOAD, [[0] * 8]], objective="max")
    assert verify(empty, proof(1)) == 1


def test_tokens_that_float_loads_lack_count():
    rough = layer([LOAD])
    found = least_of_choices(rough)
    rough.set_field("rounded", np.array([[True]]))
    total = sum(LOAD[0])
    assert least_of_choices(rough) == found * Fraction(total, total + 8)
    with pytest.raises(CertificateError):
        verify(rough, proof(found))
    assert verify(rough, proof(least_of_choices(rough)))


def test_plans_come_with_it():
    asked = layer([LOAD, [LOAD[0][::-1]]], gpu_speed=[1, 0.9, 0.3, 0.7])
    result = plan(asked, effort=5)
    certificate = result.certificates[0]
    assert certificate.kind == "unlike_nodes"
    assert verify(asked, certificate) == result.bounds[0].lower
    assert result.bound_source == ["hierarchy"]
