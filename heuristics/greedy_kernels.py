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
ZERO = np.uint64(0)
#: Rows packed at a time: each waits for its own memory, so four overlap.
LANES = 4


def split(
    weight: Any,
    ranked: Any,
    members: Any,
    as_replicated: Any,
    replicas: Any,
    logcnt: Any,
    work: Any,
    heap: Any,
    share: Any,
    bits: Any,
) -> None:
    """Replicate every row, one slot after the other to the largest weight / count.

    Experts with one replica stay in the sorted list; only the others are in a
    heap, whose top is compared with the head of the list. At the end list and
    heap are merged into the descending list of all replicas.

    Parameters
    ----------
    weight
        Loads, float32 [num_rows, num_experts].
    ranked
        (load, index counted down), uint64 [num_rows, num_experts], ascending.
    members
        Logical expert of every row's expert, int64 [num_rows, num_experts].
    as_replicated
        Whether replicas are listed in the order they were made, not by load.
    replicas
        Written: (replica load, expert), uint64 [num_rows, num_slots], heaviest
        first; of equal loads the one that was made first.
    logcnt
        Written: int64 [num_layers, num_logical_experts].
    work, heap
        Scratch, int64 [2, num_slots] and uint64 [num_experts + 1]. Kernels that allocate nothing
        compile faster.
    share, bits
        Scratch, float32 [2], and the same memory as uint32.
    """
    num_rows, num_experts = weight.shape
    num_slots = replicas.shape[1]
    extra = num_slots - num_experts
    num_nodes = num_rows // logcnt.shape[0]
    count, made = work[0], work[1]
    for row in range(num_rows):
        for expert in range(num_experts):
            count[expert] = 1
        size = 0  # of the heap
        head = num_experts - 1  # of the list
        written = 0
        turn = 0
        complete = True  # all replicas of the last load are written
        while written < num_slots:
            if turn == extra and complete and not as_replicated:
                # What is heavier than all in the heap needs no more care.
                limit = heap[0] | LOW if size > 0 and heap[0] != ZERO else ZERO
                while head >= 0 and ranked[row, head] > limit:
                    key = ranked[row, head]
                    replicas[row, written] = key ^ LOW
                    written += 1
                    head -= 1
                if written == num_slots:
                    break
            # Take the heavier of the two tops; the replica's expert is in its low bits.
            from_list = head >= 0 and (size == 0 or ranked[row, head] > heap[0])
            top = ranked[row, head] if from_list else heap[0]
            expert = int(LOW - (top & LOW))
            key = ZERO  # sinks to the end of the heap: taken
            if turn < extra:
                made[turn] = expert
                turn += 1
                count[expert] += 1
                share[0] = weight[row, expert] / np.float32(count[expert])
                key = (np.uint64(bits[0]) << SHIFT) | (top & LOW)
            elif as_replicated:
                break
            else:
                replicas[row, written] = top ^ LOW
                written += 1
            hole = 0
            if from_list:
                head -= 1
                if key != ZERO:
                    hole = size
                    size += 1
                    while hole > 0 and heap[(hole - 1) >> 1] < key:
                        heap[hole] = heap[(hole - 1) >> 1]
                        hole = (hole - 1) >> 1
                    heap[hole] = key
            else:
                child = 1
                while child < size:
                    if child + 1 < size and heap[child + 1] > heap[child]:
                        child += 1
                    if heap[child] <= key:
                        break
                    heap[hole] = heap[child]
                    hole, child = child, 2 * child + 1
                heap[hole] = key
            # First replicas by expert come first among equals, then the others as they were made.
            if key == ZERO:
                load = top & ~LOW
                complete = (head < 0 or (ranked[row, head] & ~LOW) != load) and (
                    size == 0 or (heap[0] & ~LOW) != load or heap[0] == ZERO
                )
                alone = written == 1 or (replicas[row, written - 2] & ~LOW) != load
                if complete and alone:
                    for _ in range(count[expert] - 1):
                        replicas[row, written] = top ^ LOW
                        written += 1
                elif complete:
                    for index in range(extra):
                        share[0] = weight[row, made[index]] / np.float32(count[made[index]])
                        if np.uint64(bits[0]) << SHIFT == load:
                            replicas[row, written] = load | np.uint64(made[index])
                            written += 1
        if as_replicated:
            for expert in range(num_experts):
                replicas[row, expert] = np.uint64(expert)
            for index in range(extra):
                replicas[row, num_experts + index] = np.uint64(made[index])
        layer = row // num_nodes
        for expert in range(num_experts):
            logcnt[layer, members[row, expert]] = count[expert]


def pack(
    replicas: Any,
    members: Any,
    num_packs: Any,
    slots: Any,
    trees: Any,
    sizes: Any,
    share: Any,
    bits: Any,
) -> None:
    """Place every row's replicas as they come, each in the lightest pack with room.

    Parameters
    ----------
    replicas
        (replica load, expert), uint64 [num_rows, num_slots], as `split` writes them.
    members
        Logical expert of every row's expert, int64 [num_rows, num_experts].
    num_packs
        GPUs of a row.
    slots
        Written: logical expert of every slot, int64 [num_rows, num_slots].
    trees, sizes
        Scratch, uint64 [LANES, 2 * leaves], leaves a power of two of at least `num_packs`, and
        int64 [LANES, num_packs].
    share, bits
        As in `split`.
    """
    num_rows, num_slots = replicas.shape
    room = num_slots // num_packs
    leaves = trees.shape[1] // 2
    # Winner trees: node i holds the lesser of 2 i and 2 i + 1, the root (load, pack) of the
    # lightest pack with room.
    for first in range(0, num_rows, LANES):
        lanes = min(LANES, num_rows - first)
        for lane in range(lanes):
            for chosen in range(num_packs):
                sizes[lane, chosen] = 0
            for leaf in range(leaves):
                trees[lane, leaves + leaf] = np.uint64(leaf) if leaf < num_packs else FULL
            for node in range(leaves - 1, 0, -1):
                trees[lane, node] = min(trees[lane, 2 * node], trees[lane, 2 * node + 1])
        for turn in range(num_slots):
            for lane in range(lanes):
                row = first + lane
                replica = replicas[row, turn]
                root = trees[lane, 1]
                chosen = int(root & LOW)
                slot = chosen * room + sizes[lane, chosen]
                slots[row, slot] = members[row, np.int64(replica & LOW)]
                sizes[lane, chosen] += 1
                bits[0] = np.uint32(replica >> SHIFT)
                bits[1] = np.uint32(root >> SHIFT)
                share[0] += share[1]
                winner = (np.uint64(bits[0]) << SHIFT) | np.uint64(chosen)
                if sizes[lane, chosen] == room:
                    winner = FULL
                spot = leaves + chosen
                trees[lane, spot] = winner
                while spot > 1:
                    winner = min(winner, trees[lane, spot ^ 1])
                    spot >>= 1
                    trees[lane, spot] = winner


def list_slots(phy2log: Any, width: Any, used: Any, log2phy: Any) -> None:
    """List the slots of every expert, ascending.

    Parameters
    ----------
    phy2log
        Expert of every slot, int64 [num_layers, num_slots].
    width
        Length of the list, at least the largest count.
    used
        Scratch, int64 [num_experts].
    log2phy
        Written: int64 [num_layers, num_experts * width], padded with -1.
    """
    for layer in range(phy2log.shape[0]):
        for cell in range(log2phy.shape[1]):
            log2phy[layer, cell] = -1
        for expert in range(len(used)):
            used[expert] = expert * width
        for slot in range(phy2log.shape[1]):
            expert = phy2log[layer, slot]
            log2phy[layer, used[expert]] = slot
            used[expert] += 1
