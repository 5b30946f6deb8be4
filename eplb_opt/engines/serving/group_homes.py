"""Maps whose groups do not stand on one node each: what is off its group's node is let go.

So it is after a loss for which groups had to leave their nodes, and when a model starts from a map
that knew no nodes. Every group gets the node that holds most of it; slots with an expert of another
node's group count as empty, for they have to change whatever the plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.relabel import best_assignment

if TYPE_CHECKING:
    from heuristics.layout import Layout


def on_home_nodes(held: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """The slots that can stay where each group has one node and each node its share of groups.

    Parameters
    ----------
    held
        int64 [num_layers, num_slots], -1 for an empty slot.
    layout
        Several groups and nodes.

    Returns
    -------
    start
        int64 like `held`, with -1 where the expert's group has its node elsewhere. Groups are given
        to nodes so that as few slots as possible are let go.
    is_strange
        bool [num_layers]: layers that let go of more than they keep, whose map knew no nodes.
    """
    start = held.copy()
    slots = _slots_on_nodes(held, layout)
    share = layout.num_groups // layout.num_nodes
    is_there = slots > 0
    is_off = (is_there.sum(axis=2) > 1).any(axis=1) | (is_there.sum(axis=1) > share).any(axis=1)
    node_of_slot = np.arange(layout.num_slots) // layout.node_slots
    for layer_idx in np.flatnonzero(is_off).tolist():
        # A node is as many columns as it takes groups.
        home = best_assignment(np.repeat(slots[layer_idx], share, axis=1)) // share
        is_home = home[held[layer_idx] // layout.group_size] == node_of_slot
        start[layer_idx] = np.where(is_home, held[layer_idx], -1)
    kept, all_held = ((row >= 0).sum(axis=1) for row in (start, held))
    return start, np.asarray(2 * kept < all_held)


def _slots_on_nodes(held: np.ndarray, layout: Layout) -> np.ndarray:
    """Slots of every group on every node, int64 [num_layers, num_groups, num_nodes]."""
    num_layers, num_slots = held.shape
    shape = (num_layers, layout.num_groups, layout.num_nodes)
    group, node = held // layout.group_size, np.arange(num_slots) // layout.node_slots
    index = (np.arange(num_layers)[:, None] * shape[1] + group) * shape[2] + node
    return np.bincount(index[held >= 0], minlength=int(np.prod(shape))).reshape(shape)
