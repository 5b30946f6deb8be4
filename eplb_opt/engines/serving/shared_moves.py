"""A model's moves shared out over its layers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def share_out(moves: Sequence[np.ndarray], worth: Sequence[np.ndarray], most: int) -> list[int]:
    """One point of every layer's front, with at most so many moves together.

    Steps along the convex hulls are taken where a move gains most; what is left over then goes to
    the layers in turn, each to the best point that it can still pay for.

    Parameters
    ----------
    moves, worth
        Of every layer the points of its front, [num_points]: moves rise and loads fall. The first
        points are taken in any case.
    most
        Moves of all layers.
    """
    chosen = [0] * len(moves)
    left = most - sum(int(front[0]) for front in moves)
    steps = sorted(
        ((after - before) / (more - fewer), layer_idx, a, b)
        for layer_idx, (costs, loads) in enumerate(zip(moves, worth, strict=True))
        for a, b in pairwise(_hull(costs, loads))
        for (before, fewer), (after, more) in [((loads[a], costs[a]), (loads[b], costs[b]))]
    )
    for _, layer_idx, a, b in steps:
        price = int(moves[layer_idx][b] - moves[layer_idx][a])
        if chosen[layer_idx] == a and price <= left:
            chosen[layer_idx], left = b, left - price
    for layer_idx, costs in enumerate(moves):
        at = chosen[layer_idx]
        best = int(np.searchsorted(costs, costs[at] + max(left, 0), side="right")) - 1
        if best > at:
            chosen[layer_idx], left = best, left - int(costs[best] - costs[at])
    return chosen


def _hull(moves: np.ndarray, worth: np.ndarray) -> list[int]:
    """Corners of the lower convex hull of points whose moves rise and whose worth falls."""
    corners: list[int] = []
    for c in range(len(moves)):
        while len(corners) > 1:
            a, b = corners[-2:]
            if (worth[b] - worth[a]) * (moves[c] - moves[a]) < (worth[c] - worth[a]) * (
                moves[b] - moves[a]
            ):
                break
            corners.pop()
        corners.append(c)
    return corners
