"""What the transfers between two plans are listed as."""

from __future__ import annotations

from typing import Any, NamedTuple

from eplb_opt.errors import ProblemError

#: GPU and slot of a source that is no GPU's: the weights come from storage.
STORAGE = -1


class Transfer(NamedTuple):
    """One expert's weights on their way into a slot.

    Slots are counted over all GPUs, and from `num_slots` on they are staging slots: number k of GPU
    g is `num_slots + g * staging_slots + k`. Staging slots are shared by all layers.

    Parameters
    ----------
    layer_idx, expert_idx
        The layer, and the expert of it whose weights are copied.
    source_gpu, source_slot
        The GPU and the slot that are read; both are -1 where the weights come from storage.
    destination_gpu, destination_slot
        The GPU and the slot that are written; on the GPU of the source it is a local copy.
    """

    layer_idx: int
    expert_idx: int
    source_gpu: int
    source_slot: int
    destination_gpu: int
    destination_slot: int


class Schedule(list[list[Transfer]]):
    """Batches of transfers, in the order in which they run: a list of lists.

    Parameters
    ----------
    batches
        The transfers of each batch.
    lower_bound
        No schedule has fewer batches; 0 where nothing is known.
    bound_source
        What proves that: "busiest GPU", "all GPUs", "spread" or "in flight"; "" without a bound.
    num_slots
        Slots of a layer over all GPUs; what is counted from there on is staging.
    """

    def __init__(
        self,
        batches: Any = (),
        lower_bound: int = 0,
        bound_source: str = "",
        num_slots: int = 0,
    ) -> None:
        super().__init__(batches)
        if lower_bound > len(self):
            raise ProblemError(f"{len(self)} batches are below the bound of {lower_bound}.")
        self.lower_bound = lower_bound
        self.bound_source = bound_source
        self.num_slots = num_slots

    @property
    def num_transfers(self) -> int:
        """Transfers of all batches, copies into staging slots included."""
        return sum(map(len, self))

    @property
    def staging(self) -> list[int]:
        """The staging slots in use, in ascending order."""
        if not self.num_slots:
            return []
        return sorted({t[5] for batch in self for t in batch if t[5] >= self.num_slots})
