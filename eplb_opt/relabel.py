"""A plan's GPUs under other names, so that the change from the plan in force moves least.

The GPUs of a node are alike, and so are nodes: a plan is worth the same whichever of its GPUs is
called which. Names are given by an optimal assignment, and what stays keeps its slot.
"""

from __future__ import annotations

import numpy as np


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
    kept = _kept_slots(current, new, num_gpus)
    size = num_gpus // num_nodes
    blocks = kept.reshape(num_nodes, size, num_nodes, size).transpose(0, 2, 1, 3)
    names = {(n, m): best_assignment(blocks[n, m]) for n, m in np.ndindex(num_nodes, num_nodes)}
    worth = np.zeros((num_nodes, num_nodes), dtype=np.int64)
    for (n, m), name in names.items():
        worth[n, m] = blocks[n, m][np.arange(size), name].sum()
    gpus = new.reshape(num_gpus, -1)
    placed = np.empty_like(gpus)
    for n, m in enumerate(best_assignment(worth)):
        placed[m * size + names[n, m]] = gpus[n * size : (n + 1) * size]
    return slots_kept(current, placed.ravel(), num_gpus)


def slots_kept(current: np.ndarray, new: np.ndarray, num_gpus: int) -> np.ndarray:
    """The new plan of a layer with what stays on a GPU in the slot where it was."""
    placed = np.full(new.shape, -1, dtype=np.int64)
    size = len(new) // num_gpus
    for first in range(0, len(new), size):
        wanted = new[first : first + size].tolist()
        left = []
        for p in range(first, first + size):
            if current[p] in wanted:
                placed[p] = current[p]
                wanted.remove(current[p])
            else:
                left.append(p)
        for p in left:
            placed[p] = wanted.pop(0)
    return placed


def _kept_slots(current: np.ndarray, new: np.ndarray, num_gpus: int) -> np.ndarray:
    """Slots of each new GPU whose expert each old GPU has, int64 [num_gpus new, num_gpus old]."""
    num_experts = int(max(current.max(), new.max())) + 1
    gpu_idx = np.arange(len(new)) // (len(new) // num_gpus)
    # Empty slots (-1) fall into the last column, where no expert looks.
    held = np.zeros((num_gpus, num_experts + 1), dtype=np.int64)
    held[gpu_idx, current] = 1
    return np.asarray(held[:, new].T.reshape(num_gpus, -1, num_gpus).sum(axis=1))


def best_assignment(worth: np.ndarray) -> np.ndarray:
    """The column of each row in an assignment of the largest total worth (Hungarian method).

    Shortest augmenting paths with potentials (Kuhn 1955; Jonker and Volgenant 1987); in integers,
    and the first of equals, so that it is the same everywhere.

    Parameters
    ----------
    worth
        int64 [num, num].

    Returns
    -------
    int64 [num].
    """
    num = len(worth)
    cost = worth.max() - worth
    row_price, column_price = np.zeros(num, dtype=np.int64), np.zeros(num + 1, dtype=np.int64)
    row_of = np.full(num + 1, -1, dtype=np.int64)  # the last column is where a path begins
    for row in range(num):
        row_of[num] = row
        at, came_from = num, np.full(num, num, dtype=np.int64)
        least = np.full(num, np.iinfo(np.int64).max)
        done = np.zeros(num + 1, dtype=bool)
        while row_of[at] >= 0:
            done[at] = True
            slack = cost[row_of[at]] - row_price[row_of[at]] - column_price[:num]
            closer = ~done[:num] & (slack < least)
            least[closer], came_from[closer] = slack[closer], at
            open_columns = np.flatnonzero(~done[:num])
            nearest = open_columns[least[open_columns].argmin()]
            step = least[nearest]
            row_price[row_of[done]] += step
            column_price[done] -= step
            least[open_columns] -= step
            at = int(nearest)
        while at != num:
            row_of[at] = row_of[came_from[at]]
            at = int(came_from[at])
    columns = np.empty(num, dtype=np.int64)
    columns[row_of[:num]] = np.arange(num)
    return columns
