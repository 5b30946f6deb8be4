"""Replica counts by water-filling: the counting half of `waterfill_diverse`.

All layers and nodes at once; the numbers of steps are fixed by the shapes, so
the host never reads a value back.
"""

from __future__ import annotations

import torch

BISECTIONS = 40
MOVES = 2
CANDIDATES = 2


def level_counts(weight: torch.Tensor, num_slots: int) -> torch.Tensor:
    """Least counts under the lowest water level that fits the slots.

    Bisects on T in (0, max(w_max, 1)] with counts max(1, ceil(w / T)).

    Returns
    -------
    torch.Tensor
        int64 [num_rows, num_experts], with sums of at most `num_slots`.
    """
    high = weight.amax(1, keepdim=True).clamp(min=1)
    low = torch.zeros_like(high)
    for _ in range(BISECTIONS):
        level = (low + high) / 2
        fits = (weight / level).ceil().clamp(min=1).sum(1, keepdim=True) <= num_slots
        low, high = torch.where(fits, low, level), torch.where(fits, level, high)
    return (weight / high).ceil().clamp(min=1).to(torch.int64)


def spend_spare(weight: torch.Tensor, counts: torch.Tensor, num_slots: int) -> torch.Tensor:
    """Give spare slots in batches: all experts by weight / count, one copy each."""
    num_experts = weight.shape[1]
    spare = num_slots - counts.sum(1, keepdim=True)
    # As many batches as the worst row needs: one with a single copy of each.
    for _ in range(-(-(num_slots - num_experts) // num_experts)):
        rank = (weight / counts).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        counts = counts + (rank < spare)
        spare = (spare - num_experts).clamp(min=0)
    return counts


def move_copies(weight: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Move up to two copies from a donor to a receiver where the peak falls.

    Donors are the two largest averages with more than one copy, receivers the
    two smallest averages. As published: a move can lower the peak only where
    the peak is itself a receiver, that is with two experts.
    """
    num_experts = weight.shape[1]
    if num_experts < 2:
        return counts
    for _ in range(MOVES):
        average = weight / counts
        peak = average.amax(1, keepdim=True)
        giving = torch.where(counts > 1, average, -torch.inf)
        donors = giving.argsort(dim=1, descending=True, stable=True)[:, :CANDIDATES]
        receivers = average.argsort(dim=1, stable=True)[:, :CANDIDATES]
        donor = donors.repeat_interleave(CANDIDATES, 1)
        receiver = receivers.repeat(1, CANDIDATES)
        one = counts.new_ones((len(counts), CANDIDATES * CANDIDATES, 1))
        trial = counts[:, None, :].expand(-1, CANDIDATES * CANDIDATES, -1)
        trial = trial.scatter_add(2, donor[:, :, None], -one)
        trial = trial.scatter_add(2, receiver[:, :, None], one)
        trial_peak = (weight[:, None, :] / trial).amax(2)
        allowed = (counts.gather(1, donor) > 1) & (donor != receiver)
        trial_peak, best = trial_peak.masked_fill(~allowed, torch.inf).min(1, keepdim=True)
        chosen = trial.gather(1, best[:, :, None].expand(-1, -1, num_experts))[:, 0]
        counts = torch.where(trial_peak < peak, chosen, counts)
    return counts


def waterfill_counts(weight: torch.Tensor, num_slots: int) -> torch.Tensor:
    """Replica counts of every row.

    Parameters
    ----------
    weight
        Loads, float32 [num_rows, num_experts].
    num_slots
        Slots to fill, at least num_experts.

    Returns
    -------
    torch.Tensor
        int64 [num_rows, num_experts], each row with sum `num_slots`. A row of
        zeros gets equal counts, the first experts one more.
    """
    if num_slots == weight.shape[1]:
        return torch.ones_like(weight, dtype=torch.int64)
    counts = spend_spare(weight, level_counts(weight, num_slots), num_slots)
    return move_copies(weight, counts)
