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
    slot, gpu, count, copies, flow, load, rate, first, slot_mark, slot_log, slot_kept,
    gpu_mark, gpu_log, gpu_kept, near, near_mark, move, expert,
):  # fmt: skip
    """Let the tokens around a move flow: of the experts on the GPUs that it touched.

    Farther ones wait for the next look at the whole placement.

    Parameters
    ----------
    near, near_mark
        int64 [E], scratch.
    expert
        The one with a fresh replica, or -1.
    """
    touched = gpu_log[gpu_log.shape[0] - 1]
    num = 0
    if expert >= 0:
        near_mark[expert] = move
        near[num] = expert
        num += 1
    for i in range(touched):
        for p in range(first[gpu_log[i]], first[gpu_log[i] + 1]):
            if count[slot[p]] > 1 and near_mark[slot[p]] != move:
                near_mark[slot[p]] = move
                near[num] = slot[p]
                num += 1
    for i in range(num):
        note_hosts(
            gpu, count, copies, flow, load, near[i],
            slot_mark, slot_log, slot_kept, gpu_mark, gpu_log, gpu_kept, move,
        )  # fmt: skip
    for i in range(num):
        pour(copies, count, gpu, flow, load, rate, near[i])
    for i in range(num - 1, -1, -1):
        pour(copies, count, gpu, flow, load, rate, near[i])


@jit
def try_move(  # type: ignore[no-untyped-def]
    slot, gpu, count, copies, flow, load, rate, several, first, slot_mark, slot_log,
    slot_kept, gpu_mark, gpu_log, gpu_kept, near, near_mark, move, turns, p, q,
):  # fmt: skip
    """Slot q turns to the expert of slot p, or they exchange theirs; the logs can undo it."""
    slot_log[-1] = gpu_log[-1] = 0
    note(gpu[q], load, gpu_mark, gpu_log, gpu_kept, move)
    note(q, flow, slot_mark, slot_log, slot_kept, move)
    fresh = -1
    if turns:
        fresh = slot[p]
        note_hosts(
            gpu, count, copies, flow, load, slot[q],
            slot_mark, slot_log, slot_kept, gpu_mark, gpu_log, gpu_kept, move,
        )  # fmt: skip
        turn(slot, gpu, count, copies, flow, load, rate, several, q, fresh)
    else:
        note(gpu[p], load, gpu_mark, gpu_log, gpu_kept, move)
        note(p, flow, slot_mark, slot_log, slot_kept, move)
        exchange(slot, gpu, count, copies, flow, load, rate, p, q)
    settle(
        slot, gpu, count, copies, flow, load, rate, first, slot_mark, slot_log, slot_kept,
        gpu_mark, gpu_log, gpu_kept, near, near_mark, move, fresh,
    )  # fmt: skip
