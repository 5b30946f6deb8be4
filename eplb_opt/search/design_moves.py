"""Moves of the design, and what it takes to undo them; arrays as in `design_flow`.

A move changes few rows of flows and loads. Before its first change a row is written to a log:

mark        int64 [rows], the move that wrote the row to the log
logged      int64 [rows + 1], the rows in the log; the last entry is how many
kept        float64 [rows, R], what they were
"""

from __future__ import annotations

from eplb_opt.search.design_flow import list_several, pour
from eplb_opt.search.jit import jit


@jit
def note(row, array, mark, logged, kept, move):  # type: ignore[no-untyped-def]
    """Write a row to the log, once a move."""
    if mark[row] == move:
        return
    mark[row] = move
    last = logged.shape[0] - 1
    num = logged[last]
    logged[num] = row
    logged[last] = num + 1
    for r in range(array.shape[1]):
        kept[num, r] = array[row, r]


@jit
def restore(array, logged, kept):  # type: ignore[no-untyped-def]
    """Rows as they were."""
    for i in range(logged[logged.shape[0] - 1]):
        for r in range(array.shape[1]):
            array[logged[i], r] = kept[i, r]


@jit
def replace_copy(copies, count, expert, old, new):  # type: ignore[no-untyped-def]
    """A replica of an expert stands in another slot."""
    for i in range(count[expert]):
        if copies[expert, i] == old:
            copies[expert, i] = new
            return


@jit
def exchange(slot, gpu, count, copies, flow, load, rate, p, q):  # type: ignore[no-untyped-def]
    """Slots p and q exchange their experts, and each takes its tokens along."""
    a, b, g, h = slot[p], slot[q], gpu[p], gpu[q]
    for r in range(flow.shape[1]):
        x, y = flow[p, r], flow[q, r]
        flow[p, r], flow[q, r] = y, x
        load[g, r] += (y - x) * rate[g]
        load[h, r] += (x - y) * rate[h]
    slot[p], slot[q] = b, a
    replace_copy(copies, count, a, p, q)
    replace_copy(copies, count, b, q, p)


@jit
def turn(slot, gpu, count, copies, flow, load, rate, several, q, new):  # type: ignore[no-untyped-def]
    """Slot q holds a replica of another expert; the other replicas of its old one share the tokens.

    The new replica gets none yet.
    """
    old, h = slot[q], gpu[q]
    replace_copy(copies, count, old, q, copies[old, count[old] - 1])
    count[old] -= 1
    part = 1.0 / count[old]
    for r in range(flow.shape[1]):
        tokens = flow[q, r]
        flow[q, r] = 0.0
        load[h, r] -= tokens * rate[h]
        for i in range(count[old]):
            p = copies[old, i]
            flow[p, r] += tokens * part
            load[gpu[p], r] += tokens * part * rate[gpu[p]]
    slot[q] = new
    copies[new, count[new]] = q
    count[new] += 1
    if count[old] == 1 or count[new] == 2:
        list_several(count, several)


@jit
def turn_back(slot, count, copies, several, q, old):  # type: ignore[no-untyped-def]
    """Undo `turn`, less the flows and loads."""
    new = slot[q]
    count[new] -= 1
    slot[q] = old
    copies[old, count[old]] = q
    count[old] += 1
    if count[new] == 1 or count[old] == 2:
        list_several(count, several)


@jit
def note_hosts(  # type: ignore[no-untyped-def]
    gpu,
    count,
    copies,
    flow,
    load,
    expert,
    slot_mark,
    slot_log,
    slot_kept,
    gpu_mark,
    gpu_log,
    gpu_kept,
    move,
):
    """Write all that an expert's tokens can change to the logs."""
    for i in range(count[expert]):
        p = copies[expert, i]
        note(p, flow, slot_mark, slot_log, slot_kept, move)
        note(gpu[p], load, gpu_mark, gpu_log, gpu_kept, move)


@jit
def settle(  # type: ignore[no-untyped-def]
    slot,
    gpu,
    count,
    copies,
    flow,
    load,
    rate,
    first,
    slot_mark,
    slot_log,
    slot_kept,
    gpu_mark,
    gpu_log,
    gpu_kept,
    near,
    near_mark,
    move,
    reach,
    expert,
):
    """Let the tokens around a move flow: of experts on the GPUs it touched, and on theirs, ...

    Parameters
    ----------
    near, near_mark
        int64 [E], scratch.
    reach
        How many times the experts on all GPUs touched so far join.
    expert
        The one with a fresh replica, or -1.
    """
    last = gpu_log.shape[0] - 1
    num, done = 0, 0
    upto = gpu_log[last]
    if expert >= 0:
        near_mark[expert] = move
        near[num] = expert
        num += 1
        note_hosts(
            gpu, count, copies, flow, load, expert,
            slot_mark, slot_log, slot_kept, gpu_mark, gpu_log, gpu_kept, move,
        )  # fmt: skip
    for _ in range(reach):
        while done < upto:
            g = gpu_log[done]
            done += 1
            for p in range(first[g], first[g + 1]):
                e = slot[p]
                if count[e] < 2 or near_mark[e] == move:
                    continue
                near_mark[e] = move
                near[num] = e
                num += 1
                note_hosts(
                    gpu, count, copies, flow, load, e,
                    slot_mark, slot_log, slot_kept, gpu_mark, gpu_log, gpu_kept, move,
                )  # fmt: skip
        upto = gpu_log[last]
    for i in range(num):
        pour(copies, count, gpu, flow, load, rate, near[i])
    for i in range(num - 1, -1, -1):
        pour(copies, count, gpu, flow, load, rate, near[i])
