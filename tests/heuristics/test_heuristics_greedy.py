"""Our compiled greedy, its numpy twin, and the given-counts door."""

import importlib
import logging

import numpy as np
import pytest
from heuristic_cases import README, Case, cases, peaks, random_case
from hypothesis import given, settings

from heuristics import HEURISTICS, MissingDependency, compiled, greedy, greedy_kernels, greedy_numpy
from heuristics.layout import make_layout

DEEPSEEK = HEURISTICS["deepseek"]
PYTHON_KERNELS = greedy.Kernels(
    greedy_kernels.split, greedy_kernels.pack, greedy_kernels.list_slots
)
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


@settings(max_examples=25, deadline=None)
@given(case=cases())
def test_kernels_say_the_same_as_plain_python(case):
    weight = np.asarray(case.weight, dtype=np.float32)
    layout = make_layout(weight.shape[1], *case.numbers)
    assert_same(greedy.solve(weight, layout, PYTHON_KERNELS), case.run(DEEPSEEK))


@pytest.mark.parametrize("case", LARGER, ids=lambda c: f"{c.weight.shape}-{c.numbers}")
def test_all_three_agree_on_larger_problems(case):
    reference = case.run(DEEPSEEK)
    assert_same(case.run(greedy.rebalance_experts), reference)
    assert_same(case.run(greedy_numpy.rebalance_experts), reference)


def test_negative_zero_is_zero():
    plus, minus = (Case(np.array([[5.0, z, 1.0, z]]), 6, 1, 1, 2) for z in (0.0, -0.0))
    assert_same(minus.run(greedy.rebalance_experts), plus.run(greedy.rebalance_experts))


def test_greedy_answers_in_numpy_where_numba_is_missing(monkeypatch):
    def absent(package):
        raise ModuleNotFoundError(package)

    greedy.warmup.cache_clear()
    monkeypatch.setattr(importlib, "import_module", absent)
    assert not greedy.is_warm()
    with pytest.raises(MissingDependency, match=r"numba.*eplb-opt\[search\]"):
        greedy.warmup()
    assert_same(README.run(greedy.rebalance_experts), README.run(greedy_numpy.rebalance_experts))


def test_warmup_makes_it_warm():
    greedy.warmup()
    assert greedy.is_warm()


def test_a_cache_that_fails_costs_one_warning(monkeypatch, caplog):
    numba = pytest.importorskip("numba")
    compile_really = numba.njit
    asked = []

    def no_cache(signature, cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compile_really(signature, **options)

    monkeypatch.setattr(numba, "njit", no_cache)
    compiled.warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, logger="heuristics"):
        for _ in range(2):
            kernel = compiled.compile_kernel(add_one, "void(int64[::1])")
    numbers = np.zeros(3, dtype=np.int64)
    kernel(numbers)
    assert numbers.tolist() == [1, 1, 1]
    assert asked == [True, False, True, False]
    assert len(caplog.records) == 1


def add_one(numbers):
    for index in range(len(numbers)):
        numbers[index] += 1


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
