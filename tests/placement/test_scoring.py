from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt.placement import scoring


def naive(load, placed, num_gpus):
    """One GPU after the other, one fraction after the other."""
    counts = [placed.count(e) for e in range(len(load))]
    size = len(placed) // num_gpus
    gpus = [placed[i : i + size] for i in range(0, len(placed), size)]
    return max(sum(Fraction(load[e], counts[e]) for e in gpu) for gpu in gpus)


@settings(max_examples=200)
@given(data=st.data(), largest=st.sampled_from([1, 7, 10**6, 2**57]))
def test_scores_are_exact(data, largest):
    num_experts = data.draw(st.integers(1, 8))
    num_gpus = data.draw(st.integers(1, 4))
    extra = data.draw(st.integers(0, 6))
    num_slots = -(-(num_experts + extra) // num_gpus) * num_gpus
    load = data.draw(st.lists(st.integers(0, largest), min_size=num_experts, max_size=num_experts))
    spare = st.lists(
        st.integers(0, num_experts - 1),
        min_size=num_slots - num_experts,
        max_size=num_slots - num_experts,
    )
    placed = data.draw(st.permutations([*range(num_experts), *data.draw(spare)]))
    scored = scoring.largest_gpu_loads(np.array([load]), np.array([placed]), num_gpus)
    assert scored == [naive(load, list(placed), num_gpus)]


def test_near_ties_that_floats_cannot_tell_apart_are_told_apart():
    # Two GPUs whose loads differ by 1 in 2**60: equal as floats.
    load = np.array([[2**60, 2**60 + 1]])
    assert scoring.largest_gpu_loads(load, np.array([[0, 1]]), 2) == [Fraction(2**60 + 1)]
    thirds = np.array([[10**17 + 1, 5 * 10**16, 5 * 10**16]])
    placed = np.array([[0, 0, 0, 1, 2, 0]])
    expected = max(Fraction(3 * (10**17 + 1), 4), Fraction(10**17 + 1, 4) + 10**17)
    assert scoring.largest_gpu_loads(thirds, placed, 2) == [expected]
