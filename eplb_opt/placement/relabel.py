"""A plan's GPUs under other names, so that the change from the plan in force moves least.

The GPUs of a node are alike, and so are nodes: a plan is worth the same whichever of its GPUs is
called which. Names are given by an optimal assignment, and what stays keeps its slot.
"""

from __future__ import annotations

import numpy as np

from eplb_opt import core


def relabelled(
    current: np.ndarray, new: np.ndarray, num_gpus: int, num_nodes: int = 1, across: int = 1
) -> np.ndarray:
    """One layer's new plan under the names with which moves count least.

    A move is a slot whose expert is new on its GPU.

    Parameters
    ----------
    current
        int64 [num_slots], -1 for an empty slot.
    new
        int64 [num_slots].
    num_gpus
        Slot p is on GPU p // (num_slots // num_gpus).
    num_nodes
        More than one where a GPU may trade names within its node alone; whole nodes trade too.
    across
        What a move counts to one of these nodes on which its expert did not stand; others count 1.

    Returns
    -------
    int64 [num_slots], the same GPUs in another order.
    """
    held, fresh = (np.ascontiguousarray(row, dtype=np.int64) for row in (current, new))
    return core.moves.relabel(held, fresh, num_gpus, num_nodes, across)


def relabelled_freely(
    current: np.ndarray, new: np.ndarray, node_of_gpu: np.ndarray, across: int
) -> np.ndarray:
    """The same where GPUs trade names over all nodes, and nodes count for the moves alone.

    Parameters
    ----------
    current, new
        As of `relabelled`.
    node_of_gpu
        int64 [num_gpus].
    across
        What a move counts to a node on which its expert did not stand; others count 1.

    Returns
    -------
    int64 [num_slots], the same GPUs in another order.
    """
    num_gpus = len(node_of_gpu)
    held, fresh = (row.reshape(num_gpus, -1) for row in (current, new))
    num_experts = int(max(held.max(), fresh.max())) + 1
    on_gpu = np.zeros((num_gpus, num_experts + 1), dtype=np.int64)  # the last one of empty slots
    np.put_along_axis(on_gpu, held, 1, axis=1)
    on_node = np.zeros((int(node_of_gpu.max()) + 1, num_experts + 1), dtype=np.int64)
    np.maximum.at(on_node, node_of_gpu, on_gpu)
    saved = on_gpu + (across - 1) * on_node[node_of_gpu]  # [names, experts]
    saved[:, -1] = 0
    worth = saved[:, fresh].sum(axis=2).T  # of each GPU under each name
    named = np.empty_like(fresh)
    named[best_assignment(worth)] = fresh
    return slots_kept(current, named.ravel(), num_gpus)


def slots_kept(current: np.ndarray, new: np.ndarray, num_gpus: int) -> np.ndarray:
    """The new plan of a layer with what stays on a GPU in the slot where it was."""
    held, fresh = (np.ascontiguousarray(row, dtype=np.int64) for row in (current, new))
    return core.moves.keep_slots(held, fresh, num_gpus)


def best_assignment(worth: np.ndarray) -> np.ndarray:
    """The column of each row in an assignment of the largest total worth (Hungarian method).

    In integers, and the first of equals in a fixed order, so that it is the same everywhere.

    Parameters
    ----------
    worth
        int64 [num, num], at least 0.

    Returns
    -------
    int64 [num].
    """
    return core.moves.best_assignment(np.ascontiguousarray(worth, dtype=np.int64))
