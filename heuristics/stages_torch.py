"""The three published steps on tensors, all layers at once, on the weight's own device.

Same conventions as `stages`. Nothing here waits for the device: no value is
read back while the steps run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from heuristics.layout import Layout

    Pack = Callable[[torch.Tensor, int], torch.Tensor]
    Fill = Callable[[torch.Tensor, int, int], torch.Tensor]


def rows_of(num_rows: int, num_columns: int, like: torch.Tensor) -> torch.Tensor:
    """0, 1, 2 .. in every row, int64 [num_rows, num_columns]."""
    return torch.arange(num_columns, device=like.device).expand(num_rows, -1).contiguous()


def replicate(weight: torch.Tensor, num_slots: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give one slot after the other to the largest weight / count.

    Parameters
    ----------
    weight
        Loads, float32 [num_rows, num_experts].
    num_slots
        Slots to fill, at least num_experts.

    Returns
    -------
    experts
        Expert of every replica, int64 [num_rows, num_slots]: first one copy of
        each, then the extra copies in the order given.
    counts
        int64 [num_rows, num_experts].
    """
    num_rows, num_experts = weight.shape
    counts = torch.ones_like(weight)
    score = weight.clone()
    columns = [rows_of(num_rows, num_experts, weight)]
    for _ in range(num_slots - num_experts):
        top = score.argmax(1, keepdim=True)
        count = counts.gather(1, top) + 1
        counts.scatter_(1, top, count)
        score.scatter_(1, top, weight.gather(1, top) / count)
        columns.append(top)
    return torch.cat(columns, 1), counts.to(torch.int64)


def balanced_packing(weight: torch.Tensor, num_packs: int) -> torch.Tensor:
    """Place items in descending weight, each in the lightest pack with room.

    Parameters
    ----------
    weight
        float32 [num_rows, num_items], num_items a multiple of `num_packs`.
    num_packs
        Packs to fill equally.

    Returns
    -------
    torch.Tensor
        Item of every slot, int64 [num_rows, num_items].
    """
    num_rows, num_items = weight.shape
    room = num_items // num_packs
    if room == 1:
        return rows_of(num_rows, num_items, weight)
    sorted_weight, items = weight.sort(dim=1, descending=True, stable=True)
    load = weight.new_zeros((num_rows, num_packs))
    left = load + room
    full = torch.full_like(load[:, :1], torch.inf)
    packs = []
    for column in sorted_weight.split(1, dim=1):
        pack = load.argmin(1, keepdim=True)
        rest = left.gather(1, pack) - 1
        left.scatter_(1, pack, rest)
        load.scatter_(1, pack, torch.where(rest > 0, load.gather(1, pack) + column, full))
        packs.append(pack)
    # A stable sort by pack lists each pack's items in the order they came.
    order = torch.cat(packs, 1).argsort(dim=1, stable=True)
    return items.gather(1, order)


def replicate_and_pack(pack: Pack) -> Fill:
    """Make a fill of the published replication and the given packing."""

    def fill(weight: torch.Tensor, num_slots: int, num_gpus: int) -> torch.Tensor:
        experts, counts = replicate(weight, num_slots)
        loads = (weight / counts).gather(1, experts)
        return experts.gather(1, pack(loads, num_gpus))

    return fill


def three_steps(weight: torch.Tensor, layout: Layout, pack: Pack, fill: Fill) -> torch.Tensor:
    """Plan all layers; see `stages.three_steps`."""
    num_layers = weight.shape[0]
    members: Any = rows_of(num_layers, layout.num_experts, weight)
    if layout.num_groups > 1:
        grouped = weight.view(num_layers, layout.num_groups, layout.group_size)
        sums = grouped.sum(2, dtype=torch.float64).to(torch.float32)
        members = members.view(grouped.shape)
        order = pack(sums, layout.num_nodes)
        members = members.gather(1, order[:, :, None].expand_as(members))
    rows = weight.gather(1, members.reshape(num_layers, -1)).view(-1, layout.node_experts)
    placed = fill(rows, layout.node_slots, layout.node_gpus)
    return members.reshape(rows.shape).gather(1, placed).view(num_layers, -1)
