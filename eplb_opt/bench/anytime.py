"""What more time brings: the serving call's gap from a millisecond to ten seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench.hot import Model
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.engines.rebalance import rebalance_experts
from eplb_opt.planner.evaluate import evaluate
from eplb_opt.problem.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Seconds.
LIMITS = (0.001, 0.002, 0.005, 0.02, 0.06, 0.2, 0.6, 2.0, 10.0)
MODEL = Model("deepseek-v3")
MACHINES = ("288x32", "288x72", "288x144", "320x64", "288x32/4/8")


@dataclass(frozen=True)
class AnytimeRow:
    """One call.

    Parameters
    ----------
    machine
        Slots and GPUs, as `Machine.parse` reads them.
    time_limit
        Seconds that the call was given.
    seconds
        Seconds that it took.
    gap
        Largest GPU loads over the bounds that hold without search, summed over layers, minus 1.
    rise
        How much larger the gap is than the least of shorter limits; 0 where it is not.
    """

    machine: str
    time_limit: float
    seconds: float
    gap: float
    rise: float


def anytime_rows(
    machines: Sequence[str], limits: Sequence[float], num_layers: int
) -> Iterator[AnytimeRow]:
    """Plan the same loads under ever longer limits."""
    load = MODEL.load()[:num_layers]
    for name in machines:
        machine = Machine.parse(name)
        problem = machine.problem(load)
        bounds = fast_bounds(problem)
        sizes = machine.num_slots, machine.num_groups, machine.num_nodes, machine.num_gpus
        rebalance_experts(load, *sizes, effort=1)  # what a first call loads is no plan's time
        least = np.inf
        for limit in sorted(limits):
            began = time.perf_counter()
            placed = rebalance_experts(load, *sizes, time_limit=limit)[0]
            seconds = time.perf_counter() - began
            gap = evaluate(problem, placed, bounds).model_gap
            yield AnytimeRow(name, limit, seconds, gap, max(gap - least, 0.0))
            least = min(least, gap)
