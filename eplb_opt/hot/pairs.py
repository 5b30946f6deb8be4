"""Two slots a GPU: the counts are the only decision, heaviest with lightest the best pairing."""

from __future__ import annotations

from eplb_opt.hot.piece import draw, piece

#: One in so many transfers goes to any replica's expert, not to one on the heaviest GPU.
ELSEWHERE = 4


@piece
def put(trial, num_gpus, place, expert, size):  # type: ignore[no-untyped-def]
    """Write the replica of some place in descending order: the i-th lightest joins the i-th."""
    at = place if place < num_gpus else 3 * num_gpus - 1 - place
    trial[at] = expert
    trial[2 * num_gpus + at] = size


@piece
def merge(plan, trial, num_gpus, donor, donor_size, num_donor, taker, taker_size, num_taker):  # type: ignore[no-untyped-def]
    """Write the folded order of the plan's replicas with two experts' replicas replaced.

    Parameters
    ----------
    plan
        Slots and sizes in folded order, see `put`.
    trial
        Written, like `plan`.
    donor, donor_size, num_donor, taker, taker_size, num_taker
        The two experts, the loads and numbers of their replicas.
    """
    num_slots = 2 * num_gpus
    written = 0
    for i in range(num_slots + 1):
        size, expert = -1, -1
        if i < num_slots:
            at = i if i < num_gpus else 3 * num_gpus - 1 - i
            expert, size = plan[at], plan[num_slots + at]
            if expert in (donor, taker):
                continue
        while (num_donor > 0 and donor_size > size) or (num_taker > 0 and taker_size > size):
            if num_donor > 0 and (num_taker == 0 or donor_size >= taker_size):
                put(trial, num_gpus, written, donor, donor_size)
                num_donor -= 1
            else:
                put(trial, num_gpus, written, taker, taker_size)
                num_taker -= 1
            written += 1
        if i < num_slots:
            put(trial, num_gpus, written, expert, size)
            written += 1


@piece
def shift_copy(plan, trial, weight, num_gpus, heavy, mark):  # type: ignore[no-untyped-def]
    """Move one replica from a random expert to one on the heaviest GPU, where it does no harm.

    Parameters
    ----------
    plan
        int64: slots, sizes, GPU loads and counts one after the other, in folded order; written.
    trial
        Scratch, like `plan`.
    weight
        int64 [num_experts], fixed-point loads.
    heavy
        The heaviest GPU.
    mark
        `mark[0]` is the state of the random numbers.
    """
    num_slots = 2 * num_gpus
    counts = num_slots * 2 + num_gpus
    ceiling = plan[num_slots * 2 + heavy]
    spot = heavy + num_gpus * draw(mark, 2)
    if draw(mark, ELSEWHERE) == 0:
        spot = draw(mark, num_slots)
    taker, donor = plan[spot], plan[draw(mark, num_slots)]
    kept = plan[counts + donor] - 1
    if donor == taker or kept < 1 or weight[donor] // kept >= ceiling:
        return
    grown = plan[counts + taker] + 1
    merge(
        plan,
        trial,
        num_gpus,
        donor,
        weight[donor] // kept,
        kept,
        taker,
        weight[taker] // grown,
        grown,
    )
    for g in range(num_gpus):
        trial[num_slots * 2 + g] = trial[num_slots + g] + trial[num_slots + num_gpus + g]
        if trial[num_slots * 2 + g] > ceiling:
            return
    for i in range(counts):
        plan[i] = trial[i]
    plan[counts + donor] = kept
    plan[counts + taker] = grown
