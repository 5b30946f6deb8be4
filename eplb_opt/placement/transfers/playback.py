"""Transfers played back in place, slot by slot: the judge of every schedule.

Nothing here is shared with what makes the schedules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.gpu_rules import as_mask

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The GPU and the slot of what comes from storage.
FROM_STORAGE = (-1, -1)


def played_back(
    current: Any,
    batches: Iterable[Iterable[tuple[int, int, int, int, int, int]]],
    num_gpus: int | None = None,
    *,
    num_nodes: int = 1,
    active_gpus: Any = None,
    staging_slots: int = 1,
    max_in_flight: int | None = None,
) -> np.ndarray:
    """What the slots hold after batches of transfers, carried out in place one after another.

    A batch reads all of its sources before it writes.

    Parameters
    ----------
    current
        The map before, a Plan or [num_layers, num_slots] ids; -1 is an empty slot.
    batches
        `Transfer` tuples, batch by batch.
    num_gpus
        The number of GPUs; a Plan knows it.
    num_nodes, active_gpus, staging_slots, max_in_flight
        As for `transfers`.

    Returns
    -------
    int64 [num_layers, num_slots]
        The expert in each slot afterwards, without staging slots.

    Raises
    ------
    PlanError
        When a source does not hold the expert when it is read, or a nearer one does; when storage
        is read for an expert that a GPU held; when a GPU is in two transfers of a batch, or is
        lost, or a slot is not on it; when a slot is written twice or holds the expert already; or
        when a batch has more than `max_in_flight` transfers.
    ProblemError
        When the GPUs are not known.
    """
    if not isinstance(current, Plan):
        if num_gpus is None:
            raise ProblemError("current is an array, which does not know its GPUs; give num_gpus=.")
        current = Plan(current, num_gpus)
    gpus = current.num_gpus
    alive = (
        np.ones(gpus, bool) if active_gpus is None else as_mask(active_gpus, "active_gpus", (gpus,))
    )
    memory = _Memory(current, num_nodes, alive.tolist(), staging_slots)
    for batch_idx, batch in enumerate(batches):
        try:
            memory.run([tuple(transfer) for transfer in batch], max_in_flight)
        except PlanError as error:
            raise PlanError(f"Batch {batch_idx}: {error}") from None
    return np.array(memory.rows, dtype=np.int64)


class _Memory:
    """What lies in the slots and in the staging slots."""

    def __init__(
        self, current: Plan, num_nodes: int, alive: list[bool], staging_slots: int
    ) -> None:
        self.num_slots, self.alive, self.staging_slots = current.num_slots, alive, staging_slots
        self.slots_per_gpu = current.num_slots // current.num_gpus
        self.gpus_per_node = current.num_gpus // num_nodes
        self.rows: list[list[int]] = current.physical_to_logical.tolist()
        #: What each staging slot holds: a layer and an expert of it.
        self.staged: dict[int, tuple[int, int]] = {}
        self.is_written: set[tuple[int, int]] = set()
        #: Slots of living GPUs that hold an expert of a layer.
        self.holders: dict[tuple[int, int], set[int]] = {}
        for layer_idx, row in enumerate(self.rows):
            for slot, expert in enumerate(row):
                if alive[slot // self.slots_per_gpu]:
                    self.holders.setdefault((layer_idx, expert), set()).add(slot)
        self.was_held = set(self.holders)

    def run(self, batch: list[Any], max_in_flight: int | None) -> None:
        """Check one batch against what lies in the slots, then write."""
        if max_in_flight is not None and len(batch) > max_in_flight:
            raise PlanError(
                f"{len(batch)} transfers are in flight; at most {max_in_flight} may be."
            )
        busy: set[int] = set()
        for transfer in batch:
            _, _, source_gpu, _, gpu, _ = transfer
            for end in {source_gpu, gpu} - {-1}:
                if end in busy:
                    raise PlanError(f"GPU {end} is in two transfers at once.")
                busy.add(end)
            self._check_source(*transfer)
            self._check_destination(*transfer)
        for layer_idx, expert, _, _, _, slot in batch:
            self._write(layer_idx, expert, slot)

    def _check_source(
        self, layer_idx: int, expert: int, gpu: int, slot: int, to_gpu: int, to_slot: int
    ) -> None:
        what = f"expert {expert} of layer {layer_idx}"
        holders = self.holders.get((layer_idx, expert), ())
        if (gpu, slot) == FROM_STORAGE:
            if (layer_idx, expert) in self.was_held:
                raise PlanError(f"{what} comes from storage, but a GPU held it.")
            return
        if slot not in holders:
            raise PlanError(f"slot {slot} is read for {what}, which it does not hold.")
        self._check_gpu(gpu, slot)
        if gpu == to_gpu:
            return
        node = to_gpu // self.gpus_per_node
        is_far = gpu // self.gpus_per_node != node
        for other in map(self._gpu_of, holders):
            if other == to_gpu or (is_far and other // self.gpus_per_node == node):
                raise PlanError(
                    f"{what} comes to GPU {to_gpu} from GPU {gpu}, but GPU {other} is nearer and "
                    "holds it."
                )

    def _check_destination(
        self, layer_idx: int, expert: int, gpu: int, slot: int, to_gpu: int, to_slot: int
    ) -> None:
        self._check_gpu(to_gpu, to_slot)
        if to_slot >= self.num_slots:
            return
        if (layer_idx, to_slot) in self.is_written:
            raise PlanError(f"slot {to_slot} of layer {layer_idx} is written a second time.")
        if self.rows[layer_idx][to_slot] == expert:
            raise PlanError(f"slot {to_slot} of layer {layer_idx} holds expert {expert} already.")

    def _check_gpu(self, gpu: int, slot: int) -> None:
        if not 0 <= slot < self.num_slots + len(self.alive) * self.staging_slots:
            raise PlanError(f"there is no slot {slot}.")
        if gpu != self._gpu_of(slot):
            raise PlanError(f"slot {slot} is on GPU {self._gpu_of(slot)}, not on GPU {gpu}.")
        if not self.alive[gpu]:
            raise PlanError(f"GPU {gpu} is lost.")

    def _gpu_of(self, slot: int) -> int:
        if slot < self.num_slots:
            return slot // self.slots_per_gpu
        return (slot - self.num_slots) // self.staging_slots

    def _write(self, layer_idx: int, expert: int, slot: int) -> None:
        if slot < self.num_slots:
            self.is_written.add((layer_idx, slot))
            gone = (layer_idx, self.rows[layer_idx][slot])
            self.rows[layer_idx][slot] = expert
        else:
            gone = self.staged.get(slot, (layer_idx, -1))
            self.staged[slot] = (layer_idx, expert)
        self.holders.get(gone, set()).discard(slot)
        self.holders.setdefault((layer_idx, expert), set()).add(slot)
