"""The slotless method's replica counts, fitted to a slot count and packed as usual."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heuristics.greedy_numpy import balanced_packing, place_rows
from heuristics.heap_lpt import share_counts
from heuristics.stages import three_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heuristics.layout import Layout


def fit_counts(
    weight: NDArray[np.float32], counts: NDArray[np.int64], num_slots: int
) -> NDArray[np.int64]:
    """Trim or extend one row of counts until they fill the slots.

    A copy goes to the largest weight / count; it is taken where the copies
    left carry the least, weight / (count - 1). First of equals.

    Parameters
    ----------
    weight
        Loads, float32 [num_experts].
    counts
        Replicas wanted, int64 [num_experts].
    num_slots
        Slots to fill, at least num_experts.

    Returns
    -------
    ndarray
        int64 [num_experts], with sum `num_slots`.
    """
    counts = counts.copy()
    spare = num_slots - int(counts.sum())
    for _ in range(spare):
        counts[(weight / counts.astype(np.float32)).argmax()] += 1
    for _ in range(-spare):
        cost = weight / np.maximum(counts - 1, 1).astype(np.float32)
        counts[np.where(counts > 1, cost, np.inf).argmin()] -= 1
    return counts


def fill(weight: NDArray[np.float32], num_slots: int, num_gpus: int) -> NDArray[np.int64]:
    """Count and pack every row; int64 [num_rows, num_slots]."""
    wanted = [np.array(share_counts(row.tolist(), num_gpus)) for row in weight]
    counts = [fit_counts(row, c, num_slots) for row, c in zip(weight, wanted, strict=True)]
    return place_rows(weight, np.stack(counts), num_gpus)


def solve(weight: NDArray[np.float32], layout: Layout) -> NDArray[np.int64]:
    """Expert of every slot, int64 [num_layers, num_slots]."""
    return three_steps(weight, layout, balanced_packing, fill)
