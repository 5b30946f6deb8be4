"""GPUs and rules of one layer as the machine of the core's annealing.

The core keeps a valid plan valid: it checks each move by the experts that it takes from a GPU and
those that it brings there.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.core import annealing

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: How the core is told that an expert must not stand on a GPU, or that it must.
FORBIDDEN, PINNED = 1, 2
#: The largest ratio of two GPUs' speeds that the core takes.
MAX_SPEEDS = Fraction(2**100)


def speeds_fit(problem: Problem) -> bool:
    """Whether the speeds are so close that float64 holds high powers of loads on all GPUs."""
    return problem.speed_range < MAX_SPEEDS


def machine_of(
    problem: Problem, forbids_colocation: bool, spread: bool = True
) -> annealing.Machine:
    """The GPUs of one layer for the core, and the experts that may stand on them.

    GPUs without a slot are left out, and so are slots that stay empty. Speeds are relative to the
    largest one.

    Parameters
    ----------
    problem
        A problem of one layer.
    forbids_colocation
        Whether no expert may stand twice on a GPU.
    spread
        Whether the core keeps the problem's rule that experts stand on two GPUs or nodes.
    """
    used = problem.open_slots > 0
    rates, unit_speed = problem.whole_speed
    rate = _slowness(rates, int(problem.fastest * unit_speed))[used]
    first = np.concatenate(([0], np.cumsum(problem.open_slots[used])))
    num_slots = int(first[-1])
    node_size = num_slots // problem.num_nodes if problem.is_hierarchical else num_slots
    unit = _units(problem) if spread else np.zeros(0, dtype=np.int64)
    return annealing.Machine(rate, first, _ties(problem, used), unit, node_size, forbids_colocation)


@lru_cache(maxsize=8)
def _slowness(rates: tuple[int, ...], fastest: int) -> np.ndarray:
    """The largest speed over that of each GPU, float64 [num_gpus]; all layers share it."""
    slowness = np.array([float(min(Fraction(fastest, rate), MAX_SPEEDS)) for rate in rates])
    slowness.flags.writeable = False
    return slowness


def _ties(problem: Problem, used: np.ndarray) -> np.ndarray:
    """Forbidden and pinned experts, int8 [num_gpus, num_experts]; no rows where there are none."""
    if problem.pinned is None and problem.forbidden is None:
        return np.zeros((0, problem.num_experts), dtype=np.int8)
    ties = np.zeros((int(used.sum()), problem.num_experts), dtype=np.int8)
    for mask, tie in ((problem.forbidden, FORBIDDEN), (problem.pinned, PINNED)):
        if mask is not None:
            ties[mask[0].T[used]] = tie
    return ties


def _units(problem: Problem) -> np.ndarray:
    """The GPU or node of each open slot, int64; empty where replicas need not be spread."""
    if problem.spread is None:
        return np.zeros(0, dtype=np.int64)
    size = problem.slots_per_node if problem.spread == "node" else problem.slots_per_gpu
    return np.flatnonzero(problem.is_open) // size
