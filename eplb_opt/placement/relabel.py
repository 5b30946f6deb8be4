"""A plan's GPUs under other names, so that the change from the plan in force moves least.

The GPUs of a node are alike, and so are nodes: a plan is worth the same whichever of its GPUs is
called which. Names are given by an optimal assignment, and what stays keeps its slot.
"""

from __future__ import annotations

import numpy as np

from eplb_opt import core


def relabelled(
    current: np.ndarray, new: np.ndarray, num_gpus: int, num_nodes: int = 1
) -> np.ndarray:
    """One layer's new plan with the fewest slots whose expert is new on its GPU.

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

    Returns
    -------
    int64 [num_slots], the same GPUs in another order.
    """
    held, fresh = (np.ascontiguousarray(row, dtype=np.int64) for row in (current, new))
    return core.moves.relabel(held, fresh, num_gpus, num_nodes)


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
