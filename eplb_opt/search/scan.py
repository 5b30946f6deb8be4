"""Count scan: other replica counts than water-filling's, each packed greedily."""

from __future__ import annotations

import numpy as np

from eplb_opt.search.jit import jit

#: Targets of the counts between the water level and just above the bound: how many, how far above.
LEVELS, ABOVE = 32, 1.02
#: Spare slots go to the largest replica below this share of the target (in 1/100; 100 is any).
CEILINGS = (3, 5, 10, 15, 34, 100)


@jit
def fewest_counts(weight, num_slots, target, count, piece):  # type: ignore[no-untyped-def]
    """The fewest replicas at or below the target each, and the slots left over (or lacking)."""
    spare = num_slots
    for e in range(weight.shape[0]):
        count[e] = max((weight[e] + target - 1) // target, 1)
        piece[e] = weight[e] // count[e]
        spare -= count[e]
    return spare


@jit
def receiver(piece, ceiling):  # type: ignore[no-untyped-def]
    """The expert with the largest replica at or below the ceiling, else with the smallest."""
    chosen, best, smallest = -1, -1, 0
    for e in range(piece.shape[0]):
        if best < piece[e] <= ceiling:
            chosen, best = e, piece[e]
        if piece[e] < piece[smallest]:
            smallest = e
    return chosen if chosen >= 0 else smallest


@jit
def fit_counts(weight, num_slots, target, ceiling, count, piece):  # type: ignore[no-untyped-def]
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
    count, piece
        int64 [num_experts], replicas and their size; written.

    Returns
    -------
    Whether the slots are enough.
    """
    spare = fewest_counts(weight, num_slots, target, count, piece)
    for _ in range(spare):
        e = receiver(piece, ceiling)
        count[e] += 1
        piece[e] = weight[e] // count[e]
    return spare >= 0


@jit
def pack(piece, count, order, load, filled, slots_per_gpu, apart, slot):  # type: ignore[no-untyped-def]
    """Longest processing time first: replicas in descending size to the lightest GPU with room.

    Parameters
    ----------
    piece, count
        int64 [num_experts], fixed-point replica sizes and replicas.
    order
        int64 [num_experts], experts by descending replica size.
    load, filled
        int64 [num_gpus]; written.
    apart
        Whether no expert may stand twice on a GPU.
    slot
        int64 [num_slots]; written.

    Returns
    -------
    Whether every replica found a GPU.
    """
    for g in range(load.shape[0]):
        load[g] = filled[g] = 0
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
            load[gpu] += piece[e]
    return True


def scan(
    weight: np.ndarray,
    level: int,
    bound: int,
    num_slots: int,
    num_gpus: int,
    apart: bool,
    keep: int,
) -> list[np.ndarray]:
    """The best greedy packings over a range of counts.

    The counts that level the replicas are far from the best ones where a few experts are heavy: a
    replica must also find partners that fill its GPU, and the slots go where they help that. So
    replicas as large as a whole GPU are tried, which leaves slots to make partners of.

    Parameters
    ----------
    weight
        int64 [num_experts], fixed-point loads.
    level
        Their water level.
    bound
        Fixed-point load at which a plan is good enough.
    keep
        At most so many packings are returned, best first.

    Returns
    -------
    int64 [num_slots] each.
    """
    slots_per_gpu = num_slots // num_gpus
    seen: dict[bytes, tuple[int, np.ndarray]] = {}
    count, piece = np.empty((2, len(weight)), dtype=np.int64)
    load, filled = np.empty((2, num_gpus), dtype=np.int64)
    for target in np.geomspace(level + 1, max(bound, level + 1) * ABOVE, LEVELS).astype(np.int64):
        for ceiling in CEILINGS:
            if not fit_counts(weight, num_slots, target, target * ceiling // 100, count, piece):
                continue
            key = count.tobytes()
            if key in seen or (apart and count.max() > num_gpus):
                continue
            slot = np.empty(num_slots, dtype=np.int64)
            order = np.argsort(-piece, kind="stable")
            if pack(piece, count, order, load, filled, slots_per_gpu, apart, slot):
                seen[key] = (int(load.max()), slot)
    ranked = sorted(seen.values(), key=lambda found: found[0])
    return [slot for _, slot in ranked[:keep]]
