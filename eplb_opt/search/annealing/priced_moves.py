"""The best plans of a layer with few moved slots, by annealing with a price for each move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.relabel import slots_kept
from eplb_opt.search.annealing.design import DesignSearch
from eplb_opt.search.annealing.layer import AnnealSearch

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

#: The first and the last price of a moved slot, as shares of the distance of the plan in force from
#: balance, and the number of runs from one to the other.
FIRST_PRICE, LAST_PRICE, RUNS = 0.3, 0.001, 12
#: The first temperature of a run, as a share of the price.
HEAT = 0.2


def plans_with_few_moves(
    problem: Problem,
    current: np.ndarray,
    seed: int,
    deadline: Deadline,
    slices: int | None = None,
) -> list[np.ndarray]:
    """Plans of one layer that trade moved slots for balance, the fewest moves first.

    Each run starts from the plan in force and pays a price for a moved slot; the prices fall
    from run to run. On the way the best plan with each number of moves is kept.

    Parameters
    ----------
    problem
        A problem of one layer.
    current
        int64 [num_slots], the plan in force, which is valid.
    seed
        The seed of the search's random numbers.
    deadline
        The end of the search.
    slices
        The slices of all runs together, as counted work; None under a clock.

    Returns
    -------
    Plans, int64 [num_slots] each; the first is the plan in force.
    """
    held = np.zeros((problem.num_gpus, problem.num_experts), dtype=bool)
    slots = np.flatnonzero(problem.is_open)
    held[slots // problem.slots_per_gpu, current[slots]] = True
    search = _search(problem, current, seed, held)
    if search.is_trivial:
        return [current]
    search.look()
    lacking = float(search.best_value[0]) - 1.0
    ratio = (LAST_PRICE / FIRST_PRICE) ** (1.0 / (RUNS - 1))
    # Rounded, because machines differ in how they round powers.
    prices = [lacking * round(FIRST_PRICE * ratio**i, 9) for i in range(RUNS)]
    for done, price in enumerate(prices):
        if deadline.expired:
            break
        search.restart(current)
        if slices is None:
            search.run_until(deadline.part(1 / (RUNS - done)), price, HEAT * price)
        else:
            search.run_slices(max(slices // RUNS, 1), price, HEAT * price)
    best = np.minimum.accumulate(search.best_value)
    better = np.flatnonzero(np.append(True, best[1:] < best[:-1]))
    rows = [slots_kept(current, search.plan_with_moves(m), problem.num_gpus) for m in better[1:]]
    return [current, *rows]


def _search(
    problem: Problem, current: np.ndarray, seed: int, held: np.ndarray
) -> AnnealSearch | DesignSearch:
    if problem.is_split_freely:
        return DesignSearch(problem, current, seed, held=held)
    return AnnealSearch(problem, current, seed, held)
