"""The three published steps, in numpy: groups to nodes, replicas, replicas to GPUs.

A packing is an order: item `order[row, slot]` lies in slot `slot`, and pack g
holds the slots g * room .. (g + 1) * room - 1 in the order they were filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heuristics.layout import Layout


class Pack(Protocol):
    """Gives every pack the same number of items; returns the order, int64 [num_rows, num_items]."""

    def __call__(self, weight: NDArray[np.float32], num_packs: int, /) -> NDArray[np.int64]:
        """Pack the weights, [num_rows, num_items], into that many packs."""
        ...


class Fill(Protocol):
    """Replicates a node's experts into its slots; returns int64 [num_rows, num_slots]."""

    def __call__(
        self, weight: NDArray[np.float32], num_slots: int, num_gpus: int, /
    ) -> NDArray[np.int64]:
        """Fill the slots for weights, [num_rows, num_experts], and spread them over the GPUs."""
        ...


def group_sums(weight: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """Load of every group, float32 [num_layers, num_groups].

    Summed in float64, so that the order of the terms, which differs between
    machines, does not show in the float32 result.
    """
    grouped = weight.reshape(-1, layout.num_groups, layout.group_size)
    sums: NDArray[np.float32] = grouped.sum(axis=2, dtype=np.float64).astype(np.float32)
    return sums


def node_members(weight: NDArray[np.float32], layout: Layout, pack: Pack) -> NDArray[np.int64]:
    """Experts of every node, int64 [num_layers * num_nodes, experts per node]."""
    if layout.num_groups == 1:
        return np.tile(np.arange(layout.num_experts), (weight.shape[0], 1))
    order = pack(group_sums(weight, layout), layout.num_nodes)
    members = order[:, :, None] * layout.group_size + np.arange(layout.group_size)
    return members.reshape(-1, layout.node_experts)


def node_weights(weight: NDArray[np.float32], members: NDArray[np.int64]) -> NDArray[np.float32]:
    """Look up the loads of every node's experts, in the order of `members`."""
    num_layers = weight.shape[0]
    rows = np.take_along_axis(weight, members.reshape(num_layers, -1), axis=1)
    return rows.reshape(members.shape)


def replica_loads(
    weight: NDArray[np.float32], counts: NDArray[np.int64], experts: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Load of one replica, for each listed expert, float32 [num_rows, num_replicas]."""
    # int64 counts would turn the quotient into float64.
    share: NDArray[np.float32] = np.divide(weight, counts.astype(np.float32))
    return np.take_along_axis(share, experts, axis=1)


def three_steps(
    weight: NDArray[np.float32], layout: Layout, pack: Pack, fill: Fill
) -> NDArray[np.int64]:
    """Plan all layers.

    Parameters
    ----------
    weight
        Loads, float32 [num_layers, num_experts].
    layout
        Slots, groups, nodes, GPUs.
    pack
        Shares the groups out to the nodes.
    fill
        Replicates and places the experts of a node; sees every node of every
        layer as one row.

    Returns
    -------
    ndarray
        Expert of every slot, int64 [num_layers, num_slots].
    """
    members = node_members(weight, layout, pack)
    placed = fill(node_weights(weight, members), layout.node_slots, layout.node_gpus)
    return np.take_along_axis(members, placed, axis=1).reshape(weight.shape[0], -1)
