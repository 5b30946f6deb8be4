"""Loads and levels in fixed point, for two slots a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

#: Twice a load times the scale stays below this in int64.
INT64_ROOM = 2**62


@dataclass(frozen=True, eq=False)
class ScaledLayer:
    """The loads of a layer in fixed point.

    A level is an integer in units of 1 / scale. The scale is at least four times the fourth power
    of the largest count, so two different sums w/c + v/d are at least four units apart, and what is
    decided in units is decided for the rationals.

    Parameters
    ----------
    load
        int64 [num_experts], the loads in the problem's integer units.
    scaled
        The loads times the scale, int64 or (where that overflows) object [num_experts].
    scale
        Units per unit of load, a power of two.
    num_slots
        The number of slots, twice the number of GPUs.
    """

    load: np.ndarray
    scaled: np.ndarray
    scale: int
    num_slots: int

    @classmethod
    def of(cls, load: np.ndarray, num_slots: int) -> ScaledLayer:
        """The layer at the coarsest scale that decides exactly."""
        most = num_slots - len(load) + 1
        bits = 2 + 4 * most.bit_length()
        total = int(load.sum()) + 1
        wide = total << (bits + 1) >= INT64_ROOM
        scaled = load.astype(object) if wide else load
        return cls(load, scaled * (1 << bits), 1 << bits, num_slots)

    @property
    def scale_bits(self) -> int:
        """The power of two that the scale is."""
        return self.scale.bit_length() - 1
