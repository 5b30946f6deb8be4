"""Tiny problems of every kind that the oracle can solve, and a few larger ones."""

from __future__ import annotations

import numpy as np

from eplb_opt.problem.problem import Problem

TINY: dict[str, Problem] = {
    "flat": Problem([[7, 5, 3, 2]], 6, 3),
    "flat, larger": Problem([[90, 41, 17, 8, 3]], 8, 4),
    "flat, four slots a gpu": Problem([[31, 30, 29, 11, 2]], 8, 2),
    "hierarchical": Problem([[9, 1, 4, 6]], 6, 2, num_nodes=2, num_groups=2),
    "hierarchical, two groups a node": Problem([[17, 2, 9, 8]], 8, 4, num_nodes=2, num_groups=4),
    "hierarchical, one group heavy": Problem([[50, 40, 1, 2]], 8, 4, num_nodes=2, num_groups=2),
    "no colocation": Problem([[60, 5, 4]], 6, 3, colocation="forbid"),
    "no colocation, tight": Problem([[40, 1, 1, 1]], 6, 2, colocation="forbid"),
    "no colocation, hierarchical": Problem(
        [[30, 1, 9, 8]], 8, 4, num_nodes=2, num_groups=2, colocation="forbid"
    ),
    "zero loads among others": Problem([[0, 12, 0, 5]], 6, 3),
    "all zero": Problem([[0, 0, 0]], 4, 2),
    "one loaded expert": Problem([[0, 0, 13, 0, 0]], 8, 4),
    "one expert": Problem([[11]], 4, 2),
    "one gpu": Problem([[5, 4, 3]], 5, 1),
    "one slot a gpu": Problem([[50, 20, 10]], 7, 7),
    "slots equal experts": Problem([[8, 7, 6, 5, 4, 3]], 6, 3),
    "equal loads": Problem([[10, 10, 10, 10]], 6, 3),
    "huge skew": Problem([[10**9, 3, 2, 1]], 8, 4),
    "near 2**60": Problem([[2**60 + 7, 2**59 + 5, 2**58 - 1]], 6, 3),
    "near 2**61": Problem([[2**61 - 1, 2**60 + 1, 3, 1]], 8, 4),
    "primes": Problem([[100003, 70001, 30011, 10007]], 8, 4),
}


def random_tiny(seed: int) -> Problem:
    """A problem within the oracle's reach: flat, hierarchical or no colocation, by the seed."""
    rng = np.random.default_rng(seed)
    kind = ("flat", "hierarchical", "no colocation")[seed % 3]
    if kind == "hierarchical":
        num_groups = int(rng.choice([2, 4]))
        load = rng.integers(0, 60, size=(1, 4)) ** int(rng.integers(1, 3))
        return Problem(load, 8, 4, num_nodes=2, num_groups=num_groups)
    num_gpus, slots_per_gpu = [(2, 2), (2, 3), (3, 2), (4, 2), (2, 4)][rng.integers(5)]
    num_slots = num_gpus * slots_per_gpu
    fewest = slots_per_gpu if kind == "no colocation" else 1
    num_experts = int(rng.integers(fewest, min(num_slots, 5) + 1))
    load = rng.integers(0, 60, size=(1, num_experts)) ** int(rng.integers(1, 3))
    return Problem(
        load, num_slots, num_gpus, colocation="forbid" if kind == "no colocation" else "allow"
    )


def zipf(num_experts: int, num_slots: int, num_gpus: int) -> Problem:
    """A layer with loads 1 / rank, about a million tokens in all."""
    weight = 1 / np.arange(1, num_experts + 1)
    load = np.round(1e6 * weight / weight.sum()).astype(np.int64)
    return Problem(load[None, :], num_slots, num_gpus)


_DOCUMENTED = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
]
#: Worked examples: problem of one layer, and its proven optimum as (numerator, denominator).
WORKED: dict[str, tuple[Problem, tuple[int, int]]] = {
    "first, flat": (Problem(_DOCUMENTED[:1], 16, 8), (136, 1)),
    "second, flat": (Problem(_DOCUMENTED[1:], 16, 8), (172, 1)),
    "first, hierarchical": (
        Problem(_DOCUMENTED[:1], 16, 8, num_nodes=2, num_groups=4),
        (151, 1),
    ),
    "second, hierarchical": (
        Problem(_DOCUMENTED[1:], 16, 8, num_nodes=2, num_groups=4),
        (359, 2),
    ),
    "two heavy experts": (
        Problem([[600, 560, 120, 120, 20, 10, 10, 10]], 16, 8),
        (590, 3),
    ),
}
