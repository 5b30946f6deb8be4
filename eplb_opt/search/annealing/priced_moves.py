"""The best plans of a layer with few moved slots: annealing with a price a move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.relabel import slots_kept
from eplb_opt.search.annealing.design import DesignSearch
from eplb_opt.search.annealing.layer import AnnealSearch

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

#: Prices of a moved slot, from the first to the last in this many runs, as parts of what the plan
#: in force lacks to balance.
FIRST_PRICE, LAST_PRICE, RUNS = 0.3, 0.001, 12
#: A run begins at this share of the price, for a move pays when it gains more than that.
HEAT = 0.2


def layer_front(
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
        Of one layer.
    current
        int64 [num_slots], the plan in force; valid.
    seed
        Of the search's randomness.
    deadline
        The end of the search.
    slices
        Counted work instead of time.

    Returns
    -------
    int64 [num_slots] each; the first is the plan in force.
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
    # On a grid, for powers are not rounded alike everywhere.
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
    rows = [slots_kept(current, search.opened(m), problem.num_gpus) for m in better[1:]]
    return [current, *rows]


def _search(
    problem: Problem, current: np.ndarray, seed: int, held: np.ndarray
) -> AnnealSearch | DesignSearch:
    if problem.is_split_freely:
        return DesignSearch(problem, current, seed, held=held)
    return AnnealSearch(problem, current, seed, held)
