"""Water-filled counts, then a packing that spreads the copies of an expert.

All layers and nodes take each step together, one step an item. The duplicates
of the hottest experts come last, when the packs are nearly full, so the result
can be far worse than the reference: a known weakness, kept as published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from heuristics.diverse_swaps import refine
from heuristics.stages_torch import balanced_packing, three_steps
from heuristics.waterfill import waterfill_counts

if TYPE_CHECKING:
    from heuristics.layout import Layout

NEAR_TIE = 1e-6


def expand(counts: torch.Tensor, num_slots: int) -> torch.Tensor:
    """Expert of every replica, in blocks by expert, int64 [num_rows, num_slots]."""
    slots = torch.arange(num_slots, device=counts.device).expand(len(counts), -1)
    return torch.searchsorted(counts.cumsum(1), slots.contiguous(), right=True)


class Packs:
    """The packs of all rows while they fill; one item a row enters at a time."""

    def __init__(self, weight: torch.Tensor, num_labels: int, num_packs: int) -> None:
        num_rows, num_items = weight.shape
        self.room = num_items // num_packs
        self.load = weight.new_zeros((num_rows, num_packs))
        self.size = torch.zeros_like(self.load, dtype=torch.int64)
        self.repeats = self.size.new_zeros((num_rows, num_labels, num_packs))
        self.near = NEAR_TIE * weight.sum(1, keepdim=True) / num_packs

    def choose(self, label: torch.Tensor) -> torch.Tensor:
        """Pack with room and the least load; near-ties to fewer repeats, then fewer items."""
        load = self.load.masked_fill(self.size >= self.room, torch.inf)
        tied = load <= load.amin(1, keepdim=True) + self.near
        repeats = self.repeats.gather(1, label[:, :, None].expand(-1, -1, load.shape[1]))[:, 0]
        rank = repeats * (self.room + 1) + self.size
        return rank.masked_fill(~tied, torch.iinfo(rank.dtype).max).argmin(1, keepdim=True)

    def choose_first(self) -> torch.Tensor:
        """Pack with room and the least load, fewer items on a tie."""
        load = self.load.masked_fill(self.size >= self.room, torch.inf)
        tied = load == load.amin(1, keepdim=True)
        return self.size.masked_fill(~tied, self.room).argmin(1, keepdim=True)

    def put(self, pack: torch.Tensor, label: torch.Tensor, weight: torch.Tensor) -> None:
        """Add one item a row."""
        self.load.scatter_(1, pack, self.load.gather(1, pack) + weight)
        self.size.scatter_(1, pack, self.size.gather(1, pack) + 1)
        rows = torch.arange(len(pack), device=pack.device)
        cell = (rows, label[:, 0], pack[:, 0])
        self.repeats[cell] = self.repeats[cell] + 1


def diverse_packing(
    weight: torch.Tensor, labels: torch.Tensor, num_labels: int, num_packs: int
) -> torch.Tensor:
    """Pack replicas by load and by label.

    Parameters
    ----------
    weight
        Load of every replica, float32 [num_rows, num_items].
    labels
        Its expert, int64 [num_rows, num_items], in blocks.
    num_labels
        Experts; every one has a replica.
    num_packs
        Packs to fill equally.

    Returns
    -------
    torch.Tensor
        Item of every slot, int64 [num_rows, num_items].
    """
    num_rows, num_items = weight.shape
    if num_items == num_packs:
        return torch.arange(num_items, device=weight.device).repeat(num_rows, 1)
    by_weight = weight.argsort(dim=1, descending=True, stable=True)
    label = labels.gather(1, by_weight)
    # In a block all loads are equal, so the first of a block is its heaviest;
    # a stable sort by "seen before" puts the first copies in front.
    block_start = torch.ones_like(labels, dtype=torch.bool)
    block_start[:, 1:] = labels[:, 1:] != labels[:, :-1]
    seen = (~block_start).gather(1, by_weight).to(torch.int8)
    turn = seen.argsort(dim=1, stable=True)
    by_weight, label = by_weight.gather(1, turn), label.gather(1, turn)
    sorted_weight = weight.gather(1, by_weight)

    packs = Packs(weight, num_labels, num_packs)
    chosen = []
    for index in range(num_items):
        column = slice(index, index + 1)
        pack = packs.choose_first() if index < num_labels else packs.choose(label[:, column])
        packs.put(pack, label[:, column], sorted_weight[:, column])
        chosen.append(pack)
    order = by_weight.gather(1, torch.cat(chosen, 1).argsort(dim=1, stable=True))
    return order if num_items == num_labels else refine(weight, order, num_packs)


def fill(weight: torch.Tensor, num_slots: int, num_gpus: int) -> torch.Tensor:
    """Count, then pack; int64 [num_rows, num_slots]."""
    counts = waterfill_counts(weight, num_slots)
    experts = expand(counts, num_slots)
    loads = (weight / counts).gather(1, experts)
    order = diverse_packing(loads, experts, weight.shape[1], num_gpus)
    return experts.gather(1, order)


def solve(weight: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Expert of every slot, int64 [num_layers, num_slots]."""
    return three_steps(weight, layout, balanced_packing, fill)
