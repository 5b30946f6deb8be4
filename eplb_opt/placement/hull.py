"""The convex hull of points that trade moves for load."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


def hull_corners(
    moves: Sequence[int] | np.ndarray, value: Sequence[float] | np.ndarray
) -> list[int]:
    """Corners of the lower convex hull, as indices of the points.

    Parameters
    ----------
    moves
        [num_points], rising.
    value
        [num_points], falling: what a plan with that many moves is worth, the less the better.
    """
    corners: list[int] = []
    for c in range(len(moves)):
        while len(corners) > 1:
            a, b = corners[-2:]
            if (value[b] - value[a]) * (moves[c] - moves[a]) < (value[c] - value[a]) * (
                moves[b] - moves[a]
            ):
                break
            corners.pop()
        corners.append(c)
    return corners
