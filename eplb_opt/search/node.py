"""The search on the experts, slots and GPUs of one node, or of a flat layer."""

from __future__ import annotations

import numpy as np

from eplb_opt.search import descent
from eplb_opt.search.exchange import sort_subsets, subsets_of_slots
from eplb_opt.search.triples import deals

#: A layer's fixed-point loads add up to about this.
TOTAL = 2**44
NO_PLAN = np.iinfo(np.int64).max // 4
#: Seed of a seed: the generator's state must not be zero.
SALT = 88172645463325252


class NodeSearch:
    """One search: its plan, its best plan, and all that a later call needs to go on.

    Parameters
    ----------
    weight
        int64 [num_experts], fixed-point loads.
    slot
        int64 [num_slots], the plan to start from.
    num_gpus
        Of the node.
    apart
        Whether no expert may stand twice on a GPU.
    seed
        Of the kicks.
    """

    def __init__(
        self, weight: np.ndarray, slot: np.ndarray, num_gpus: int, apart: bool, seed: int
    ) -> None:
        self.weight = np.ascontiguousarray(weight, dtype=np.int64)
        self.num_gpus = num_gpus
        self.slots_per_gpu = len(slot) // num_gpus
        self.apart = apart
        self.members, self.first = subsets_of_slots(self.slots_per_gpu)
        self.of_three, self.swaps, self.of_two = deals(self.slots_per_gpu)
        self.scratch = np.empty((5, 3 * self.slots_per_gpu), dtype=np.int64)
        self.sums = np.empty((num_gpus, len(self.members)), dtype=np.int64)
        self.size = np.empty(len(slot), dtype=np.int64)
        self.load = np.empty(num_gpus, dtype=np.int64)
        self.count = np.empty(len(weight), dtype=np.int64)
        self.state = np.zeros(descent.STATE_SIZE, dtype=np.int64)
        self.state[descent.RANDOM] = SALT + 1 + seed
        self.state[descent.BEST] = NO_PLAN
        self.best_slot = np.array(slot, dtype=np.int64)
        self.restart(slot)

    @property
    def best(self) -> int:
        """The largest fixed-point GPU load of the best plan."""
        return int(self.state[descent.BEST])

    def restart(self, slot: np.ndarray) -> None:
        """Go on from another plan; the best one is kept."""
        self.slot = np.array(slot, dtype=np.int64)
        descent.refill(self.slot, self.size, self.load, self.weight, self.count, self.slots_per_gpu)
        for gpu in range(self.num_gpus):
            sort_subsets(gpu, self.size, self.slots_per_gpu, self.members, self.first, self.sums)
        if self.load.max() < self.best:
            self.state[descent.BEST] = self.load.max()
            self.best_slot[:] = self.slot

    def advance(self, steps: int, target: int, *, only_exchange: bool = False) -> int:
        """Take steps; see `descent.advance`."""
        return int(
            descent.advance(
                self.slot,
                self.size,
                self.load,
                self.weight,
                self.count,
                self.best_slot,
                self.slots_per_gpu,
                self.members,
                self.first,
                self.sums,
                self.of_three,
                self.swaps,
                self.of_two,
                self.scratch,
                self.apart,
                only_exchange,
                target,
                self.state,
                steps,
            )
        )
