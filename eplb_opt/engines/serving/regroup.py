"""Groups that change nodes: where the nodes' loads have drifted apart, few groups trade places.

Plans near the map in force leave every group on its node. No plan is then below the heaviest node's
mean, however many experts move within the nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from heuristics.layout import Layout

#: Trades of two groups at most; each moves all experts of both.
MOST_TRADES = 3


def heaviest_nodes(weights: np.ndarray, homes: np.ndarray, layout: Layout) -> np.ndarray:
    """The load of the heaviest node of every layer, int64 [num_layers].

    Parameters
    ----------
    weights
        int64 [num_layers, num_experts].
    homes
        int64 [num_layers, num_groups], the node of every group; see `homes_of`.
    layout
        Slots, groups, nodes and GPUs.
    """
    return np.asarray(_node_loads(_group_loads(weights, layout), homes, layout).max(axis=1))


def homes_of(placed: np.ndarray, layout: Layout) -> np.ndarray:
    """The node of every group, int64 [num_layers, num_groups].

    Parameters
    ----------
    placed
        int64 [num_layers, num_slots], each group on one node; -1 is an empty slot.
    layout
        Slots, groups, nodes and GPUs.
    """
    homes = np.zeros((len(placed), layout.num_groups), dtype=np.int64)
    layer_idx, slot_idx = np.nonzero(placed >= 0)
    group = placed[layer_idx, slot_idx] // layout.group_size
    homes[layer_idx, group] = slot_idx // layout.node_slots
    return homes


def after_trades(
    weights: np.ndarray, homes: np.ndarray, layout: Layout, level: np.ndarray
) -> np.ndarray:
    """The nodes of the groups after the trades that bring the heaviest node below a level.

    Each trade is between two groups, one of them on the heaviest node, and the one after which the
    heaviest node is lightest. There are at most `MOST_TRADES`.

    Parameters
    ----------
    weights
        int64 [num_layers, num_experts].
    homes
        int64 [num_layers, num_groups], the nodes in force.
    layout
        Slots, groups, nodes and GPUs.
    level
        [num_layers], loads of a node at or below which no further group has to move.

    Returns
    -------
    int64 [num_layers, num_groups].
    """
    group_load, homes = _group_loads(weights, layout), homes.copy()
    for _ in range(MOST_TRADES):
        node_load = _node_loads(group_load, homes, layout)
        rows = np.flatnonzero(node_load.max(axis=1) > level)
        if not rows.size:
            break
        most, first, second = _best_trades(group_load[rows], node_load[rows], homes[rows])
        helps = most < node_load[rows].max(axis=1)
        rows, first, second = rows[helps], first[helps], second[helps]
        homes[rows, first], homes[rows, second] = homes[rows, second], homes[rows, first]
    return homes


def with_traded_groups(
    held: np.ndarray, before: np.ndarray, homes: np.ndarray, layout: Layout
) -> np.ndarray:
    """One layer's map in force with its groups on other nodes.

    Replicas keep their number where the slots of the groups that have left are enough; slots that
    are left over are empty.

    Parameters
    ----------
    held
        int64 [num_slots], each group on one node; -1 is an empty slot.
    before, homes
        int64 [num_groups], the nodes in force and the other ones, as many groups on each.
    layout
        Slots, groups, nodes and GPUs.

    Returns
    -------
    int64 [num_slots].
    """
    group_of_slot = np.where(held >= 0, held // layout.group_size, -1)
    node_of_slot = np.arange(layout.num_slots) // layout.node_slots
    moves = before != homes
    placed = held.copy()
    for node in range(layout.num_nodes):
        slots = np.flatnonzero((node_of_slot == node) & (group_of_slot >= 0))
        free = slots[moves[group_of_slot[slots]]]
        placed[free] = -1
        comers = np.flatnonzero(moves & (homes == node))
        replicas = held[np.isin(group_of_slot, comers)]
        # One replica of every expert first, then those that had more.
        _, first = np.unique(replicas, return_index=True)
        order = [*replicas[np.sort(first)], *np.delete(replicas, first)]
        num = min(len(order), len(free))
        placed[free[:num]] = order[:num]
    return placed


def _group_loads(weights: np.ndarray, layout: Layout) -> np.ndarray:
    shape = (len(weights), layout.num_groups, layout.group_size)
    return np.asarray(weights.reshape(shape).sum(axis=2))


def _node_loads(group_load: np.ndarray, homes: np.ndarray, layout: Layout) -> np.ndarray:
    nodes = np.zeros((len(group_load), layout.num_nodes), dtype=np.int64)
    np.add.at(nodes, (np.arange(len(group_load))[:, None], homes), group_load)
    return nodes


def _best_trades(
    group_load: np.ndarray, node_load: np.ndarray, homes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The heaviest node after the best trade of every layer, and the two groups, [num_layers]."""
    num_layers, num_groups = homes.shape
    at = np.arange(num_layers)
    order = np.argsort(-node_load, axis=1, kind="stable")
    heavy, next_heavy = order[:, 0], order[:, 1]
    # The heaviest of the nodes that a trade does not touch.
    rest = np.repeat(node_load[at, next_heavy][:, None], node_load.shape[1], axis=1)
    rest[at, next_heavy] = node_load[at, order[:, 2]] if node_load.shape[1] > 2 else 0
    shift = group_load[:, :, None] - group_load[:, None, :]
    theirs = (node_load[at[:, None], homes])[:, None, :] + shift
    most = np.maximum(node_load[at, heavy][:, None, None] - shift, theirs)
    most = np.maximum(most, rest[at[:, None], homes][:, None, :])
    is_ours = homes == heavy[:, None]
    most[~(is_ours[:, :, None] & ~is_ours[:, None, :])] = np.iinfo(np.int64).max
    flat = most.reshape(num_layers, -1)
    best = flat.argmin(axis=1)
    return flat[at, best], best // num_groups, best % num_groups
