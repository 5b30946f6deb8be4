"""Greedy packing for compiled code: longest processing time first."""

from __future__ import annotations

from eplb_opt.search.jit import jit


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
