"""The laws of a plan once more, compiled: what leaves the hot path has passed them.

Shares no code with what places or moves replicas; `eplb_opt.checker` says the same in words, and
tests hold the two against each other.
"""

from __future__ import annotations


def first_offence(placed, logcnt, num_groups, num_nodes, count, home, held):  # type: ignore[no-untyped-def]
    """The first layer that breaks a law, or -1.

    Every slot holds an expert, every expert stands somewhere, as often as the counts say; and of
    several nodes each holds equally many groups, each group on one node.

    Parameters
    ----------
    placed
        int64 [num_layers, num_slots].
    logcnt
        int64 [num_layers, num_experts].
    num_groups, num_nodes
        1 and 1 where nodes constrain nothing.
    count, home, held
        int64 [num_experts], [num_groups], [num_nodes]; scratch.
    """
    num_slots, num_experts = placed.shape[1], logcnt.shape[1]
    group_size = num_experts // num_groups
    node_slots = num_slots // num_nodes
    for layer in range(placed.shape[0]):
        count[:], home[:], held[:] = 0, -1, 0
        for p in range(num_slots):
            expert = placed[layer, p]
            if expert < 0 or expert >= num_experts:
                return layer
            count[expert] += 1
            if num_nodes > 1:
                group, node = expert // group_size, p // node_slots
                if home[group] < 0:
                    home[group] = node
                    held[node] += 1
                elif home[group] != node:
                    return layer
        for expert in range(num_experts):
            if count[expert] < 1 or count[expert] != logcnt[layer, expert]:
                return layer
        if num_nodes > 1:
            for node in range(num_nodes):
                if held[node] * num_nodes != num_groups:
                    return layer
    return -1
