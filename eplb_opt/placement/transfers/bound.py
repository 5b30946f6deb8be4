"""The fewest batches that a change of plans can take, whoever orders them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.transfers.layer import LayerChange

if TYPE_CHECKING:
    from eplb_opt.placement.transfers.change import Change


def fewest_batches(change: Change) -> tuple[int, str]:
    """A number of batches that no schedule stays below, and which argument proves it.

    The arguments hold for every schedule that `played_back` accepts. A batch has at most one
    transfer of each GPU, and a transfer between two GPUs is one of both.

    "busiest GPU": a GPU receives each expert that is new in one of its slots, and it is the first
    to send each expert that it alone holds and that other GPUs get. A cycle within the GPU takes
    one copy more; see `LayerChange.pure_cycles`.

    "all GPUs": every slot that is written takes one GPU. The first replica of an expert on a GPU
    comes from another GPU, or from storage if no GPU had it, and so takes two of them; a pure
    cycle takes one copy more. A batch has as many places as there are GPUs, and pairs of them for
    half as many transfers between two.

    "spread": the GPUs that have an expert are at most twice as many after each batch.

    "in flight": each batch has at most `max_in_flight` of the transfers.

    Parameters
    ----------
    change
        The change from one plan to the other.

    Returns
    -------
    (int, str)
        The largest of the four, and the name of the first argument that proves it.
    """
    count = _Counts.of(change)
    num_alive = int(change.alive.sum())
    bounds = {
        "busiest GPU": int(count.of_gpu.max()),
        "all GPUs": _for_places(count.num_transfers, count.num_remote, num_alive),
        "spread": count.spread,
    }
    if change.max_in_flight is not None:
        bounds["in flight"] = -(-count.num_transfers // change.max_in_flight)
    most = max(bounds.values())
    return most, next(name for name, bound in bounds.items() if bound == most) if most else ""


def _for_places(num_transfers: int, num_remote: int, num_alive: int) -> int:
    pairs = num_alive // 2
    for_all = -(-(num_transfers + num_remote) // num_alive)
    return max(for_all, -(-num_remote // pairs) if pairs else 0)


@dataclass(eq=False)
class _Counts:
    """What no schedule can do without.

    Parameters
    ----------
    of_gpu
        int64 [num_gpus], transfers of each GPU.
    num_transfers, num_remote
        All transfers, and those between two GPUs among them.
    spread
        Batches that the widest spread of one expert takes.
    """

    of_gpu: np.ndarray
    num_transfers: int = 0
    num_remote: int = 0
    spread: int = 0

    @classmethod
    def of(cls, change: Change) -> _Counts:
        """Count layer by layer."""
        counts = cls(np.zeros(change.num_gpus, dtype=np.int64))
        for layer_idx in np.flatnonzero(change.is_written.any(axis=1)).tolist():
            counts.add_layer(change, layer_idx)
        return counts

    def add_layer(self, change: Change, layer_idx: int) -> None:
        """Count one layer, too."""
        old, new = change.old[layer_idx], change.new[layer_idx]
        written = np.flatnonzero(change.is_written[layer_idx])
        gpu_of = np.arange(change.num_slots) // change.slots_per_gpu
        self.of_gpu += np.bincount(gpu_of[written], minlength=change.num_gpus)
        self.num_transfers += len(written)
        shape = (int(max(old.max(), new.max())) + 1, change.num_gpus)
        holds: np.ndarray = np.zeros(shape, dtype=bool)
        wants: np.ndarray = np.zeros(shape, dtype=bool)
        wants[new[written], gpu_of[written]] = True
        holds[old[old >= 0], gpu_of[old >= 0]] = True
        has_source = np.asarray(holds.any(axis=1))
        comes = wants & ~holds & has_source[:, None]
        self.num_remote += int(comes.sum())
        sent_by_one = np.asarray(comes.any(axis=1) & (holds.sum(axis=1) == 1))
        self.of_gpu += holds[sent_by_one].sum(axis=0)
        self.spread = max(self.spread, _doublings(holds.sum(axis=1), comes.sum(axis=1)))
        if not has_source[new[written]].all():
            self.spread = max(self.spread, 1)
        layer = LayerChange(old.tolist(), new.tolist(), written.tolist())
        for cycle in layer.pure_cycles():
            self.num_transfers += 1
            gpus = {slot // change.slots_per_gpu for slot in cycle}
            if len(gpus) == 1:
                self.of_gpu[gpus.pop()] += 1


def _doublings(before: np.ndarray, more: np.ndarray) -> int:
    """The most times that one of the numbers has to double to grow by so much."""
    times = 0
    while ((before << times) < before + more).any():
        times += 1
    return times
