"""Lower bounds on the largest GPU cost of a problem with costs, each with the reason it holds.

Costs are whole numbers of a small unit, and so is every GPU's sum: all bounds are whole numbers.

Where every GPU sends to one replica, `replica_cost` has what each of c replicas costs at least on
average. The total is then at least that of these costs; and as costs rise with tokens the dearest
of c replicas costs no less. So all three bounds hold with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt import core

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: More than any total: costs of a layer add up to less than 2**62.
NEVER = 2**62
#: Sums that the exact least totals may take in all; beyond it a bound of them has to do.
MAX_SUMS = 200_000_000
#: Sums that are held at a time.
BLOCK = 2**22
#: Sums that take about ten milliseconds.
QUICK_SUMS = 20_000_000
#: Halvings of the range of prices of a slot.
PRICE_STEPS = 62


def total_bound(problem: Problem) -> list[int]:
    """The least that all replicas can cost together, over the GPUs, rounded up, for each layer.

    Some GPU costs at least the mean. The counts decide the total, and the least total over all
    counts that fill the slots is found exactly: expert by expert, for each number of slots taken.
    Unlike a load, a total may rise with the replicas: another copy of an expert whose weights are
    read anyway costs one more reading.
    """
    return _over_gpus(problem, least_totals(problem.replica_cost, _spare(problem)))


def has_quick_totals(problem: Problem) -> bool:
    """Whether `total_bound` takes no more than about ten milliseconds."""
    return problem.replica_cost.size * (_spare(problem) + 1) <= QUICK_SUMS


def level_bound(problem: Problem) -> list[int]:
    """The least T at which each expert has a count that fits a GPU of T, for each layer.

    Some GPU holds the dearest replica, and its other slots hold replicas that cost at least the
    least of all entries each. So an expert needs the least count c whose cost is at most T without
    these; where the counts exceed the slots, T is too small.
    """
    others = (int(problem.open_slots[problem.open_slots > 0].min()) - 1) * _least(problem)
    levels = least_levels(problem.replica_cost, _open(problem))
    return [int(level) for level in levels + others]


def counts_bound(problem: Problem, known: list[int]) -> list[int]:
    """The least T at which counts whose replicas fit a GPU of T cost at most T a GPU in all.

    Both of the arguments above at once: every replica fits its GPU beside the cheapest others, and
    all of them together cost at most T times the GPUs. Between two entries of the table the least
    total does not change, so the least T is found among the entries by halving and is exact.

    Parameters
    ----------
    problem
        A problem with costs.
    known
        [num_layers], bounds of the two kinds above, from which the search starts.
    """
    spare, gpus = _spare(problem), _gpus(problem)
    others = (int(problem.open_slots[problem.open_slots > 0].min()) - 1) * _least(problem)
    first = np.array(known, dtype=np.int64)
    totals = least_totals(problem.replica_cost, spare, first - others)
    found = first.copy()
    for layer_idx in np.flatnonzero(totals > gpus * first).tolist():
        costs, other = problem.replica_cost[layer_idx], int(others[layer_idx])
        found[layer_idx] = _least_fitting(costs, spare, gpus, other, int(first[layer_idx]))
    return [int(value) for value in found]


def least_totals(cost: np.ndarray, spare: int, limit: np.ndarray | None = None) -> np.ndarray:
    """The least total cost of counts that fill the slots, int64 [num_layers]; `NEVER` for none.

    Where the exact sums would take seconds, a bound that prices slots: for any price p of a slot
    the total is at least the sum over the experts of min_c (c cost - p c), plus p times the slots.

    Parameters
    ----------
    cost
        int64 [num_layers, num_experts, spare + 2], entry c for c replicas.
    spare
        Slots beyond one an expert.
    limit
        int64 [num_layers], the most that a replica may cost; None for no limit.
    """
    copies = np.arange(1, spare + 2)
    together = cost[:, :, 1:] * copies
    if limit is not None:
        together = np.where(cost[:, :, 1:] <= limit[:, None, None], together, NEVER - 1)
    if together.size * (spare + 1) > MAX_SUMS:
        return _priced_totals(together, spare)
    found = np.empty(len(together), dtype=np.int64)
    core.bounds.least_totals(np.ascontiguousarray(together.reshape(-1, spare + 1)), found)
    return found


def exact_totals(together: np.ndarray) -> list[np.ndarray]:
    """Least totals of the experts up to each one, by spare slots taken, [num_layers, spare + 1].

    Each is the least over the slots that the last expert takes (a min-plus convolution).
    """
    num_layers, num_experts, width = together.shape
    rows = [np.full((num_layers, width), NEVER, dtype=np.int64)]
    rows[0][:, 0] = 0
    # Row j of this view has the totals before with j, j - 1, ... slots, and never below 0.
    before = np.full((num_layers, 2 * width - 1), NEVER, dtype=np.int64)
    taken = np.lib.stride_tricks.sliding_window_view(before, width, axis=1)[:, :, ::-1]
    block = max(BLOCK // (num_layers * width), 1)
    for expert_idx in range(num_experts):
        before[:, width - 1 :] = rows[-1]
        own = together[:, None, expert_idx]
        parts = [slice(first, first + block) for first in range(0, width, block)]
        best = [(taken[:, part] + own).min(axis=2) for part in parts]
        rows.append(np.minimum(np.concatenate(best, axis=1), NEVER))
    return rows


def _priced_totals(together: np.ndarray, spare: int) -> np.ndarray:
    """The best of the priced bounds that halving the range of prices comes upon, int64."""
    copies = np.arange(1, spare + 2)
    found = np.zeros(len(together), dtype=np.int64)
    for layer_idx, totals in enumerate(together):
        if (totals.min(axis=1) >= NEVER - 1).any():
            found[layer_idx] = NEVER
            continue
        usable = np.where(totals < NEVER - 1, totals, NEVER // (2 * spare + 2))
        room = spare + len(totals)
        # Prices beyond the largest cost change nothing, and these keep the sums within int64.
        low, high = -int(usable.max()) - 1, int(usable.max()) + 1
        for _ in range(PRICE_STEPS):
            price = (low + high) // 2
            if abs(price) * room >= NEVER:
                low, high = low // 2, high // 2
                continue
            reduced = usable - price * copies
            best = reduced.argmin(axis=1)
            value = sum(reduced.min(axis=1).tolist()) + price * room
            found[layer_idx] = max(int(found[layer_idx]), value)
            taken = int(copies[best].sum())
            low, high = (price, high) if taken < room else (low, price)
            if taken == room or high - low <= 1:
                break
    return found


def least_levels(cost: np.ndarray, slots: int) -> np.ndarray:
    """The least entry T of each layer with sum_e min{c: cost <= T} <= slots, int64 [num_layers].

    With the least of c and fewer replicas in the place of each cost, an expert needs one replica
    more for each of its entries above T. So T is the largest entry but those that the spare slots
    allow to be above it, and it is no less than what some expert costs in any number.

    Parameters
    ----------
    cost
        int64 [num_layers, num_experts, most + 1], entry c for c replicas.
    slots
        The slots, at least one an expert.
    """
    least = cost[:, :, 1:]
    if (least[:, :, 1:] > least[:, :, :-1]).any():
        least = np.minimum.accumulate(least, axis=2)
    all_there = least[:, :, -1].max(axis=1)
    entries = least.reshape(len(least), -1)
    place = entries.shape[1] - 1 - (slots - cost.shape[1])
    if place < 0:
        return np.asarray(all_there)
    return np.asarray(np.maximum(np.partition(entries, place, axis=1)[:, place], all_there))


def _least_fitting(costs: np.ndarray, spare: int, gpus: int, other: int, first: int) -> int:
    """The least T of one layer from `first` on, which does not fit."""

    def total(level: int) -> int:
        return int(least_totals(costs[None], spare, np.array([level - other]))[0])

    entries = np.unique(costs[:, 1:]) + other
    values = [first, *entries[entries > first].tolist()]
    low, high = 0, len(values)  # values[low] does not fit; values[high], or beyond all, does
    while high - low > 1:
        middle = (low + high) // 2
        fits = total(values[middle]) <= gpus * values[middle]
        low, high = (low, middle) if fits else (middle, high)
    # Between two entries the total stays what it is at the lower one.
    level = -(-total(values[low]) // gpus)
    return level if high == len(values) else min(level, values[high])


def _over_gpus(problem: Problem, totals: np.ndarray) -> list[int]:
    return [-(-total // _gpus(problem)) for total in totals.tolist()]


def _least(problem: Problem) -> np.ndarray:
    """The least that a replica of each layer can cost, int64 [num_layers]."""
    if problem.costs is not None and problem.costs.sent is not None:
        return np.asarray(problem.costs.sent.min(axis=(1, 2)))
    return np.asarray(problem.replica_cost[:, :, 1:].min(axis=(1, 2)))


def _open(problem: Problem) -> int:
    return int(problem.open_slots.sum())


def _spare(problem: Problem) -> int:
    return _open(problem) - problem.num_experts


def _gpus(problem: Problem) -> int:
    """GPUs that hold an expert."""
    return int((problem.open_slots > 0).sum())
