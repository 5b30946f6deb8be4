"""Certificates of the configuration LP: the knapsack is exact, and lies are found."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations_with_replacement

import numpy as np
import pytest

from eplb_opt.certificates import config_lp
from eplb_opt.certificates.certificate import Certificate, CertificateError
from eplb_opt.certificates.config_lp import least_load, verify
from eplb_opt.problem.problem import Problem
from tests.oracle import optimum


def brute_least_load(
    load: list[int],
    num_slots: int,
    num_gpus: int,
    value: list[int],
    below: Fraction,
    count_range: tuple[list[int], list[int]] | None = None,
) -> Fraction:
    """Every multiset of replicas, in rationals."""
    low, high = count_range or ([1] * len(load), [num_slots] * len(load))
    fewest = [max(int(Fraction(w) / below) + 1, low[e]) for e, w in enumerate(load)]
    spare = num_slots - sum(fewest)
    most = [min(c + spare, high[e]) for e, c in enumerate(fewest)]
    if sum(most) < num_slots or any(m < c for c, m in zip(fewest, most, strict=True)):
        return below
    choices = [
        (Fraction(load[e], c), -(-value[e] // c))
        for e in range(len(load))
        for c in range(fewest[e], most[e] + 1)
    ]
    needed = -(-sum(value) // num_gpus)
    least = below
    for num in range(num_slots // num_gpus + 1):
        for pattern in combinations_with_replacement(choices, num):
            if sum(weight for _, weight in pattern) >= needed:
                least = min(least, sum((size for size, _ in pattern), Fraction(0)))
    return least


@pytest.mark.parametrize("seed", range(60))
def test_knapsack_equals_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_gpus, slots_per_gpu = [(2, 2), (2, 3), (3, 3), (2, 4), (4, 1), (1, 5)][seed % 6]
    num_slots = num_gpus * slots_per_gpu
    num_experts = int(rng.integers(1, min(num_slots, 4) + 1))
    load = rng.integers(0, 100, num_experts)
    value = [int(v) for v in rng.integers(0, 100, num_experts)]
    below = Fraction(int(rng.integers(1, 400)), int(rng.integers(1, 7)))
    expected = brute_least_load(load.tolist(), num_slots, num_gpus, value, below)
    found = least_load(load, num_slots, num_gpus, value, below)
    assert found <= expected
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("seed", range(300))
def test_any_values_prove_only_what_holds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_gpus, slots_per_gpu = [(2, 2), (2, 3), (3, 2), (2, 4)][seed % 4]
    num_experts = int(rng.integers(2, 6)) if num_gpus * slots_per_gpu > 5 else 3
    load = rng.integers(0, 50, num_experts) ** 2
    problem = Problem(load[None, :], num_gpus * slots_per_gpu, num_gpus)
    if num_experts > problem.num_slots:
        return
    best = optimum(problem)[0]
    for below in (best / 2, best, best * 2 + 1):
        if below > 0:
            value = [int(v) for v in rng.integers(0, 1000, num_experts)]
            proven = least_load(problem.load[0], problem.num_slots, num_gpus, value, below)
            assert proven <= best


def test_merged_fronts_prove_less_and_never_more(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    load = rng.integers(1, 10**6, 60)
    value = [int(w) * 1000 + int(rng.integers(10**6)) for w in load]
    below = Fraction(int(load.sum()), 16) * Fraction(102, 100)
    exact = least_load(load, 80, 16, value, below)
    monkeypatch.setattr(config_lp, "MAX_SUMS", 40_000)
    assert exact * Fraction(95, 100) < least_load(load, 80, 16, value, below) <= exact


PROBLEM = Problem([[90, 41, 17, 8, 3]], 8, 4)
MEAN = Certificate("config_lp", Fraction(159, 4), {"value": [90, 41, 17, 8, 3]})


def test_loads_as_values_prove_the_mean() -> None:
    big = [w * 2**30 for w in MEAN.data["value"]]  # type: ignore[union-attr]
    bound = Fraction(159, 4) * (1 - Fraction(1, 2**20))
    assert verify(PROBLEM, Certificate("config_lp", bound, {"value": big})) == bound


def test_large_totals_are_exact() -> None:
    load = np.array([2**60, 2**60 + 1, 2**59, 7])
    value = [int(w) >> 10 for w in load]
    bound = Fraction(int(load.sum()), 4) * (1 - Fraction(1, 2**20))
    problem = Problem(load[None, :], 8, 4)
    assert verify(problem, Certificate("config_lp", bound, {"value": value})) == bound


@pytest.mark.parametrize(
    ("bound", "data", "reason"),
    [
        (Fraction(60), {"value": [90, 41, 17, 8, 3]}, "prove"),
        (Fraction(39), {"value": [90, 41, 17, 8]}, "5 values"),
        (Fraction(39), {"value": [90, 41, 17, 8, -3]}, "negative"),
        (Fraction(39), {"value": [2**62, 41, 17, 8, 3]}, "too large"),
        (Fraction(39), {"value": 5}, "one list"),
        (Fraction(39), {}, "one list"),
        (Fraction(39), {"value": [90, 41, 17, 8, 3], "more": 1}, "nothing else"),
        (Fraction(10**30), {"value": [90, 41, 17, 8, 3]}, "prove"),
        (Fraction(1, 3), {"value": [0, 0, 0, 0, 0]}, None),
    ],
)
def test_false_certificates_are_rejected(
    bound: Fraction, data: dict[str, int | list[int]], reason: str | None
) -> None:
    certificate = Certificate("config_lp", bound, data)
    if reason is None:  # so low that the water level alone proves it
        assert verify(PROBLEM, certificate) == bound
        return
    with pytest.raises(CertificateError, match=reason):
        verify(PROBLEM, certificate)


def test_bound_above_the_optimum_is_rejected_for_any_values() -> None:
    rng = np.random.default_rng(0)
    above = optimum(PROBLEM)[0] + Fraction(1, 1000)
    for _ in range(200):
        value = [int(v) for v in rng.integers(0, 10**9, 5)]
        with pytest.raises(CertificateError, match="prove"):
            verify(PROBLEM, Certificate("config_lp", above, {"value": value}))


def test_bound_of_nothing_holds() -> None:
    assert verify(PROBLEM, Certificate("config_lp", Fraction(0), {"value": [0] * 5})) == 0
