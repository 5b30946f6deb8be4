"""Kicks: small changes that lead out of a local optimum."""

from __future__ import annotations

from eplb_opt.hot.piece import draw, piece
from eplb_opt.hot.swaps import swap

#: Random swaps of which the mildest is taken.
DRAWS = 8
#: While the excess is above one part in so many, every other kick changes the counts.
WIDE = 1000
#: Pairs of experts drawn before a transfer is given up.
TRANSFER_DRAWS = 30


@piece
def push_aside(slot, size, load, heavy, mark):  # type: ignore[no-untyped-def]
    """Let another GPU take load from the heaviest one, and be the heaviest itself perhaps."""
    num_slots, num_gpus = size.shape[0], load.shape[0]
    least, from_slot, to_slot = load[heavy] * 2, -1, -1
    for _ in range(DRAWS):
        p = heavy + num_gpus * draw(mark, num_slots // num_gpus)
        q = draw(mark, num_slots)
        moved = size[p] - size[q]
        reached = load[q % num_gpus] + moved
        if moved > 0 and q % num_gpus != heavy and reached < least:
            least, from_slot, to_slot = reached, p, q
    if from_slot >= 0:
        swap(slot, size, load, from_slot, to_slot)


@piece
def resize(slot, size, load, expert, fresh):  # type: ignore[no-untyped-def]
    """Give all replicas of an expert another load."""
    for p in range(slot.shape[0]):
        if slot[p] == expert:
            load[p % load.shape[0]] += fresh - size[p]
            size[p] = fresh


@piece
def transfer(slot, size, load, count, weight, ceiling, mark):  # type: ignore[no-untyped-def]
    """Give a random replica's slot to another expert; whether such a pair was drawn.

    No replica grows to `ceiling`.
    """
    for _ in range(TRANSFER_DRAWS):
        p = draw(mark, slot.shape[0])
        old, new = slot[p], slot[draw(mark, slot.shape[0])]
        if new == old or count[old] < 2 or weight[old] // (count[old] - 1) >= ceiling:
            continue
        slot[p] = new
        count[old] -= 1
        count[new] += 1
        resize(slot, size, load, old, weight[old] // count[old])
        resize(slot, size, load, new, weight[new] // count[new])
        return True
    return False


@piece
def kick(slot, size, load, count, weight, heavy, target, mark):  # type: ignore[no-untyped-def]
    """Change the plan at random; `mark[0]` is the state of the random numbers."""
    wide = load[heavy] - target > target // WIDE
    if wide and draw(mark, 2) == 0 and transfer(slot, size, load, count, weight, load[heavy], mark):
        return
    push_aside(slot, size, load, heavy, mark)
