"""What changing from one plan to another moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.problem.topology import node_of_gpus

if TYPE_CHECKING:
    from eplb_opt.placement.plan import Plan
    from eplb_opt.problem.problem import Problem


def moved_slots(current: Plan, new: Plan) -> np.ndarray:
    """Slots whose expert is new on its GPU, int64 [num_layers].

    A replica that changes its slot on the same GPU moves nothing over a wire, nor does a
    further copy of an expert that the GPU held before, nor a slot that is left empty.

    Parameters
    ----------
    current, new
        Plans with the same layers, slots and GPUs; both may have empty slots.
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


def across_nodes_by_gpu(current: Plan, new: Plan, node_of_gpu: np.ndarray) -> np.ndarray:
    """What every GPU has to receive from another node: its slots whose expert is new on the node.

    Parameters
    ----------
    current, new
        As of `moved_slots`.
    node_of_gpu
        int64 [num_gpus].

    Returns
    -------
    int64 [num_layers, num_gpus].
    """
    num_experts = max(current.num_experts, new.num_experts)
    num_nodes = int(node_of_gpu.max()) + 1
    node = np.repeat(node_of_gpu, new.num_slots // new.num_gpus)[None, :]
    layer = np.arange(new.num_layers)[:, None]
    # Empty slots (-1) fall into the last column, where no expert looks.
    stood = np.zeros((new.num_layers, num_nodes, num_experts + 1), dtype=bool)
    stood[layer, node, current.physical_to_logical] = True
    placed = new.physical_to_logical
    is_far = ~stood[layer, node, placed] & (placed >= 0)
    return np.asarray(is_far.reshape(new.num_layers, new.num_gpus, -1).sum(axis=2))


@dataclass(frozen=True, eq=False)
class MovePrice:
    """What a moved slot counts: 1, and more on a node where its expert did not stand.

    Parameters
    ----------
    node_of_gpu
        int64 [num_gpus], the node of each GPU, ascending.
    across
        What a move to a node counts on which its expert did not stand.
    """

    node_of_gpu: np.ndarray
    across: int = 1

    def by_gpu(self, current: Plan, new: Plan) -> np.ndarray:
        """What every GPU's new experts count, int64 [num_layers, num_gpus]."""
        moved = moved_slots_by_gpu(current, new)
        if self.across == 1:
            return moved
        far = across_nodes_by_gpu(current, new, self.node_of_gpu)
        return np.asarray(moved + (self.across - 1) * far)

    def of(self, current: Plan, new: Plan) -> np.ndarray:
        """What the moves of each layer count, int64 [num_layers]."""
        return np.asarray(self.by_gpu(current, new).sum(axis=1))

    @property
    def equal_nodes(self) -> int | None:
        """The number of nodes where they have equally many GPUs, node by node; else None."""
        num_nodes, num_gpus = int(self.node_of_gpu.max()) + 1, len(self.node_of_gpu)
        if num_gpus % num_nodes:
            return None
        equal = np.repeat(np.arange(num_nodes), num_gpus // num_nodes)
        return num_nodes if (self.node_of_gpu == equal).all() else None


def move_price(problem: Problem, across: int = 1, left: Problem | None = None) -> MovePrice:
    """What moves count on a problem's GPUs.

    Parameters
    ----------
    problem
        The problem, whose nodes count.
    across
        As of `MovePrice`.
    left
        The same without its lost GPUs, where plans are for these alone.
    """
    node = node_of_gpus(problem)
    is_left = left is None or left is problem
    return MovePrice(node if is_left else node[problem.open_slots > 0], across)


def counted_moves(current: Plan, new: Plan, price: MovePrice | None) -> np.ndarray:
    """What the moves of each layer count, int64 [num_layers]; all alike without a price."""
    return moved_slots(current, new) if price is None else price.of(current, new)
