"""The change from one plan to another, with the rules for carrying it out; checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.arrays import as_int
from eplb_opt.problem.gpu_rules import as_mask


@dataclass(frozen=True, eq=False)
class Change:
    """Two maps and the machine between them.

    Parameters
    ----------
    old, new
        int64 [num_layers, num_slots], the expert in each slot before and after; -1 is empty. What
        a GPU that is not alive holds is -1 in `old`.
    num_gpus, num_nodes
        Slot p is on GPU p // (num_slots // num_gpus); GPUs are dealt out to the nodes in the same
        way.
    alive
        bool [num_gpus], the GPUs that can send and receive.
    staging_slots
        Staging slots of each GPU.
    max_in_flight
        The most transfers of a batch; None for no limit.
    """

    old: np.ndarray
    new: np.ndarray
    num_gpus: int
    num_nodes: int
    alive: np.ndarray
    staging_slots: int
    max_in_flight: int | None

    @property
    def num_slots(self) -> int:
        """Slots of a layer over all GPUs."""
        return int(self.old.shape[1])

    @property
    def slots_per_gpu(self) -> int:
        """Slots of a layer on each GPU."""
        return self.num_slots // self.num_gpus

    @property
    def is_written(self) -> np.ndarray:
        """Slots that get another expert, bool [num_layers, num_slots]."""
        return np.asarray((self.new >= 0) & (self.new != self.old))

    def gpu_of(self) -> list[int]:
        """The GPU of every slot, [num_slots]."""
        return [slot // self.slots_per_gpu for slot in range(self.num_slots)]

    def node_of(self) -> list[int]:
        """The node of every GPU, [num_gpus]."""
        return [gpu // (self.num_gpus // self.num_nodes) for gpu in range(self.num_gpus)]


def read_change(
    current: Any,
    plan: Any,
    num_gpus: int | None,
    num_nodes: int,
    active_gpus: Any,
    staging_slots: int,
    max_in_flight: int | None,
) -> Change:
    """The arguments of `transfers`, checked.

    Raises
    ------
    ProblemError
        For arguments that do not fit each other, with the numbers.
    PlanError
        For an array that is no map of experts.
    """
    gpus = _num_gpus(current, plan, num_gpus)
    before, after = (p if isinstance(p, Plan) else Plan(p, gpus) for p in (current, plan))
    old, new = before.physical_to_logical, after.physical_to_logical
    if old.shape != new.shape:
        raise ProblemError(
            f"current has {old.shape[0]} layers and {old.shape[1]} slots, the plan has "
            f"{new.shape[0]} and {new.shape[1]}; they must have the same."
        )
    nodes = as_int(num_nodes, "num_nodes")
    if gpus % nodes:
        raise ProblemError(f"num_gpus={gpus} is no multiple of num_nodes={nodes}.")
    alive = _alive(active_gpus, gpus)
    of_living = np.repeat(alive, old.shape[1] // gpus)
    if (new[:, ~of_living] >= 0).any():
        layer_idx, column = np.argwhere(new[:, ~of_living] >= 0)[0].tolist()
        slot = int(np.flatnonzero(~of_living)[column])
        raise ProblemError(
            f"Layer {layer_idx} of the plan has expert {new[layer_idx, slot]} in slot {slot} of "
            f"GPU {slot // (old.shape[1] // gpus)}, which active_gpus calls lost; a plan for the "
            "GPUs that are left has -1 there."
        )
    limit = None if max_in_flight is None else as_int(max_in_flight, "max_in_flight")
    staging = as_int(staging_slots, "staging_slots", least=0)
    return Change(np.where(of_living, old, -1), new, gpus, nodes, alive, staging, limit)


def _num_gpus(current: Any, plan: Any, num_gpus: int | None) -> int:
    """The GPUs, from whoever knows them."""
    known = {} if num_gpus is None else {"num_gpus": as_int(num_gpus, "num_gpus")}
    given = {"current": current, "the plan": plan}
    known |= {name: value.num_gpus for name, value in given.items() if isinstance(value, Plan)}
    if not known:
        raise ProblemError(
            "Two arrays do not say which slots a GPU has; give num_gpus=, or one of them as a Plan."
        )
    if len(set(known.values())) > 1:
        told = ", ".join(f"{name} says {number}" for name, number in known.items())
        raise ProblemError(f"The numbers of GPUs differ: {told}.")
    return next(iter(known.values()))


def _alive(active_gpus: Any, num_gpus: int) -> np.ndarray:
    if active_gpus is None:
        return np.ones(num_gpus, dtype=bool)
    alive = as_mask(active_gpus, "active_gpus", (num_gpus,))
    if not alive.any():
        raise ProblemError("active_gpus calls every GPU lost; nothing can be carried out.")
    return alive
