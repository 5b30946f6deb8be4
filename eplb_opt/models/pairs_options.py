"""Two slots a GPU: which counts an expert may take under a level T, in fixed point."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

#: Twice a load times the scale stays below this in int64.
INT64_ROOM = 2**62


@dataclass(frozen=True, eq=False)
class Layer:
    """Loads in fixed point.

    A level is an integer of units 1 / scale. The scale is at least four times the fourth power of
    the largest count, so two different pair sums w/c + v/d are four units apart, and what is
    decided in units is decided for the rationals.

    Parameters
    ----------
    load
        int64 [num_experts].
    scaled
        The loads times the scale, int64 or (where that overflows) object [num_experts].
    scale
        A power of two.
    num_slots
        Twice the number of GPUs.
    """

    load: np.ndarray
    scaled: np.ndarray
    scale: int
    num_slots: int

    @classmethod
    def of(cls, load: np.ndarray, num_slots: int) -> Layer:
        """The layer at the coarsest scale that decides exactly."""
        most = num_slots - len(load) + 1
        bits = 2 + 4 * most.bit_length()
        total = int(load.sum()) + 1
        wide = total << (bits + 1) >= INT64_ROOM
        scaled = load.astype(object) if wide else load
        return cls(load, scaled * (1 << bits), 1 << bits, num_slots)


@dataclass(frozen=True, eq=False)
class Options:
    """The counts that are still possible, one row each, experts in their order.

    Parameters
    ----------
    expert, count
        int64 [num_options].
    change
        int64 [num_options]: +count for small replicas, -count for big ones.
    rank
        int64 [num_options]: an option is in the balance rows below its rank.
    first
        int64 [num_experts]: each expert's first option.
    threshold
        [num_rows], ascending keys in units; row i balances all replicas with a key of at least
        threshold[i].
    """

    expert: np.ndarray
    count: np.ndarray
    change: np.ndarray
    rank: np.ndarray
    first: np.ndarray
    threshold: np.ndarray

    def __len__(self) -> int:
        return len(self.expert)

    def keep(self, mask: np.ndarray) -> Options | None:
        """The options under the mask; None when an expert has none left."""
        if mask.all():
            return self
        expert = self.expert[mask]
        num_experts = len(self.first)
        if len(np.unique(expert)) < num_experts:
            return None
        return replace(
            self,
            expert=expert,
            count=self.count[mask],
            change=self.change[mask],
            rank=self.rank[mask],
            first=np.searchsorted(expert, np.arange(num_experts)),
        )


def fewest(layer: Layer, level: int) -> np.ndarray:
    """ceil(w / T), at least 1; int64 [num_experts]."""
    return np.asarray(np.maximum(-(-layer.scaled // level), 1).astype(np.int64))


def most_big(layer: Layer, level: int) -> np.ndarray:
    """The largest c with 2 w / c > T, below 1 where there is none; int64 [num_experts]."""
    return np.asarray(((2 * layer.scaled - 1) // level).astype(np.int64))


def list_options(layer: Layer, level: int) -> Options | None:
    """Every count that a plan of at most the level can have; None when there is no such plan.

    An expert takes at least ceil(w / T) replicas, and what the others' fewest leave at most.
    A replica s = w/c is big when 2 s > T, with key s, and small otherwise, with key T - s. In a
    plan of at most T no two big ones share a GPU, and a big one of key s stands with a small one
    of key at least s. So among the replicas with a key of at least any threshold there are at
    least as many small ones as big ones. Keys of big replicas are rounded down to units, so that
    no plan is lost; by `Layer`'s scale none is gained.
    """
    least = fewest(layer, level)
    spare = layer.num_slots - int(least.sum())
    if spare < 0:
        return None
    num_experts = len(least)
    count = (least[:, None] + np.arange(spare + 1)).ravel()
    expert = np.repeat(np.arange(num_experts), spare + 1)
    is_big = count <= most_big(layer, level)[expert]
    scaled = layer.scaled[expert]
    key = np.where(is_big, scaled // count, level + (-scaled // count))
    threshold = np.unique(key[is_big])
    return Options(
        expert=expert,
        count=count,
        change=np.where(is_big, -count, count),
        rank=np.searchsorted(threshold, key, side="right"),
        first=np.arange(num_experts) * (spare + 1),
        threshold=threshold,
    )


def chosen_counts(options: Options, weight: np.ndarray) -> np.ndarray:
    """The count of each expert's heaviest option, int64 [num_experts]."""
    best = np.maximum.reduceat(weight, options.first)[options.expert]
    at = np.flatnonzero(weight == best)
    counts = np.empty(len(options.first), dtype=np.int64)
    counts[options.expert[at[::-1]]] = options.count[at[::-1]]
    return counts
