"""What the refinement starts from: the greedy, the plan in force, a better partition of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt import scoring
from eplb_opt.arrays import as_numpy
from eplb_opt.errors import ProblemError
from eplb_opt.hot.arena import ARENA
from eplb_opt.hot.marks import NUM_MARKS, REACHED, TOTAL
from heuristics import greedy
from heuristics.maps import count_replicas

if TYPE_CHECKING:
    from eplb_opt.hot.door import Call
    from eplb_opt.hot.kernels import Kernels

#: Sets of groups that the dynamic program goes through; beyond, the published packing stays.
MAX_GROUPS = 12
#: Node loads that differ by less are of the same partition, or of one as good.
SAME_PARTITION = 1e-9


@dataclass(frozen=True, eq=False)
class Rows:
    """A placement with the rows that are refined, see `rows.read`.

    Parameters
    ----------
    placed
        int64 [num_layers, num_slots].
    plans, bests, marks
        int64 [num_rows, ...]; the first two are this thread's until its next call.
    """

    placed: np.ndarray
    plans: np.ndarray
    bests: np.ndarray
    marks: np.ndarray

    def worst(self, column: int, num_layers: int) -> np.ndarray:
        """The largest of a mark over each layer's rows, int64 [num_layers]."""
        return np.asarray(self.marks[:, column].reshape(num_layers, -1).max(axis=1))

    def replace(self, other: Rows, layers: np.ndarray) -> None:
        """Take some layers (bool [num_layers]) from another placement."""
        by_row = np.repeat(layers, len(self.marks) // len(layers))
        self.placed[layers] = other.placed[layers]
        self.plans[by_row] = other.plans[by_row]
        self.marks[by_row] = other.marks[by_row]


def read(call: Call, weights: np.ndarray, placed: np.ndarray, kernels: Kernels) -> Rows:
    """The rows of a placement."""
    layout = call.layout
    by_row = placed.reshape(-1, layout.node_slots)
    width = 2 * layout.node_slots + layout.node_gpus + layout.num_experts
    plans, bests = ARENA.take((len(by_row), width)), ARENA.take((len(by_row), width))
    marks = np.empty((len(by_row), NUM_MARKS), dtype=np.int64)
    kernels.read(by_row, weights, layout.node_gpus, plans, marks)
    return Rows(placed, plans, bests, marks)


def fold(call: Call, placed: np.ndarray) -> np.ndarray:
    """With two slots a GPU, the same counts with the heaviest on the lightest replica's GPU."""
    counts = count_replicas(placed, call.layout.num_experts)
    share = np.take_along_axis(call.values / counts, placed, axis=1)
    shape = call.num_layers, call.layout.num_nodes, call.layout.node_slots
    order = np.argsort(-share.reshape(shape), axis=2, kind="stable")
    ranked = np.take_along_axis(placed.reshape(shape), order, axis=2)
    num_gpus = call.layout.node_gpus
    folded = np.stack([ranked[:, :, :num_gpus], ranked[:, :, : num_gpus - 1 : -1]], axis=3)
    return folded.reshape(placed.shape)


def admit_current(call: Call, current: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """The plan in force and in which layers it is still valid; None where in none.

    Raises
    ------
    ProblemError
        When it is of another shape.
    """
    placed = as_numpy(getattr(current, "physical_to_logical", current), "current")
    wanted = (call.num_layers, call.layout.num_slots)
    if placed.shape != wanted or placed.dtype.kind not in "iu":
        raise ProblemError(
            f"current is {placed.dtype} {list(placed.shape)}; it must hold integers "
            f"{list(wanted)}: the expert of every slot."
        )
    num_experts = call.layout.num_experts
    valid = (placed.min(axis=1) >= 0) & (placed.max(axis=1) < num_experts)
    placed = np.where(valid[:, None], placed, 0).astype(np.int64)
    valid &= (count_replicas(placed, num_experts) > 0).all(axis=1)
    if call.layout.num_nodes > 1:
        valid &= _keeps_groups(call, placed)
    return (placed, valid) if valid.any() else None


def _keeps_groups(call: Call, placed: np.ndarray) -> np.ndarray:
    """Whether each group stands on one node and each node has its number of groups."""
    layout, num_layers = call.layout, call.num_layers
    seen = np.zeros((num_layers, layout.num_nodes, layout.num_groups), dtype=bool)
    node_idx = np.arange(layout.num_slots) // layout.node_slots
    seen[np.arange(num_layers)[:, None], node_idx, placed // layout.group_size] = True
    on_one = (seen.sum(axis=1) == 1).all(axis=1)
    equal = (seen.sum(axis=2) == layout.num_groups // layout.num_nodes).all(axis=1)
    return np.asarray(on_one & equal)


def keep_layers(call: Call, new: Rows, old: Rows, margin: int, exactly: bool) -> np.ndarray:
    """Layers in which the plan in force, `old`, is as good as `new`, bool [num_layers].

    Fixed-point loads decide where they differ by more than their rounding. Elsewhere rationals
    do, or, where there is no time for them (some 0.1 ms a layer), the plan in force stays: nothing
    moves then, for a difference below 1e-15 of the layer's load.
    """
    difference = new.worst(REACHED, call.num_layers) - old.worst(REACHED, call.num_layers)
    keep = difference >= -margin
    doubtful = np.flatnonzero(np.abs(difference) <= margin)
    if exactly and doubtful.size:
        load = call.problem().load[doubtful]
        exact = [
            scoring.largest_gpu_loads(load, rows.placed[doubtful], call.layout.num_gpus)
            for rows in (old, new)
        ]
        keep[doubtful] = [a <= b for a, b in zip(*exact, strict=True)]
    return np.asarray(keep)


def for_refinement(call: Call, weights: np.ndarray, least: Rows, kernels: Kernels) -> Rows:
    """What to refine: the best placement so far, or a new one where its groups can do better."""
    if call.slots_per_gpu == 2:
        return read(call, weights, fold(call, least.placed), kernels)
    placed = repartition(call, weights, kernels)
    if placed is None:
        return least
    other = read(call, weights, placed, kernels)
    mine, theirs = (rows.worst(TOTAL, call.num_layers) for rows in (least, other))
    # Among equal partitions the better plan; the node loads differ by rounding alone then.
    lower = other.worst(REACHED, call.num_layers) < least.worst(REACHED, call.num_layers)
    slack = mine * SAME_PARTITION
    chosen = (theirs < mine - slack) | (lower & (theirs <= mine + slack))
    other.replace(least, ~chosen)
    return other


def repartition(call: Call, weights: np.ndarray, kernels: Kernels) -> np.ndarray | None:
    """The greedy on the partition of groups with the lightest heaviest node, if there is another.

    Returns
    -------
    int64 [num_layers, num_slots], or None.
    """
    layout = call.layout
    if (
        layout.num_nodes == 1
        or layout.num_groups > MAX_GROUPS
        or layout.num_nodes == layout.num_groups
    ):
        return None
    best, choice, sums = np.empty((3, 1 << layout.num_groups), dtype=np.int64)
    members = np.empty((call.num_layers * layout.num_nodes, layout.node_experts), dtype=np.int64)
    kernels.partition(weights, layout.num_groups, layout.num_nodes, best, choice, sums, members)
    return greedy.place(call.single, layout, kernels.greedy, members)[0]
