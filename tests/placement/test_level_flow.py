"""The exact optimum of dispatch, against every set of GPUs; and its two proofs."""

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt.placement.level_flow import least_level


def by_subsets(load, hosts, num_gpus, speed):
    """What no split can go below: the densest set of GPUs."""
    best = Fraction(0)
    for size in range(1, num_gpus + 1):
        for gpus in combinations(range(num_gpus), size):
            inside = sum(w for w, on in zip(load, hosts, strict=True) if set(on) <= set(gpus))
            best = max(best, Fraction(inside) / sum(speed[g] for g in gpus))
    return best


@st.composite
def placements(draw, max_gpus=6, max_experts=10):
    num_gpus = draw(st.integers(1, max_gpus))
    on = st.lists(st.integers(0, num_gpus - 1), min_size=1, max_size=4, unique=True)
    hosts = draw(st.lists(on.map(sorted), min_size=1, max_size=max_experts))
    loads = st.one_of(st.integers(0, 9), st.integers(0, 1000), st.integers(0, 2**61))
    load = draw(st.lists(loads, min_size=len(hosts), max_size=len(hosts)))
    speeds = st.sampled_from([Fraction(1), Fraction(3, 2), Fraction(1, 3)])
    speed = draw(st.lists(speeds, min_size=num_gpus, max_size=num_gpus))
    return load, hosts, num_gpus, draw(st.sampled_from([None, speed]))


@settings(max_examples=300, deadline=None)
@given(placements())
def test_the_level_is_that_of_the_densest_set_and_both_proofs_hold(placement):
    load, hosts, num_gpus, speed = placement
    rate = speed or [Fraction(1)] * num_gpus
    found = least_level(load, hosts, num_gpus, speed)
    assert found.level == by_subsets(load, hosts, num_gpus, rate)
    gpus = [Fraction(0)] * num_gpus
    for weight, on, parts in zip(load, hosts, found.flow, strict=True):
        assert sum(parts) == weight
        assert min(parts) >= 0
        for gpu, part in zip(on, parts, strict=True):
            gpus[gpu] += part
    assert max(g / s for g, s in zip(gpus, rate, strict=True)) == found.level
    inside = sum(w for w, on in zip(load, hosts, strict=True) if found.tight.issuperset(on))
    assert Fraction(inside) / sum(rate[g] for g in found.tight) == found.level


@pytest.mark.parametrize("length", [1, 2, 30])
def test_tokens_reach_the_far_end_of_a_chain(length):
    # Everything is on GPU 0 at first; each expert joins two neighbours.
    hosts = [[0], *([g, g + 1] for g in range(length))]
    found = least_level([1, *[1] * length], hosts, length + 1)
    assert found.level == 1
    load = [length + 1, *[0] * length]
    assert least_level(load, hosts, length + 1).level == length + 1
    halves = least_level([0, 6, *[0] * (length - 1)], hosts, length + 1)
    assert halves.level == 3
    assert halves.flow[1] == (3, 3)
