"""The loops of the compiled greedy: plain functions over arrays.

They import no numba, so that they can be read, tested and linted as Python;
`greedy` compiles them. A load and its index share one uint64, float32 bits
above, index below: non-negative floats order like their bits, so one integer
comparison decides by load and then by index.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SHIFT = np.uint64(32)
LOW = np.uint64(0xFFFFFFFF)
FULL = np.uint64(0xFFFFFFFFFFFFFFFF)


def split(weight: Any, heap_keys: Any, num_slots: Any, counts: Any, owner: Any, keys: Any) -> None:
    """Replicate every row: one slot after the other to the largest weight / count.

    Parameters
    ----------
    weight
        Loads, float32 [num_rows, num_experts].
    heap_keys
        (load, index counted down), uint64 [num_rows, num_experts], ascending:
        read backwards a row is a max-heap already, first of equals on top.
    num_slots
        Slots of a row.
    counts
        Written: int64 [num_rows, num_experts].
    owner
        Written: expert of every replica, int64 [num_rows, num_slots].
    keys
        Written: (replica load, replica index counted down), uint64 [num_rows, num_slots].
    """
    num_rows, num_experts = weight.shape
    heap = np.empty(num_experts + 1, dtype=np.uint64)
    share = np.empty(1, dtype=np.float32)
    bits = share.view(np.uint32)
    for row in range(num_rows):
        for expert in range(num_experts):
            counts[row, expert] = 1
            owner[row, expert] = expert
            heap[expert] = heap_keys[row, num_experts - 1 - expert]
        for slot in range(num_experts, num_slots):
            low = heap[0] & LOW
            top = np.int64(LOW - low)
            owner[row, slot] = top
            counts[row, top] += 1
            share[0] = weight[row, top] / np.float32(counts[row, top])
            key = (np.uint64(bits[0]) << SHIFT) | low
            # The new key is smaller: let it sink from the top.
            hole, child = 0, 1
            while child < num_experts:
                if child + 1 < num_experts and heap[child + 1] > heap[child]:
                    child += 1
                if heap[child] <= key:
                    break
                heap[hole] = heap[child]
                hole, child = child, 2 * child + 1
            heap[hole] = key
        for slot in range(num_slots):
            expert = owner[row, slot]
            share[0] = weight[row, expert] / np.float32(counts[row, expert])
            keys[row, slot] = (np.uint64(bits[0]) << SHIFT) | (LOW - np.uint64(slot))


def pack(keys: Any, owner: Any, num_packs: Any, placed: Any) -> None:
    """Place every row's replicas, heaviest first, each in the lightest pack with room.

    Parameters
    ----------
    keys
        As `split` writes them, sorted ascending, uint64 [num_rows, num_slots].
    owner
        Expert of every replica, int64 [num_rows, num_slots].
    num_packs
        GPUs of a row.
    placed
        Written: expert of every slot, int64 [num_rows, num_slots].
    """
    num_rows, num_slots = keys.shape
    room = num_slots // num_packs
    leaves = 1
    while leaves < num_packs:
        leaves *= 2
    # A winner tree: node i holds the lesser of 2 i and 2 i + 1, the root the lightest pack.
    tree = np.empty(2 * leaves, dtype=np.uint64)
    size = np.empty(num_packs, dtype=np.int64)
    load = np.empty(num_packs, dtype=np.float32)
    load_bits = load.view(np.uint32)
    share = np.empty(1, dtype=np.float32)
    share_bits = share.view(np.uint32)
    for row in range(num_rows):
        size[:] = 0
        load[:] = 0
        for leaf in range(leaves):
            tree[leaves + leaf] = np.uint64(leaf) if leaf < num_packs else FULL
        for node in range(leaves - 1, 0, -1):
            tree[node] = min(tree[2 * node], tree[2 * node + 1])
        for turn in range(num_slots - 1, -1, -1):
            key = keys[row, turn]
            chosen = np.int64(tree[1] & LOW)
            placed[row, chosen * room + size[chosen]] = owner[row, np.int64(LOW - (key & LOW))]
            size[chosen] += 1
            share_bits[0] = np.uint32(key >> SHIFT)
            load[chosen] += share[0]
            winner = (np.uint64(load_bits[chosen]) << SHIFT) | np.uint64(chosen)
            if size[chosen] == room:
                winner = FULL
            spot = leaves + chosen
            tree[spot] = winner
            while spot > 1:
                tree[spot >> 1] = min(tree[spot], tree[spot ^ 1])
                spot >>= 1


def write_maps(
    placed: Any, members: Any, counts: Any, phy2log: Any, log2phy: Any, logcnt: Any
) -> None:
    """Write the three maps from what the nodes' rows decided.

    Parameters
    ----------
    placed
        Node expert of every slot, int64 [num_layers * num_nodes, slots per node].
    members
        Logical expert of every node expert, int64 [num_layers * num_nodes, experts per node].
    counts
        Replicas of every node expert, like `members`.
    phy2log, log2phy, logcnt
        Written; log2phy comes filled with -1.
    """
    num_rows, node_slots = placed.shape
    num_nodes = num_rows // phy2log.shape[0]
    used = np.empty(members.shape[1], dtype=np.int64)
    for row in range(num_rows):
        layer = row // num_nodes
        offset = (row % num_nodes) * node_slots
        used[:] = 0
        for index in range(members.shape[1]):
            logcnt[layer, members[row, index]] = counts[row, index]
        for slot in range(node_slots):
            index = placed[row, slot]
            expert = members[row, index]
            phy2log[layer, offset + slot] = expert
            log2phy[layer, expert, used[index]] = offset + slot
            used[index] += 1
