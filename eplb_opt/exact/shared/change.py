"""How far a plan may be from the plan in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np


@dataclass(frozen=True, eq=False)
class Change:
    """What a plan may move, or that it is to move as little as it can.

    Parameters
    ----------
    held
        bool [num_experts, num_gpus], the experts that stand on each GPU in the plan in force.
    max_moves
        The largest number of slots whose expert may be new on its GPU; None for any number.
    limit
        The largest value that a plan may have; where it is given, the moves are minimised.
    """

    held: np.ndarray
    max_moves: int | None = None
    limit: Fraction | None = None
