"""Groups to nodes: the partition whose heaviest node is the lightest, by dynamic programming."""

from __future__ import annotations

from eplb_opt.hot.piece import piece


@piece
def fill_masks(sums, groups_per_node, best, choice):  # type: ignore[no-untyped-def]
    """Solve all sets of groups that fill whole nodes, smallest first.

    Parameters
    ----------
    sums
        int64 [2**num_groups], load of every set of groups.
    groups_per_node
        Groups of a node.
    best, choice
        int64 [2**num_groups]; written: least largest node load, and the node that holds the
        first group of the set. A set that fills no whole nodes has best -1.
    """
    best[0] = 0
    for mask in range(1, sums.shape[0]):
        best[mask] = -1
        lowest = mask & -mask
        rest = mask ^ lowest
        part = rest
        while True:
            node = part | lowest
            size = 0
            left = node
            while left:
                left &= left - 1
                size += 1
            if size == groups_per_node and best[mask ^ node] >= 0:
                value = max(sums[node], best[mask ^ node])
                if best[mask] < 0 or value < best[mask]:
                    best[mask], choice[mask] = value, node
            if part == 0:
                break
            part = (part - 1) & rest


@piece
def partition(weights, num_groups, num_nodes, best, choice, sums, members):  # type: ignore[no-untyped-def]
    """Write the experts of every node, for each layer.

    Parameters
    ----------
    weights
        int64 [num_layers, num_experts], fixed-point loads.
    num_groups, num_nodes
        Consecutive groups of experts; each node takes equally many.
    best, choice, sums
        Scratch, int64 [2**num_groups].
    members
        int64 [num_layers * num_nodes, num_experts // num_nodes]; written.
    """
    group_size = weights.shape[1] // num_groups
    for layer in range(weights.shape[0]):
        sums[0] = 0
        for group in range(num_groups):
            load = 0
            for expert in range(group * group_size, (group + 1) * group_size):
                load += weights[layer, expert]
            for mask in range(1 << group):
                sums[mask | (1 << group)] = sums[mask] + load
        fill_masks(sums, num_groups // num_nodes, best, choice)
        mask = sums.shape[0] - 1
        for node in range(num_nodes):
            written = 0
            for group in range(num_groups):
                if choice[mask] >> group & 1:
                    for expert in range(group * group_size, (group + 1) * group_size):
                        members[layer * num_nodes + node, written] = expert
                        written += 1
            mask ^= choice[mask]
