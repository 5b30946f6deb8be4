"""Instances with two slots a GPU, and their optimum by trying all counts, in rationals."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import combinations, pairwise

import numpy as np

from eplb_opt.problem.problem import Problem


@cache
def brute_force(load: tuple[int, ...], num_slots: int) -> Fraction:
    """The optimum over all counts; for given counts the heaviest replica meets the lightest."""
    best = None
    for cuts in combinations(range(1, num_slots), len(load) - 1):
        ends = (0, *cuts, num_slots)
        counts = [b - a for a, b in pairwise(ends)]
        shares = sorted(Fraction(w, c) for w, c in zip(load, counts, strict=True) for _ in range(c))
        half = num_slots // 2
        value = max(shares[i] + shares[-1 - i] for i in range(half))
        best = value if best is None else min(best, value)
    assert best is not None
    return best


def random_load(seed: int, num_experts: int) -> np.ndarray:
    """Ties and zeros, hundreds, squares, or loads near the end of int64, by the seed."""
    rng = np.random.default_rng(seed)
    wide = (rng.lognormal(0, 1.5, num_experts) * 1e16).astype(np.int64)
    kinds = (
        rng.integers(0, 6, num_experts),
        rng.integers(0, 1000, num_experts),
        rng.integers(0, 60, num_experts) ** 2,
        wide,
    )
    return np.asarray(kinds[seed % 4].astype(np.int64))


def random_pairs(seed: int) -> Problem:
    """At most six experts on at most five GPUs."""
    rng = np.random.default_rng(seed)
    num_gpus = int(rng.integers(1, 6))
    num_experts = int(rng.integers(1, min(2 * num_gpus, 6) + 1))
    return Problem(random_load(seed, num_experts)[None, :], 2 * num_gpus, num_gpus)


def counts_of(rng: np.random.Generator, num_experts: int, num_slots: int) -> np.ndarray:
    """Random counts that use all slots."""
    cuts = np.sort(rng.choice(np.arange(1, num_slots), num_experts - 1, replace=False))
    return np.diff(np.concatenate([[0], cuts, [num_slots]]))


def best_value(problem: Problem) -> Fraction:
    return brute_force(tuple(problem.load[0].tolist()), problem.num_slots)


def lognormal(sigma: float, seed: int, num_experts: int, num_slots: int) -> Problem:
    """A layer of about a million tokens."""
    weight = np.random.default_rng(seed).lognormal(0, sigma, num_experts)
    load = np.floor(1e6 * weight / weight.sum()).astype(np.int64)
    return Problem(load[None, :], num_slots, num_slots // 2)
