"""Rules of the GPUs inside the annealing: what a move must not break.

A plan that obeys them stays one: each move is judged by the experts that it takes from a GPU and
by those that it brings there. Arrays as in `anneal`; `ties` holds 0 or one of the marks below.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.core import annealing
from eplb_opt.search.jit import jit

if TYPE_CHECKING:
    from eplb_opt.problem import Problem

#: The expert must not stand on the GPU; it must.
FORBIDDEN, PINNED = 1, 2
#: The fastest GPU is at most so many times as fast as the slowest.
MAX_SPEEDS = Fraction(2**100)


def fastest(problem: Problem) -> Fraction:
    """The largest speed of a GPU with slots."""
    speeds = zip(problem.speed, problem.open_slots.tolist(), strict=True)
    return max(speed for speed, slots in speeds if slots)


def speeds_fit(problem: Problem) -> bool:
    """Whether float64 holds high powers of loads on all GPUs."""
    speeds = zip(problem.speed, problem.open_slots.tolist(), strict=True)
    return all(fastest(problem) < MAX_SPEEDS * speed for speed, slots in speeds if slots)


def machine_of(problem: Problem, apart: bool, spread: bool = True) -> annealing.Machine:
    """The GPUs of one layer for the core, and what may stand on them.

    GPUs without a slot are left out, and so are slots that stay empty. Speeds are over the largest.

    Parameters
    ----------
    problem
        Of one layer.
    apart
        Whether no expert may stand twice on a GPU.
    spread
        Whether the problem's rule that experts stand on two GPUs or nodes is looked at.
    """
    rate, first, ties, unit = kernel_rules(problem)
    num_slots = int(first[-1])
    node_size = num_slots // problem.num_nodes if problem.is_hierarchical else num_slots
    nowhere = np.zeros(0, dtype=np.int64)
    return annealing.Machine(rate, first, ties, unit if spread else nowhere, node_size, apart)


def kernel_rules(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The kernels' `rate`, `first`, `ties` and `unit` of one layer; see `anneal`.

    GPUs without a slot are left out, and so are slots that stay empty. Speeds are over the largest.
    """
    used = problem.open_slots > 0
    quickest = fastest(problem)
    rate = np.array([float(min(quickest / speed, MAX_SPEEDS)) for speed in problem.speed])[used]
    first = np.concatenate(([0], np.cumsum(problem.open_slots[used])))
    ties = np.zeros((0, problem.num_experts), dtype=np.int8)
    if problem.pinned is not None or problem.forbidden is not None:
        ties = np.zeros((int(used.sum()), problem.num_experts), dtype=np.int8)
        for mask, mark in ((problem.forbidden, FORBIDDEN), (problem.pinned, PINNED)):
            if mask is not None:
                ties[mask[0].T[used]] = mark
    unit = np.zeros(0, dtype=np.int64)
    if problem.spread is not None:
        size = problem.slots_per_node if problem.spread == "node" else problem.slots_per_gpu
        unit = np.flatnonzero(problem.is_open) // size
    return rate, first, ties, unit


@jit
def stands(slot, first, g, expert):  # type: ignore[no-untyped-def]
    """Whether an expert stands on a GPU."""
    for p in range(first[g], first[g + 1]):
        if slot[p] == expert:
            return True
    return False


@jit
def may_leave(slot, first, ties, p, g):  # type: ignore[no-untyped-def]
    """Whether slot p of GPU g holds no pinned expert, or not the only replica of it there."""
    if ties[g, slot[p]] != PINNED:
        return True
    for other in range(first[g], first[g + 1]):
        if other != p and slot[other] == slot[p]:
            return True
    return False


@jit
def stays_spread(slot, unit, p, to):  # type: ignore[no-untyped-def]
    """Whether the expert of slot p has two units when it leaves it for unit `to` (-1: for none)."""
    one = to
    for other in range(slot.shape[0]):
        if other == p or slot[other] != slot[p]:
            continue
        if one == -1:
            one = unit[other]
        elif unit[other] != one:
            return True
    return False


@jit
def may_swap(slot, first, ties, unit, p, q, g, h):  # type: ignore[no-untyped-def]
    """Whether the rules let slot p of GPU g and slot q of GPU h exchange their experts."""
    if ties.shape[0] > 0:
        if ties[h, slot[p]] == FORBIDDEN or ties[g, slot[q]] == FORBIDDEN:
            return False
        if not (may_leave(slot, first, ties, p, g) and may_leave(slot, first, ties, q, h)):
            return False
    if unit.shape[0] == 0 or unit[p] == unit[q]:
        return True
    return stays_spread(slot, unit, p, unit[q]) and stays_spread(slot, unit, q, unit[p])


@jit
def may_turn(slot, first, ties, unit, q, h, new):  # type: ignore[no-untyped-def]
    """Whether the rules let slot q of GPU h hold another expert instead of its own."""
    if ties.shape[0] > 0 and (ties[h, new] == FORBIDDEN or not may_leave(slot, first, ties, q, h)):
        return False
    return unit.shape[0] == 0 or stays_spread(slot, unit, q, -1)
