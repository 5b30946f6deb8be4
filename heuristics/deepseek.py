"""The reference: DeepSeek's expert-parallel load balancer, one layer after the other.

Needs numpy alone. Written to be read next to the description: group packing,
replication, replica packing.

References
----------
DeepSeek-AI, "Expert Parallelism Load Balancer (EPLB)", 2025,
https://github.com/deepseek-ai/EPLB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heuristics.stages import replica_loads, three_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heuristics.layout import Layout


def pack_row(weight: NDArray[np.float32], num_packs: int) -> NDArray[np.int64]:
    """Pack one row: descending weight, each item to the lightest pack with room.

    Returns
    -------
    ndarray
        Item of every slot, int64 [num_items].
    """
    room = len(weight) // num_packs
    if room == 1:
        return np.arange(num_packs)
    load = np.zeros(num_packs, dtype=np.float32)
    items: list[list[int]] = [[] for _ in range(num_packs)]
    for item in np.argsort(-weight, kind="stable").tolist():
        pack = int(load.argmin())
        items[pack].append(item)
        load[pack] = load[pack] + weight[item] if len(items[pack]) < room else np.inf
    return np.array(items, dtype=np.int64).ravel()


def balanced_packing(weight: NDArray[np.float32], num_packs: int) -> NDArray[np.int64]:
    """Pack every row; int64 [num_rows, num_items], the item of every slot."""
    return np.stack([pack_row(row, num_packs) for row in weight])


def replicate_row(
    weight: NDArray[np.float32], num_slots: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give one slot after the other to the largest weight / count.

    Returns
    -------
    experts
        Expert of every replica, int64 [num_slots].
    counts
        int64 [num_experts].
    """
    counts = np.ones(len(weight), dtype=np.int64)
    experts = list(range(len(weight)))
    while len(experts) < num_slots:
        top = int((weight / counts.astype(np.float32)).argmax())
        counts[top] += 1
        experts.append(top)
    return np.array(experts, dtype=np.int64), counts


def fill(weight: NDArray[np.float32], num_slots: int, num_gpus: int) -> NDArray[np.int64]:
    """Replicate and pack every row; int64 [num_rows, num_slots]."""
    rows = [replicate_row(row, num_slots) for row in weight]
    experts, counts = (np.stack(part) for part in zip(*rows, strict=True))
    order = balanced_packing(replica_loads(weight, counts, experts), num_gpus)
    return np.take_along_axis(experts, order, axis=1)


def solve(weight: NDArray[np.float32], layout: Layout) -> NDArray[np.int64]:
    """Expert of every slot, int64 [num_layers, num_slots]."""
    return three_steps(weight, layout, balanced_packing, fill)
