"""Plans and their numbers as the core's planner gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class Rows:
    """Plans as the core gives them: see `eplb_opt.core.near.Planner`.

    Parameters
    ----------
    placed
        int64 [num, num_slots].
    numbers
        int64 [num, 7].
    """

    placed: np.ndarray
    numbers: np.ndarray

    @property
    def moves(self) -> np.ndarray:
        """Slots whose expert is new on its GPU, int64 [num]."""
        return self.numbers[:, 0].copy()

    @property
    def price(self) -> np.ndarray:
        """The moves, those across nodes at their price, int64 [num]."""
        return self.numbers[:, 1]

    @property
    def largest(self) -> np.ndarray:
        """The largest GPU load, in fixed point, int64 [num]."""
        return self.numbers[:, 2]

    @property
    def bound(self) -> np.ndarray:
        """The proven lower bound of it, in fixed point, int64 [num]."""
        return self.numbers[:, 3]

    @property
    def before(self) -> np.ndarray:
        """The largest GPU load under the map in force, in fixed point, int64 [num]."""
        return self.numbers[:, 4]

    @property
    def forced(self) -> np.ndarray:
        """Moves that the map in force needs to be valid at all, int64 [num]."""
        return self.numbers[:, 5]

    @property
    def reached(self) -> np.ndarray:
        """Whether the tolerance was reached, bool [num]."""
        return self.numbers[:, 6] > 0
