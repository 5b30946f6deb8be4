"""Columns for the configuration LP from dual values: the best completions of partial patterns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from eplb_opt.models.config_lp_fronts import (
    FULL,
    Front,
    gridded_front,
    join_ends,
    joined_front,
    single_front,
    thinned_front,
)
from eplb_opt.search.jit import jit

#: Pairs of rows that are worth sorting their sums.
MAX_JOINED = 60_000
#: Cells of the grid that serves instead, for each row that thinning leaves of it.
FINER = 16


class Window(NamedTuple):
    """Counts that experts may have, from `low` to `high`, int64 [num_experts] each."""

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def open(cls, num_experts: int, num_slots: int) -> Window:
        """All counts."""
        return cls(np.ones(num_experts, np.int64), np.full(num_experts, num_slots, np.int64))

    def below(self, expert_idx: int, count: int) -> Window:
        """At most so many of an expert."""
        high = self.high.copy()
        high[expert_idx] = count
        return Window(self.low, high)

    def above(self, expert_idx: int, count: int) -> Window:
        """More than so many of an expert."""
        low = self.low.copy()
        low[expert_idx] = count + 1
        return Window(low, self.high)


@dataclass(eq=False)
class Pricer:
    """The patterns of one target load, by dual values.

    Parameters
    ----------
    load
        float64 [num_experts], in target loads.
    num_slots, slots_per_gpu
        Of the node.
    window
        Counts that experts may have.

    Attributes
    ----------
    fewest, most
        int64 [num_experts], of the counts that the window, the target and the slots leave.
    """

    load: np.ndarray
    num_slots: int
    slots_per_gpu: int
    window: Window
    fewest: np.ndarray = field(init=False)
    most: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        # A load a hair above a multiple may be rounded down.
        fewest = np.maximum(np.ceil(self.load / FULL), 1).astype(np.int64)
        self.fewest = np.maximum(fewest, self.window.low)
        spare = int(self.num_slots - self.fewest.sum())
        self.most = np.minimum(self.fewest + spare, self.window.high)

    @property
    def has_counts(self) -> bool:
        """Whether any counts add up to the slots."""
        return bool((self.fewest <= self.most).all() and self.most.sum() >= self.num_slots)

    def price(self, value: np.ndarray, length: int, turn: int, exact: bool) -> Priced:
        """Join the fronts of half the slots.

        Parameters
        ----------
        value
            float64 [num_experts], dual values.
        length
            Fronts are thinned to it; they cost its square.
        turn
            Which rows are thinned out.
        exact
            Whether fronts that are short enough are complete; else they are coarse, and fast.
        """
        fronts: dict[int, Front] = {}

        def front(num: int) -> Front:
            if num not in fronts:
                fronts[num] = thinned_front(grow(num), length, turn)
            return fronts[num]

        def grow(num: int) -> Front:
            if num == 1:
                return single_front(self.load, value, self.fewest, self.most)
            a, b = front(num - num // 2), front(num // 2)
            if exact and len(a.size) * len(b.size) <= MAX_JOINED:
                return joined_front(a, b)
            return gridded_front(a, b, (FINER if exact else 2) * length, turn)

        half = self.slots_per_gpu // 2
        a = front(self.slots_per_gpu - half)
        b = (
            front(half)
            if half
            else Front(*(np.zeros(1, dtype=t) for t in (float, float, int, int)))
        )
        partner = join_ends(a.size, a.weight, b.size, b.weight)
        return Priced(a.weight + b.weight[partner], partner, fronts, self.slots_per_gpu)


@dataclass(frozen=True, eq=False)
class Priced:
    """The best completion of every partial pattern.

    Parameters
    ----------
    weight
        float64 [length], of the whole patterns.
    partner
        int64 [length], row of the other front.
    fronts
        By number of slots.
    slots_per_gpu
        Of a whole pattern.
    """

    weight: np.ndarray
    partner: np.ndarray
    fronts: dict[int, Front]
    slots_per_gpu: int

    @property
    def heaviest(self) -> float:
        """The largest weight of a pattern, as far as thinning let it be seen."""
        return float(self.weight.max())

    def patterns(self, above: float, most: int) -> tuple[np.ndarray, np.ndarray]:
        """The heaviest patterns above a weight: expert and count, int64 [num, slots_per_gpu]."""
        rows = np.flatnonzero(self.weight > above)
        rows = rows[np.argsort(-self.weight[rows], kind="stable")[:most]]
        half = self.slots_per_gpu // 2
        expert, count = self._members(self.slots_per_gpu - half, rows)
        if half:
            others = self._members(half, self.partner[rows])
            expert, count = np.hstack([expert, others[0]]), np.hstack([count, others[1]])
        return expert, count

    def _members(self, num: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        front = self.fronts[num]
        left, right = front.left[rows], front.right[rows]
        if num == 1:
            expert, count = left[:, None], right[:, None]
        else:
            a, b = self._members(num - num // 2, left), self._members(num // 2, right)
            expert, count = np.hstack([a[0], b[0]]), np.hstack([a[1], b[1]])
        # The first row is the empty pattern; its left and right mean nothing.
        empty = (rows == 0)[:, None]
        return np.where(empty, -1, expert), np.where(empty, -1, count)


@jit
def spread(expert, num_experts):  # type: ignore[no-untyped-def]
    """Rows of `expert` that bring one that no row before had, int64: columns that differ."""
    seen = np.zeros(num_experts, np.bool_)
    rows = np.empty(expert.shape[0], np.int64)
    num = 0
    for row in range(expert.shape[0]):
        brings = False
        for e in expert[row]:
            if e >= 0 and not seen[e]:
                seen[e], brings = True, True
        if brings:
            rows[num] = row
            num += 1
    return rows[:num]
