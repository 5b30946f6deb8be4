"""The best plans of a layer with few moves where every GPU sends an expert's tokens to one copy.

Each move has a price for which the annealing of `shares` pays, besides load and what crosses nodes.
"""

from __future__ import annotations

from itertools import cycle, product
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.relabel import slots_kept
from eplb_opt.search.annealing.shares import ShareSearch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.clock import Deadline
    from eplb_opt.placement.moves import MovePrice
    from eplb_opt.problem.problem import Problem

#: The first and the last price of a move, as shares of what the best plan gains on the one in
#: force, and the number of prices from one to the other.
FIRST_PRICE, LAST_PRICE, PRICES = 0.3, 0.001, 12
#: The first temperature of a run, as a share of the price; a run cools to 0. Where a layer has so
#: few slots that a move changes much, rounds with more heat take turns with these.
HEAT, FEW_SLOTS, HOT = 0.1, 24, (0.1, 3.0, 30.0)
#: The proposals among 1024 that transfer a copy there.
MANY_TRANSFERS = 300
#: Slices of each run in the first round; a round has twice those of the one before it.
FIRST_SLICES = 2
#: The norms of a run, one after the other: p is 2**doublings.
DOUBLINGS = (5, 6, 7, 8, 9)
#: The gain that is taken for prices where none is known.
LEAST_GAIN = 1e-3


def plans_near(
    layer: Problem,
    current: np.ndarray,
    best: np.ndarray,
    gain: float,
    seed: int,
    deadline: Deadline,
    slices: int | None = None,
    price: MovePrice | None = None,
) -> list[np.ndarray]:
    """Plans of one layer that trade moves for load and for what crosses nodes.

    Rounds of runs begin at the plan in force and at the best one, at prices of a move that fall
    from run to run. Every round takes twice the time of the one before, so that a longer search
    has seen all that a shorter one has.

    Parameters
    ----------
    layer
        A problem of one layer whose GPUs send.
    current, best
        int64 [num_slots] each, the plan in force and the best one known, both valid.
    gain
        By how much the best one is better, as a share of what the plan in force is worth.
    seed
        The seed of the search's random numbers.
    deadline
        The end of the search.
    slices
        The slices of all runs together, as counted work; None under a clock.
    price
        What moves count; all alike by default.

    Returns
    -------
    Plans, int64 [num_slots] each, not yet scored exactly; what stays on a GPU keeps its slot.
    """
    # Where moves across nodes are dear, plans with few moves of any kind are found in less time.
    is_dear = price is not None and price.across > 1
    tables = [
        counts_of_moves(layer, current, each) for each in ((None, price) if is_dear else (None,))
    ]
    if not tables[0][layer.open_slots > 0].any():
        return []  # every expert is on every GPU: nothing can move
    searches = [ShareSearch(layer, current, seed, moves) for moves in tables]
    if searches[0].is_trivial:
        return []
    for search in searches:
        search.runs.step_at(0.0, 0.0, 1)
        if layer.num_slots <= FEW_SLOTS:
            search.transfers = MANY_TRANSFERS
    whole = searches[0].best * max(gain, LEAST_GAIN)
    length, left = FIRST_SLICES, np.inf if slices is None else slices
    turns = zip(cycle(searches), _heats(layer), strict=False)
    while left > 0 and not deadline.expired:
        search, heat = next(turns)
        for part, start in product(_ladder(), (current, best)):
            run = int(min(length, left))
            search.restart(start)
            _run(search, whole * part, heat, run, deadline)
            left -= run
        length *= 2
    rows = [row for search in searches for row in _best_rows(search)]
    return [slots_kept(current, row, layer.num_gpus) for row in rows]


def _ladder() -> list[float]:
    """The prices of a move in falling order; rounded, because machines differ in powers."""
    ratio = (LAST_PRICE / FIRST_PRICE) ** (1.0 / (PRICES - 1))
    return [round(FIRST_PRICE * ratio**i, 9) for i in range(PRICES)]


def _best_rows(search: ShareSearch) -> list[np.ndarray]:
    """The plans that no other beats with as few moves."""
    values = np.minimum.accumulate(search.best_value)
    better = np.flatnonzero(np.append(True, values[1:] < values[:-1]))
    return [search.plan_with_moves(int(m)) for m in better if np.isfinite(values[m])]


def counts_of_moves(
    layer: Problem, current: np.ndarray, price: MovePrice | None = None
) -> np.ndarray:
    """What each expert counts that is new on a GPU, int64 [num_gpus, num_experts]; 0 where it was.

    Parameters
    ----------
    layer
        A problem of one layer.
    current
        int64 [num_slots], the plan in force.
    price
        What moves count; all alike by default.
    """
    held = np.zeros((layer.num_gpus, layer.num_experts), dtype=bool)
    slots = np.flatnonzero(current >= 0)
    held[slots // layer.slots_per_gpu, current[slots]] = True
    counts = np.ones(held.shape, dtype=np.int64)
    if price is not None and price.across > 1:
        node = price.node_of_gpu
        stood = np.zeros((int(node.max()) + 1, layer.num_experts), dtype=bool)
        np.logical_or.at(stood, node, held)
        counts = np.where(stood[node], 1, price.across)
    counts[held] = 0
    return np.ascontiguousarray(counts)


def _heats(layer: Problem) -> Iterator[float]:
    """The first temperature of each round's runs, as shares of their prices."""
    return cycle(HOT if layer.num_slots <= FEW_SLOTS else (HEAT,))


def _run(search: ShareSearch, price: float, heat: float, slices: int, deadline: Deadline) -> None:
    """One run that cools to 0, as many slices in each norm."""
    each = max(-(-slices // len(DOUBLINGS)), 1)
    for done in range(0, slices, each):
        if deadline.expired:
            return
        rest = 1.0 - done / slices
        search.advance(
            DOUBLINGS[done * len(DOUBLINGS) // slices],
            heat * price * rest * rest,
            min(each, slices - done),
            deadline.remaining,
            price,
        )
