"""Packing by weight, then swaps between the heaviest and the lightest pack.

All layers at once. The published loop ends when no layer swaps; here all
rounds run and a mask keeps finished layers still, because asking whether one
is left would make the host wait for the device in every round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from heuristics.stages_torch import balanced_packing, replicate_and_pack, three_steps

if TYPE_CHECKING:
    from heuristics.layout import Layout

ROUNDS = 50
LEAST_DIFFERENCE = 1e-4
LEAST_GAIN = 1e-5


def refined_packing(weight: torch.Tensor, num_packs: int) -> torch.Tensor:
    """Pack, then swap; item of every slot, int64 [num_rows, num_items]."""
    order = balanced_packing(weight, num_packs)
    room = weight.shape[1] // num_packs
    if room == 1 or num_packs == 1:
        return order
    for _ in range(ROUNDS):
        order = swap_once(weight, order, num_packs)
    return order


def swap_once(weight: torch.Tensor, order: torch.Tensor, num_packs: int) -> torch.Tensor:
    """Do the best swap of every row that still has one.

    Parameters
    ----------
    weight
        float32 [num_rows, num_items].
    order
        Item of every slot, int64 [num_rows, num_items].
    num_packs
        Packs of equal size.

    Returns
    -------
    torch.Tensor
        The new order.
    """
    num_rows, num_items = order.shape
    room = num_items // num_packs
    slots = weight.gather(1, order)
    load = slots.view(num_rows, num_packs, room).sum(2)
    heavy, light = load.argmax(1, keepdim=True), load.argmin(1, keepdim=True)
    difference = load.gather(1, heavy) - load.gather(1, light)
    ranks = torch.arange(room, device=weight.device)
    heavy_slots, light_slots = heavy * room + ranks, light * room + ranks
    u, v = slots.gather(1, heavy_slots)[:, :, None], slots.gather(1, light_slots)[:, None, :]
    after = (difference[:, :, None] - 2 * (u - v)).abs().view(num_rows, -1)
    least, pair = after.min(1, keepdim=True)
    swaps = (difference >= LEAST_DIFFERENCE) & (difference - least > LEAST_GAIN)
    a = heavy_slots.gather(1, pair // room)
    b = light_slots.gather(1, pair % room)
    ends = torch.cat([a, b], 1)
    return order.scatter(1, ends, order.gather(1, torch.where(swaps, torch.cat([b, a], 1), ends)))


def solve(weight: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Expert of every slot, int64 [num_layers, num_slots]."""
    return three_steps(weight, layout, refined_packing, replicate_and_pack(refined_packing))
