"""How level a plan is on many steps: floats, for looking at and for comparing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from eplb_opt import scoring


@dataclass(frozen=True, eq=False)
class Steps:
    """Some steps of a recording made ready to be scored under many placements.

    Parameters
    ----------
    by_layer
        float64 [num_layers, num_steps, num_experts].
    totals
        float64 [num_steps].
    """

    by_layer: np.ndarray
    totals: np.ndarray

    @classmethod
    def of(cls, load: np.ndarray) -> Steps:
        """From loads [num_steps, num_layers, num_experts]."""
        by_layer = np.ascontiguousarray(load.transpose(1, 0, 2), dtype=np.float64)
        return cls(by_layer, by_layer.sum(axis=(0, 2)))


@dataclass(frozen=True, eq=False)
class Placed:
    """A placement made ready to be scored on many loads.

    Parameters
    ----------
    physical_to_logical
        int64 [num_layers, num_slots], every expert at least once.
    num_gpus, num_experts
        See `Plan`.
    """

    physical_to_logical: np.ndarray
    num_gpus: int
    num_experts: int

    @cached_property
    def count(self) -> np.ndarray:
        """Replicas, int64 [num_layers, num_experts]."""
        return scoring.replica_counts(self.physical_to_logical, self.num_experts)

    @cached_property
    def spread(self) -> np.ndarray:
        """What each GPU gets of an expert's load, float64 [num_layers, num_experts, num_gpus]."""
        num_layers, num_slots = self.physical_to_logical.shape
        share = np.zeros((num_layers, self.num_experts, self.num_gpus))
        gpu_idx = np.arange(num_slots) // (num_slots // self.num_gpus)
        at = (np.arange(num_layers)[:, None], self.physical_to_logical, gpu_idx[None, :])
        np.add.at(share, at, 1.0)
        share /= self.count[..., None]
        return share

    def balancedness(self, steps: Steps) -> tuple[np.ndarray, np.ndarray]:
        """Of each step, on GPUs and on slots, two float64 [num_steps].

        A step's balancedness is the sum over the layers of the mean load over the sum over the
        layers of the largest: the layers run one after the other, each as long as its fullest GPU
        takes. A step without load has none (not a number).
        """
        gpu_peaks, slot_peaks = np.zeros(len(steps.totals)), np.zeros(len(steps.totals))
        for load, spread, count in zip(steps.by_layer, self.spread, self.count, strict=True):
            gpu_peaks += (load @ spread).max(axis=1)
            slot_peaks += (load * (1 / count)).max(axis=1)
        return (
            _ratio(steps.totals / self.num_gpus, gpu_peaks),
            _ratio(steps.totals / self.physical_to_logical.shape[1], slot_peaks),
        )


def _ratio(mean: np.ndarray, peak: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(mean, peak, out=np.full(len(mean), np.nan), where=peak > 0))
