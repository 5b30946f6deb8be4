"""Count scan: other replica counts than water-filling's, each packed greedily."""

from __future__ import annotations

import numpy as np

from eplb_opt.search.jit import jit

#: How far above the water level the target of the counts goes, and in how many steps.
WIDEST, LEVELS = 0.02, 24
#: Spare slots go to the largest replica below this share of the target (in 1/100; 100 is any).
CEILINGS = (5, 15, 34, 50, 100)


@jit
def fit_counts(weight, num_slots, target, ceiling, count):  # type: ignore[no-untyped-def]
    """Counts that keep replicas at or below the target, spare slots to replicas below the ceiling.

    Parameters
    ----------
    weight
        int64 [num_experts], fixed-point loads.
    target
        No replica may exceed it.
    ceiling
        A spare slot goes to the expert with the largest replica at or below it, or, where all
        are larger, to the smallest of them.
    count
        int64 [num_experts]; written.

    Returns
    -------
    Whether the slots are enough.
    """
    spare = num_slots
    for e in range(weight.shape[0]):
        count[e] = max((weight[e] + target - 1) // target, 1)
        spare -= count[e]
    for _ in range(spare):
        chosen, best = -1, -1
        smallest = 0
        for e in range(weight.shape[0]):
            size = weight[e] // count[e]
            if size <= ceiling and size > best:
                chosen, best = e, size
            if size < weight[smallest] // count[smallest]:
                smallest = e
        count[chosen if chosen >= 0 else smallest] += 1
    return spare >= 0


@jit
def pack(weight, count, order, load, filled, slots_per_gpu, apart, slot):  # type: ignore[no-untyped-def]
    """Longest processing time first: replicas in descending size to the lightest GPU with room.

    Parameters
    ----------
    weight, count
        int64 [num_experts], fixed-point loads and replicas.
    order
        int64 [num_experts], experts by descending replica size.
    load, filled
        int64 [num_gpus], zeros; written.
    apart
        Whether no expert may stand twice on a GPU.
    slot
        int64 [num_slots]; written.

    Returns
    -------
    Whether every replica found a GPU.
    """
    for i in range(order.shape[0]):
        e = order[i]
        for _ in range(count[e]):
            gpu = -1
            for g in range(load.shape[0]):
                if filled[g] == slots_per_gpu:
                    continue
                # The replicas of an expert are placed in a row: a twin is the last in its GPU.
                if apart and filled[g] and slot[g * slots_per_gpu + filled[g] - 1] == e:
                    continue
                if gpu < 0 or load[g] < load[gpu]:
                    gpu = g
            if gpu < 0:
                return False
            slot[gpu * slots_per_gpu + filled[gpu]] = e
            filled[gpu] += 1
            load[gpu] += weight[e] // count[e]
    return True


def scan(
    weight: np.ndarray, level: int, num_slots: int, num_gpus: int, apart: bool, keep: int
) -> list[np.ndarray]:
    """The best greedy packings over a range of counts.

    With a very heavy expert the counts that level the replicas are far from the best ones: a
    replica must also find partners that fill its GPU.

    Parameters
    ----------
    weight
        int64 [num_experts], fixed-point loads.
    level
        Their water level.
    keep
        At most so many packings are returned, best first.

    Returns
    -------
    int64 [num_slots] each.
    """
    slots_per_gpu = num_slots // num_gpus
    seen: dict[bytes, tuple[int, np.ndarray]] = {}
    count = np.empty(len(weight), dtype=np.int64)
    for step in range(LEVELS):
        target = level + int(level * WIDEST) * step // (LEVELS - 1) + 1
        for ceiling in CEILINGS:
            if not fit_counts(weight, num_slots, target, target * ceiling // 100, count):
                continue
            key = count.tobytes()
            if key in seen or (apart and count.max() > num_gpus):
                continue
            slot = np.empty(num_slots, dtype=np.int64)
            load, filled = np.zeros((2, num_gpus), dtype=np.int64)
            order = np.argsort(-(weight // count), kind="stable")
            if pack(weight, count, order, load, filled, slots_per_gpu, apart, slot):
                seen[key] = (int(load.max()), slot)
    ranked = sorted(seen.values(), key=lambda found: found[0])
    return [slot for _, slot in ranked[:keep]]
