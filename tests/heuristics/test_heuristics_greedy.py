"""Our compiled greedy, its numpy twin, and the call with given counts."""

import numpy as np
import pytest
from heuristic_cases import Case, cases, peaks, random_case
from hypothesis import given, settings

from heuristics import HEURISTICS, greedy, greedy_numpy

DEEPSEEK = HEURISTICS["deepseek"]
LARGER = [
    random_case(1, 8, 256, 288, 1, 1, 32),
    random_case(2, 8, 256, 288, 8, 4, 32),
    random_case(3, 8, 256, 288, 8, 18, 144),
    random_case(4, 8, 64, 96, 4, 4, 16, top=3),
    random_case(5, 8, 128, 160, 1, 1, 20, top=9),
    random_case(6, 4, 8, 200, 1, 1, 40),
    random_case(7, 4, 12, 60, 6, 2, 6, top=4),
]


def assert_same(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=100, deadline=None)
@given(case=cases())
def test_greedy_is_the_reference_byte_for_byte(case):
    assert_same(case.run(greedy.rebalance_experts), case.run(DEEPSEEK))


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_numpy_greedy_is_the_reference_byte_for_byte(case):
    assert_same(case.run(greedy_numpy.rebalance_experts), case.run(DEEPSEEK))


@pytest.mark.parametrize("case", LARGER, ids=lambda c: f"{c.weight.shape}-{c.numbers}")
def test_all_three_agree_on_larger_problems(case):
    reference = case.run(DEEPSEEK)
    assert_same(case.run(greedy.rebalance_experts), reference)
    assert_same(case.run(greedy_numpy.rebalance_experts), reference)


def test_negative_zero_is_zero():
    plus, minus = (Case(np.array([[5.0, z, 1.0, z]]), 6, 1, 1, 2) for z in (0.0, -0.0))
    assert_same(minus.run(greedy.rebalance_experts), plus.run(greedy.rebalance_experts))


@pytest.mark.parametrize("num_layers", [1, 3, 7, 8, 9, 16, 17])
def test_every_number_of_layers_fills_its_lanes(num_layers):
    case = random_case(num_layers, num_layers, 24, 40, 1, 1, 8, top=6)
    assert_same(case.run(greedy.rebalance_experts), case.run(DEEPSEEK))


@pytest.mark.parametrize("num_gpus", [1, 2, 31, 32, 33, 64, 65, 257])
def test_every_number_of_gpus_has_its_blocks(num_gpus):
    case = random_case(num_gpus, 3, 2 * num_gpus, 3 * num_gpus, 1, 1, num_gpus, top=50)
    assert_same(case.run(greedy.rebalance_experts), case.run(DEEPSEEK))


@pytest.mark.parametrize("spare", [0, 1, 2, 7, 8, 9, 100])
def test_every_number_of_spare_slots_is_sorted_in(spare):
    case = random_case(spare, 4, 9, 9 + spare, 1, 1, 1, top=7)
    assert_same(case.run(greedy.rebalance_experts), case.run(DEEPSEEK))


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">f4", ">i8", "g"]
)
def test_numbers_of_every_type_give_the_same_maps(dtype):
    plain = random_case(5, 4, 12, 18, 1, 1, 6, top=60).weight.astype(np.float64)
    expected = greedy.rebalance_experts(plain, 18, 1, 1, 6)
    assert_same(greedy.rebalance_experts(plain.astype(dtype), 18, 1, 1, 6), expected)


def test_given_counts_are_placed_as_asked():
    case = random_case(8, 5, 16, 24, 1, 1, 6)
    phy2log, _, counts = case.run(DEEPSEEK)
    placed = greedy_numpy.place(case.weight, counts, 6)
    assert placed.dtype == np.int64
    np.testing.assert_array_equal(
        np.stack([np.bincount(row, minlength=16) for row in placed]), counts
    )
    np.testing.assert_allclose(peaks(case, [placed]), peaks(case, [phy2log]))


def test_given_counts_with_one_slot_a_gpu_keep_their_order():
    assert greedy_numpy.place([[1, 9]], [[2, 1]], 3).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([[2, 2, 1]], "integers"),
        ([[1.0, 1.0]], "integers"),
        ([[0, 4]], "every expert needs a copy"),
        ([[2, 3]], r"5 \.\. 5"),
        ([[2, 2], [2, 4]], "integers"),
    ],
)
def test_counts_that_do_not_fit_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        greedy_numpy.place([[1, 2]], counts, 2)


def test_layers_with_different_slot_counts_are_refused():
    with pytest.raises(ValueError, match=r"4 \.\. 6"):
        greedy_numpy.place([[1, 2], [3, 4]], [[2, 2], [2, 4]], 2)
