"""A model's moves shared out over its layers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.hull import hull_corners

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
        for a, b in pairwise(hull_corners(costs, loads))
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
