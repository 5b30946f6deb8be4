"""How level a plan is on many steps: floats, for looking at and for comparing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.engines.dispatch.routes import Routes
from eplb_opt.engines.dispatch.split import split
from eplb_opt.placement import scoring
from eplb_opt.placement.plan import Plan
from eplb_opt.placement.senders import senders
from eplb_opt.problem.checks import SENDER_DISPATCHES
from eplb_opt.problem.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

#: The largest loads of GPUs and of slots, each float64 [num_steps].
Peaks = tuple[np.ndarray, np.ndarray]
#: Weights that are held at once, 8 bytes each.
MAX_WEIGHTS = 2**22


@dataclass(frozen=True, eq=False)
class Steps:
    """Some steps of a recording made ready to be scored under many placements.

    Parameters
    ----------
    by_layer
        float64 [num_layers, num_steps, num_experts], tokens.
    totals
        float64 [num_steps], tokens of all layers.
    """

    by_layer: np.ndarray
    totals: np.ndarray

    @classmethod
    def of(cls, load: np.ndarray) -> Steps:
        """Steps made ready from loads [num_steps, num_layers, num_experts]."""
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
        The number of GPUs, and of logical experts of a layer.
    dispatch
        How tokens are split; see `Problem`. Optimal dispatch splits each step anew, in float64: the
        largest GPU load is within about 1e-13 of the least. The others split all steps alike.
    num_nodes
        Nodes of the GPUs, which nearest copy looks at.
    """

    physical_to_logical: np.ndarray
    num_gpus: int
    num_experts: int
    dispatch: str = "uniform"
    num_nodes: int = 1

    @cached_property
    def routes(self) -> Routes:
        """Where the experts are, for optimal dispatch."""
        return Routes.trace(Plan(self.physical_to_logical, self.num_gpus, self.num_experts))

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
        if self._sent is not None:
            np.add.at(share, at, self._sent)
            return share
        np.add.at(share, at, 1.0)
        share /= self.count[..., None]
        return share

    @cached_property
    def largest(self) -> np.ndarray:
        """The largest part of its load that a replica gets, float64 [num_layers, num_experts]."""
        if self._sent is None:
            return np.asarray(1 / self.count)
        largest = np.zeros(self.count.shape)
        layers = np.arange(len(largest))[:, None]
        np.maximum.at(largest, (layers, self.physical_to_logical), self._sent)
        return largest

    @cached_property
    def _sent(self) -> np.ndarray | None:
        """What each slot gets of its expert's load, float64 [num_layers, num_slots], by senders."""
        if self.dispatch not in SENDER_DISPATCHES:
            return None
        num_slots = self.physical_to_logical.shape[1]
        machine = Problem(
            np.zeros(self.count.shape, dtype=np.int64),
            num_slots,
            self.num_gpus,
            self.num_nodes,
            dispatch=self.dispatch,
        )
        return np.asarray(senders(machine, self.physical_to_logical) / self.num_gpus)

    def balancedness(self, steps: Steps) -> tuple[np.ndarray, np.ndarray]:
        """The balancedness of each step, on GPUs and on slots, two float64 [num_steps].

        A step's balancedness is the sum over the layers of the mean load over the sum over the
        layers of the largest: the layers run one after the other, each as long as its fullest GPU
        takes. A step without load has none (not a number).
        """
        gpu_peaks, slot_peaks = PEAKS[self.dispatch](self, steps)
        return (
            _ratio(steps.totals / self.num_gpus, gpu_peaks),
            _ratio(steps.totals / self.physical_to_logical.shape[1], slot_peaks),
        )

    def fixed_peaks(self, steps: Steps) -> Peaks:
        """The largest loads of GPUs and of slots, summed over the layers, float64 [num_steps]."""
        gpu_peaks, slot_peaks = np.zeros(len(steps.totals)), np.zeros(len(steps.totals))
        for load, spread, largest in zip(steps.by_layer, self.spread, self.largest, strict=True):
            gpu_peaks += (load @ spread).max(axis=1)
            slot_peaks += (load * largest).max(axis=1)
        return gpu_peaks, slot_peaks

    def optimal_peaks(self, steps: Steps) -> Peaks:
        """The same where every step is split so that the largest GPU load is least."""
        by_step = steps.by_layer.transpose(1, 0, 2)
        at_once = max(MAX_WEIGHTS // self.physical_to_logical.size, 1)
        parts = [self._split(by_step[i : i + at_once]) for i in range(0, len(by_step), at_once)]
        gpu_peaks, slot_peaks = zip(*parts, strict=True)
        return np.concatenate(gpu_peaks), np.concatenate(slot_peaks)

    def _split(self, load: np.ndarray) -> Peaks:
        """The peaks of some steps, [num_steps, num_layers, num_experts], at once."""
        weights, _ = split(self.routes, np.ascontiguousarray(load), np.ones(self.num_gpus))
        # An empty slot has weight 0, whichever load it is given.
        slots = weights * np.take_along_axis(load, self.physical_to_logical[None], axis=2)
        gpus = slots.reshape(*slots.shape[:2], self.num_gpus, -1).sum(axis=3)
        return gpus.max(axis=2).sum(axis=1), slots.max(axis=2).sum(axis=1)


#: Dispatch -> the largest loads under it.
PEAKS: dict[str, Callable[[Placed, Steps], Peaks]] = {
    "uniform": Placed.fixed_peaks,
    "optimal": Placed.optimal_peaks,
    "nearest": Placed.fixed_peaks,
    "rank_modulo": Placed.fixed_peaks,
}


def _ratio(mean: np.ndarray, peak: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(mean, peak, out=np.full(len(mean), np.nan), where=peak > 0))
