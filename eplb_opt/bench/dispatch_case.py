"""What every program that splits tokens is measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: Loads [num_batches, num_layers, num_experts] -> weights [num_batches, num_layers, num_slots].
Split = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Case:
    """A placement and the batches it meets.

    Parameters
    ----------
    placed
        int64 [num_layers, num_slots].
    load
        Tokens, float64 [num_batches, num_layers, num_experts].
    num_gpus
        GPUs, each with an equal part of consecutive slots.
    """

    placed: np.ndarray
    load: np.ndarray
    num_gpus: int

    def layers(self, chosen: np.ndarray) -> Case:
        """The same with some of the layers."""
        return Case(self.placed[chosen], np.ascontiguousarray(self.load[:, chosen]), self.num_gpus)
