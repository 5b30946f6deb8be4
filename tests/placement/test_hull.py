"""The convex hull of moves against load."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from eplb_opt.placement.hull import hull_corners


@pytest.mark.parametrize("seed", range(20))
def test_corners_are_the_points_below_every_line_between_two_others(seed):
    rng = np.random.default_rng(seed)
    moves = np.cumsum(rng.integers(1, 5, 8)).tolist()
    value = np.sort(rng.integers(0, 40, 8))[::-1].tolist()

    def line(a, b, c):
        slope = Fraction(value[b] - value[a], moves[b] - moves[a])
        return value[a] + slope * (moves[c] - moves[a])

    def is_above(c):
        between = ((a, b) for a, b in combinations(range(8), 2) if a < c < b)
        return any(value[c] >= line(a, b, c) for a, b in between)

    assert hull_corners(moves, value) == [c for c in range(8) if not is_above(c)]
