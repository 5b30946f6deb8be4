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


def heaviest_nodes(weights: np.ndarray, placed: np.ndarray, layout: Layout) -> np.ndarray:
    """The load of the heaviest node of every layer, int64 [num_layers].

    Parameters
    ----------
    weights
        int64 [num_layers, num_experts].
    placed
        int64 [num_layers, num_slots], each group on one node; -1 is an empty slot.
    layout
        Slots, groups, nodes and GPUs.
    """
    groups = _group_loads(weights, layout)
    nodes = np.zeros((len(weights), layout.num_nodes), dtype=np.int64)
    at = np.arange(len(weights))[:, None]
    np.add.at(nodes, (at, _homes(placed, layout)), groups)
    return np.asarray(nodes.max(axis=1))


def with_traded_groups(
    weight: np.ndarray, held: np.ndarray, layout: Layout, level: float
) -> np.ndarray | None:
    """The map in force after the trades of groups that bring the heaviest node below a level.

    Each trade is the one after which the heaviest node is lightest. Replicas keep their number
    where the slots of the group that has left are enough; slots that are left over are empty.

    Parameters
    ----------
    weight
        int64 [num_experts].
    held
        int64 [num_slots], each group on one node; -1 is an empty slot.
    layout
        Slots, groups, nodes and GPUs.
    level
        The load of a node at or below which no further group has to move.

    Returns
    -------
    int64 [num_slots], or None where no trade is of use.
    """
    group_load = _group_loads(weight[None], layout)[0]
    before = _homes(held[None], layout)[0]
    homes = before.copy()
    for _ in range(MOST_TRADES):
        node_load = np.zeros(layout.num_nodes, dtype=np.int64)
        np.add.at(node_load, homes, group_load)
        if node_load.max() <= level:
            break
        trade = _best_trade(group_load, node_load, homes)
        if trade is None:
            break
        a, b = trade
        homes[a], homes[b] = homes[b], homes[a]
    return None if (homes == before).all() else _moved(held, before, homes, layout)


def _group_loads(weights: np.ndarray, layout: Layout) -> np.ndarray:
    shape = (len(weights), layout.num_groups, layout.group_size)
    return np.asarray(weights.reshape(shape).sum(axis=2))


def _homes(placed: np.ndarray, layout: Layout) -> np.ndarray:
    """The node of every group, int64 [num_layers, num_groups]."""
    homes = np.zeros((len(placed), layout.num_groups), dtype=np.int64)
    layer_idx, slot_idx = np.nonzero(placed >= 0)
    group = placed[layer_idx, slot_idx] // layout.group_size
    homes[layer_idx, group] = slot_idx // layout.node_slots
    return homes


def _best_trade(
    group_load: np.ndarray, node_load: np.ndarray, homes: np.ndarray
) -> tuple[int, int] | None:
    """Two groups, one of them on the heaviest node, whose trade makes that node lightest."""
    heavy = int(node_load.argmax())
    ours, theirs = np.flatnonzero(homes == heavy), np.flatnonzero(homes != heavy)
    if not theirs.size:
        return None
    # The heaviest of all nodes but two: of the three heaviest, the first that is none of them.
    order = np.argsort(-node_load, kind="stable")[1:3]
    rest = np.full(len(node_load), node_load[order[0]])
    rest[order[0]] = node_load[order[1]] if len(order) > 1 else 0
    shift = group_load[ours, None] - group_load[None, theirs]
    most = np.maximum(node_load[heavy] - shift, node_load[homes[theirs]] + shift)
    most = np.maximum(most, rest[homes[theirs]])
    at = int(most.argmin())
    if most.flat[at] >= node_load[heavy]:
        return None
    a, b = divmod(at, len(theirs))
    return int(ours[a]), int(theirs[b])


def _moved(held: np.ndarray, before: np.ndarray, homes: np.ndarray, layout: Layout) -> np.ndarray:
    """The map in which groups stand on other nodes, in the slots of those that have left."""
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
