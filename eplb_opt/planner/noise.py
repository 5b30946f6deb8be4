"""How much noise a designed placement is to withstand: chosen by what holds on loads left out.

Too little and the plan fits the known loads alone; too much and copies are wasted on loads that do
not come. Each size is tried on a few layers: planned without one of the scenarios,
scored on it. Of the sizes that hold as well as the best one the largest is taken.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from math import isinf
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement import scoring

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from eplb_opt.clock import Budget
    from eplb_opt.problem.problem import Problem

#: Sizes to choose from, the standard deviation of a factor's logarithm.
SIZES = (0.2, 0.3, 0.5)
#: Taken where there are too few scenarios, or is too little time, to choose.
DEFAULT_SIZE = 0.3
#: Choosing takes SHARE of the call's time in all, or EFFORT_SHARE of its effort in each run.
SHARE, EFFORT_SHARE = 0.12, 0.25
#: A shorter run says nothing.
MIN_SECONDS = 0.04
MAX_LAYERS, MAX_FOLDS, MIN_SCENARIOS = 4, 3, 3
#: Balancedness that is as good as the best.
TOLERANCE = 0.005


@dataclass(frozen=True)
class NoiseChoice:
    """The size taken, and the mean held-out balancedness of each that was tried."""

    size: float
    held_out: dict[float, float]


def choose_noise(problem: Problem, placed: np.ndarray, budget: Budget) -> NoiseChoice:
    """The size of the noise to plan for.

    Parameters
    ----------
    problem
        A problem under optimal dispatch.
    placed
        int64 [num_layers, num_slots], what every design starts from.
    budget
        What the whole call may spend; choosing takes a part of it.
    """
    if not problem.has_scenarios:
        return NoiseChoice(0.0, {})
    counted = [i for i, share in enumerate(problem.shares) if share]
    if len(counted) == 1:
        return NoiseChoice(0.0, {})  # one load, as without scenarios
    if len(counted) < MIN_SCENARIOS:
        return NoiseChoice(DEFAULT_SIZE, {})
    layers = _spread(problem.num_layers, MAX_LAYERS)
    folds = [counted[i] for i in _spread(len(counted), MAX_FOLDS)]
    trials = list(product(SIZES, layers, folds))
    seconds = budget.deadline.remaining * SHARE * budget.workers / len(trials)
    if isinf(seconds):
        seconds = 1.0
    if budget.effort is None and seconds < MIN_SECONDS:
        return NoiseChoice(DEFAULT_SIZE, {})
    if budget.effort == 0:
        return NoiseChoice(DEFAULT_SIZE, {})

    def trial(size: float, layer_idx: int, fold: int) -> float:
        return _held_out(problem.layer(layer_idx), placed[layer_idx], size, fold, budget, seconds)

    with ThreadPoolExecutor(budget.workers, thread_name_prefix="eplb-opt") as pool:
        scores = list(pool.map(lambda arguments: trial(*arguments), trials))
    means = np.array(scores).reshape(len(SIZES), -1).mean(axis=1)
    held_out = dict(zip(SIZES, means.tolist(), strict=True))
    good = [size for size, mean in held_out.items() if mean >= means.max() - TOLERANCE]
    return NoiseChoice(max(good), held_out)


def price_of_noise(
    noise: float, before: Sequence[Fraction], after: Sequence[Fraction]
) -> str | None:
    """What is to be said where noise made layers worse on the known loads; None where it did not.

    Parameters
    ----------
    noise
        The size planned for.
    before, after
        [num_layers], exact objectives of the first plan and of the answer.
    """
    worse = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if new > old]
    if not worse:
        return None
    most = max(float(after[i] / before[i]) - 1 if before[i] else 0.0 for i in worse)
    return (
        f"noise={noise:g}: {len(worse)} of {len(after)} layers hold for other loads too, and are "
        f"up to {most:.2%} above the greedy's plan on the known ones. noise=0 plans for "
        "these alone."
    )


def _held_out(
    problem: Problem, start: np.ndarray, size: float, fold: int, budget: Budget, seconds: float
) -> float:
    """Balancedness on one scenario of a layer planned on the others."""
    from eplb_opt.search.annealing.design import DesignSearch
    from eplb_opt.search.annealing.solvers import DESIGN_SLICES_PER_EFFORT

    search = DesignSearch(problem.without_scenario(fold), start, budget.seed, size)
    if search.is_trivial:
        return 1.0
    search.settle()
    if budget.effort is None:
        search.run_until(budget.deadline.sooner(seconds))
    else:
        search.run_slices(max(int(budget.effort * DESIGN_SLICES_PER_EFFORT * EFFORT_SHARE), 1))
    ratio = scoring.scenario_ratios(problem, search.placed()[None])[fold][0]
    return float(1 / ratio)


def _spread(num: int, most: int) -> list[int]:
    """At most `most` of the numbers 0..num - 1, evenly spread."""
    return sorted({int(i) for i in np.linspace(0, num - 1, min(num, most)).round().tolist()})
