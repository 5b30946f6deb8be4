"""What changing from one plan to another moves, and who sends it to whom."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eplb_opt.placement.plan import Plan


@dataclass(frozen=True)
class Transfer:
    """One expert's weights on their way into a slot.

    Parameters
    ----------
    layer_idx, expert_idx
        The layer, and the expert of it whose weights are sent.
    source_gpu
        A GPU that had the expert; -1 where none had, so that they come from storage.
    destination_gpu, slot_idx
        The GPU and the slot that they go to; the slot is counted over all GPUs.
    """

    layer_idx: int
    expert_idx: int
    source_gpu: int
    destination_gpu: int
    slot_idx: int


def moved_slots(current: Plan, new: Plan) -> np.ndarray:
    """Slots whose expert is new on its GPU, int64 [num_layers].

    A replica that changes its slot on the same GPU moves nothing over a wire, nor does a
    further copy of an expert that the GPU held before.

    Parameters
    ----------
    current, new
        Plans with the same layers, slots and GPUs; `current` may have empty slots.
    """
    return np.asarray(moved_slots_by_gpu(current, new).sum(axis=1))


def moved_slots_by_gpu(current: Plan, new: Plan) -> np.ndarray:
    """What every GPU has to receive: its slots whose expert is new on it.

    Parameters
    ----------
    current, new
        As of `moved_slots`.

    Returns
    -------
    int64 [num_layers, num_gpus].
    """
    num_experts = max(current.num_experts, new.num_experts)
    shape = (new.num_layers, new.num_gpus, -1)
    rows, held = (plan.physical_to_logical.reshape(shape) for plan in (new, current))
    # Slots of a GPU are compared with each other, or marked in a table of all GPUs and experts:
    # at the largest shapes the one or the other takes a hundred megabytes.
    if rows.shape[2] ** 2 <= num_experts:
        stays = (rows[:, :, :, None] == held[:, :, None, :]).any(axis=3)
    else:
        # Empty slots (-1) fall into the last column, where no expert looks.
        table = np.zeros((new.num_layers, new.num_gpus, num_experts + 1), dtype=bool)
        np.put_along_axis(table, held, values=True, axis=2)
        stays = np.take_along_axis(table, rows, axis=2)
    # An empty slot receives nothing.
    return np.asarray((~stays & (rows >= 0)).sum(axis=2))


def transfers(current: Plan, new: Plan) -> list[list[Transfer]]:
    """Peer-to-peer batches that make one plan of another; no GPU is in two transfers of a batch.

    Every moved slot (see `moved_slots`) is served by a GPU that had the expert: the one with
    the least to do. Batches take the transfers of the busiest GPUs first.

    Parameters
    ----------
    current, new
        Plans with the same layers, slots and GPUs; `current` may have empty slots.

    Returns
    -------
    list of list of Transfer
        Batches in the order in which they run.
    """
    left = _with_sources(current, new)
    batches = []
    while left:
        # What the busiest GPU has left to do is the least number of batches to come.
        busy = Counter(g for move in left for g in (move.source_gpu, move.destination_gpu))
        left.sort(key=lambda m: -max(busy[m.source_gpu], busy[m.destination_gpu]))
        taken: set[int] = set()
        batch: list[Transfer] = []
        later: list[Transfer] = []
        for move in left:
            ends = {move.source_gpu, move.destination_gpu} - {-1}
            (later if ends & taken else batch).append(move)
            if not ends & taken:
                taken |= ends
        batches.append(batch)
        left = later
    return batches


def _with_sources(current: Plan, new: Plan) -> list[Transfer]:
    """One transfer for each moved slot, the sources levelled."""
    slots_per_gpu = new.num_slots // new.num_gpus
    work: Counter[int] = Counter()
    found = []
    for layer_idx in range(new.num_layers):
        old = current.physical_to_logical[layer_idx].tolist()
        holders: dict[int, set[int]] = {}
        for slot_idx, expert_idx in enumerate(old):
            holders.setdefault(expert_idx, set()).add(slot_idx // slots_per_gpu)
        for slot_idx, expert_idx in enumerate(new.physical_to_logical[layer_idx].tolist()):
            gpu, held_by = slot_idx // slots_per_gpu, holders.get(expert_idx, set())
            if expert_idx < 0 or gpu in held_by:
                continue
            source = min(held_by, key=lambda g: (work[g], g), default=-1)
            work[source] += 1
            work[gpu] += 1
            found.append(Transfer(layer_idx, expert_idx, source, gpu, slot_idx))
    return found
