"""Our greedy in numpy alone: the reference's answers, all layers at once.

It is the greedy to read, what the compiled one is held against, and the part
that places given counts; it must import nothing heavier than numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heuristics.arguments import admit_array
from heuristics.layout import make_layout, positive
from heuristics.maps import Maps, complete
from heuristics.stages import replica_loads, three_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heuristics.layout import Layout


def replicate(
    weight: NDArray[np.float32], num_slots: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give one slot after the other to the largest weight / count.

    Parameters
    ----------
    weight
        Loads, float32 [num_rows, num_experts].
    num_slots
        Slots to fill, at least num_experts.

    Returns
    -------
    experts
        Expert of every replica, int64 [num_rows, num_slots].
    counts
        int64 [num_rows, num_experts].
    """
    num_rows, num_experts = weight.shape
    counts = np.ones(weight.size, dtype=np.float32)
    score = weight.copy()
    flat_score, flat_weight = score.ravel(), weight.ravel()
    experts = np.empty((num_slots, num_rows), dtype=np.int64)
    experts[:num_experts] = np.arange(num_experts)[:, None]
    base = np.arange(num_rows) * num_experts
    for slot in range(num_experts, num_slots):
        experts[slot] = score.argmax(axis=1)
        cell = experts[slot] + base
        count = counts[cell] + np.float32(1)
        counts[cell] = count
        flat_score[cell] = flat_weight[cell] / count
    return experts.T.copy(), counts.reshape(weight.shape).astype(np.int64)


def balanced_packing(weight: NDArray[np.float32], num_packs: int) -> NDArray[np.int64]:
    """Place items in descending weight, each in the lightest pack with room.

    Parameters
    ----------
    weight
        float32 [num_rows, num_items], num_items a multiple of `num_packs`.
    num_packs
        Packs to fill equally.

    Returns
    -------
    ndarray
        Item of every slot, int64 [num_rows, num_items].
    """
    num_rows, num_items = weight.shape
    room = num_items // num_packs
    if room == 1:
        return np.tile(np.arange(num_items), (num_rows, 1))
    items = np.argsort(-weight, axis=1, kind="stable")
    columns = np.take_along_axis(weight, items, axis=1).T.copy()
    load = np.zeros((num_rows, num_packs), dtype=np.float32)
    flat_load = load.ravel()
    left = np.full(num_rows * num_packs, room)
    base = np.arange(num_rows) * num_packs
    packs = np.empty((num_items, num_rows), dtype=np.int64)
    for index, column in enumerate(columns):
        load.argmin(axis=1, out=packs[index])
        cell = packs[index] + base
        flat_load[cell] += column
        rest = left[cell] - 1
        left[cell] = rest
        flat_load[cell[rest == 0]] = np.inf
    # A stable sort by pack lists each pack's items in the order they came.
    order = np.argsort(packs.T, axis=1, kind="stable")
    return np.take_along_axis(items, order, axis=1)


def fill(weight: NDArray[np.float32], num_slots: int, num_gpus: int) -> NDArray[np.int64]:
    """Replicate and pack every row.

    Parameters
    ----------
    weight
        Loads, float32 [num_rows, num_experts].
    num_slots
        Slots of a row, a multiple of `num_gpus`.
    num_gpus
        GPUs, each with the same number of slots.

    Returns
    -------
    ndarray
        Expert of every slot, int64 [num_rows, num_slots].
    """
    experts, counts = replicate(weight, num_slots)
    order = balanced_packing(replica_loads(weight, counts, experts), num_gpus)
    return np.take_along_axis(experts, order, axis=1)


def solve(weight: NDArray[np.float32], layout: Layout) -> NDArray[np.int64]:
    """Pack the groups on nodes, then replicate and pack in each node.

    Parameters
    ----------
    weight
        Loads, float32 [num_layers, num_experts].
    layout
        Slots, GPUs, nodes and groups.

    Returns
    -------
    ndarray
        Expert of every slot, int64 [num_layers, num_slots].
    """
    return three_steps(weight, layout, balanced_packing, fill)


def rebalance_experts(
    weight: Any, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> Maps:
    """Place replicas of all experts in numpy.

    Parameters
    ----------
    weight
        Loads, tokens, [num_layers, num_experts]: an array or nested list.
        Never modified.
    num_replicas
        Slots of a layer, a multiple of `num_gpus`.
    num_groups, num_nodes
        Groups of consecutive experts that stay on one node. Where
        num_groups is no multiple of num_nodes, both count as 1.
    num_gpus
        GPUs, a multiple of the nodes in force.

    Returns
    -------
    phy2log
        Expert of every slot, int64 [num_layers, num_replicas].
    log2phy
        Slots of every expert, ascending, int64 [num_layers, num_experts,
        largest count], padded with -1.
    logcnt
        Replicas of every expert, int64 [num_layers, num_experts].

    Raises
    ------
    ValueError
        If the loads or the numbers make no problem.
    """
    load = admit_array(weight)
    layout = make_layout(load.shape[1], num_replicas, num_groups, num_nodes, num_gpus)
    return complete(solve(load, layout), load.shape[1], None)


def expand(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """List the replicas that counts ask for, in blocks by expert.

    Parameters
    ----------
    counts
        Replicas of every expert, int64 [num_rows, num_experts]; all rows
        add up to the same number of slots.

    Returns
    -------
    ndarray
        Expert of every replica, int64 [num_rows, num_slots].
    """
    experts = np.tile(np.arange(counts.shape[1]), counts.shape[0])
    return np.repeat(experts, counts.ravel()).reshape(counts.shape[0], -1)


def place_rows(
    weight: NDArray[np.float32], counts: NDArray[np.int64], num_gpus: int
) -> NDArray[np.int64]:
    """Pack the replicas that counts ask for; the half of `place` that trusts its input.

    Parameters
    ----------
    weight
        Loads, float32 [num_rows, num_experts].
    counts
        Replicas of every expert, int64 [num_rows, num_experts].
    num_gpus
        GPUs, each with the same number of slots.

    Returns
    -------
    ndarray
        Expert of every slot, int64 [num_rows, num_slots].
    """
    experts = expand(counts)
    order = balanced_packing(replica_loads(weight, counts, experts), num_gpus)
    return np.take_along_axis(experts, order, axis=1)


def place(weight: Any, logical_count: Any, num_gpus: int) -> NDArray[np.int64]:
    """Put given replica counts on GPUs, heaviest first, flat.

    Parameters
    ----------
    weight
        Loads, [num_layers, num_experts].
    logical_count
        Replicas of every expert, integers >= 1, [num_layers, num_experts]; all
        layers add up to one multiple of `num_gpus`.
    num_gpus
        GPUs to fill equally.

    Returns
    -------
    ndarray
        Expert of every slot, int64 [num_layers, num_slots].

    Raises
    ------
    ValueError
        If shapes, counts or the number of GPUs do not fit together.
    """
    load, counts, num_gpus = (
        admit_array(weight),
        np.asarray(logical_count),
        positive("num_gpus", num_gpus),
    )
    if counts.shape != load.shape or counts.dtype.kind not in "iu":
        raise ValueError(
            f"logical_count is {counts.dtype} {list(counts.shape)}: "
            f"give integers {list(load.shape)}."
        )
    if counts.min() < 1:
        raise ValueError(f"logical_count holds {counts.min()}: every expert needs a copy.")
    sums = counts.sum(axis=1)
    if (sums != sums[0]).any() or sums[0] % num_gpus:
        raise ValueError(
            f"logical_count adds up to {sums.min()} .. {sums.max()} a layer: give all layers "
            f"one multiple of num_gpus={num_gpus}."
        )
    return place_rows(load, counts.astype(np.int64), num_gpus)
