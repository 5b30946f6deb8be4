"""The options and rows of two slots a GPU as one table, and what prices of the rows prove."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DIGITS = 2**24


@dataclass
class Table:
    """Options, experts in their order, and the tightened balance rows over them.

    Let m_e be the least that expert e adds to a row. The row says sum_e (change - m_e) >= need with
    need = -sum_e m_e, and a term above the need is cut to it.
    """

    expert: np.ndarray
    count: np.ndarray
    change: np.ndarray
    rank: np.ndarray
    threshold: np.ndarray

    @property
    def first(self):
        return np.searchsorted(self.expert, np.arange(self.expert[-1] + 1))

    def keep(self, mask):
        columns = self.expert, self.count, self.change, self.rank
        return Table(*(column[mask] for column in columns), self.threshold)

    def rows(self):
        """Gain [num_options, num_rows] and need [num_rows]."""
        inside = self.rank[:, None] > np.arange(len(self.threshold))
        change = np.where(inside, self.change[:, None], 0)
        least = np.minimum.reduceat(change, self.first, axis=0)
        need = -least.sum(axis=0)
        return np.minimum(change - least[self.expert], np.maximum(need, 0)), need

    def prove(self, price):
        """A bound on the replicas of any plan, and each option's excess, both in 1 / DIGITS."""
        gain, need = self.rows()
        cost = self.count * DIGITS - gain @ price
        least = np.minimum.reduceat(cost, self.first)
        value = int(price @ np.maximum(need, 0)) + int(least.sum())
        return value, cost - least[self.expert]


def list_table(layer, level):
    """Every count below a level in rationals; None where the fewest exceed the slots."""
    load = [int(w) * layer.scale for w in layer.load]
    fewest = [max(-(-w // level), 1) for w in load]
    spare = layer.num_slots - sum(fewest)
    if spare < 0:
        return None
    rows = [(e, c) for e, least in enumerate(fewest) for c in range(least, least + spare + 1)]
    is_big = [2 * load[e] > level * c for e, c in rows]
    keys = [
        load[e] // c if big else level - -(-load[e] // c)
        for (e, c), big in zip(rows, is_big, strict=True)
    ]
    threshold = sorted({key for key, big in zip(keys, is_big, strict=True) if big})
    expert, count = np.array(rows).T
    change = np.where(is_big, -count, count)
    rank = np.array([sum(t <= key for t in threshold) for key in keys])
    return Table(expert, count, change, rank, np.array(threshold, dtype=object))
