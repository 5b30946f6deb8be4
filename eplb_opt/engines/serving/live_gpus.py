"""The GPUs that are left: a layer's slots without those of lost GPUs, and back again.

A flat layer on the GPUs that are left is a smaller layer, with nothing else to know about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import ProblemError

if TYPE_CHECKING:
    from heuristics.layout import Layout

#: What a slot of a lost GPU holds in a map.
EMPTY = -1


@dataclass(frozen=True, eq=False)
class LiveGpus:
    """Which GPUs are there, and their slots.

    Parameters
    ----------
    active
        bool [num_gpus].
    slots_per_gpu
        Slots a GPU.
    """

    active: np.ndarray
    slots_per_gpu: int

    @property
    def is_all(self) -> bool:
        """Whether no GPU is lost."""
        return bool(self.active.all())

    @property
    def num_gpus(self) -> int:
        """GPUs that are there."""
        return int(self.active.sum())

    @property
    def slots(self) -> np.ndarray:
        """The slots of the GPUs that are there, int64 ascending."""
        return np.flatnonzero(np.repeat(self.active, self.slots_per_gpu))

    def require_room(self, num_experts: int) -> None:
        """Refuse what no plan can be made for.

        Raises
        ------
        ProblemError
            When no GPU is there, or their slots are fewer than the experts.
        """
        if not self.num_gpus:
            raise ProblemError(f"None of the {len(self.active)} GPUs is there.")
        room = self.num_gpus * self.slots_per_gpu
        if room < num_experts:
            needed = -(-num_experts // self.slots_per_gpu)
            raise ProblemError(
                f"{self.num_gpus} GPUs are there, with {room} slots for {num_experts} experts: "
                f"at least {needed} GPUs are needed, or more slots a GPU."
            )

    def keep_groups(self, layout: Layout) -> bool:
        """Whether every node's GPUs still have slots for the experts of its share of groups.

        Where nodes constrain nothing there are no groups to keep.
        """
        return layout.num_nodes > 1 and bool(self._node_room(layout).min() >= layout.node_experts)

    def why_groups_leave(self, layout: Layout) -> str:
        """What to say where groups have to leave their nodes."""
        room = self._node_room(layout)
        node = int(room.argmin())
        return (
            f"groups leave their nodes: the GPUs that are left of node {node} have {room[node]} "
            f"slots for the {layout.node_experts} experts of its groups"
        )

    def _node_room(self, layout: Layout) -> np.ndarray:
        """Slots that are left of every node, int64 [num_nodes]."""
        left = self.active.reshape(layout.num_nodes, -1).sum(axis=1)
        return np.asarray(left * self.slots_per_gpu)

    def cut(self, held: np.ndarray) -> np.ndarray:
        """A map of all GPUs, [num_layers, num_slots], without the slots of lost ones."""
        return np.ascontiguousarray(held[:, self.slots])

    def spread(
        self, maps: tuple[np.ndarray, np.ndarray, np.ndarray], lost: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Maps of the GPUs that are there as maps of all GPUs.

        Parameters
        ----------
        maps
            physical_to_logical, logical_to_physical and logical_count.
        lost
            What the slots of lost GPUs hold: -1, or an id where an engine wants one. No expert's
            slots or counts name them.

        Returns
        -------
        The same three; physical_to_logical has all slots, and logical_to_physical names them.
        """
        placed, logical, count = maps
        physical = np.full((len(placed), self.active.size * self.slots_per_gpu), lost, np.int64)
        physical[:, self.slots] = placed
        return physical, np.where(logical >= 0, self.slots[logical], -1), count
