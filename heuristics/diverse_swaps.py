"""The refinement passes of `waterfill_diverse`: a swap where the global peak falls."""

from __future__ import annotations

import torch

WIDE_SPREAD = 0.12
# Heaviest with lightest, heaviest with second lightest, second heaviest with lightest.
PAIRS = ((0, 0), (0, 1), (1, 0))


def refine(weight: torch.Tensor, order: torch.Tensor, num_packs: int) -> torch.Tensor:
    """Do one pass, or two where the spread is wide.

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
    if num_packs < 2:
        return order
    load = pack_loads(weight, order, num_packs)
    spread = load.amax(1, keepdim=True) - load.amin(1, keepdim=True)
    wide = spread / load.mean(1, keepdim=True) > WIDE_SPREAD
    order = one_pass(weight, order, num_packs)
    return torch.where(wide, one_pass(weight, order, num_packs), order)


def pack_loads(weight: torch.Tensor, order: torch.Tensor, num_packs: int) -> torch.Tensor:
    """Load of every pack, float32 [num_rows, num_packs]."""
    return weight.gather(1, order).view(len(order), num_packs, -1).sum(2)


def sorted_slots(
    weight: torch.Tensor, order: torch.Tensor, pack: torch.Tensor, room: int
) -> torch.Tensor:
    """Slots of one pack a row by descending weight, int64 [num_rows, room]."""
    slots = pack * room + torch.arange(room, device=order.device)
    by_weight = weight.gather(1, order.gather(1, slots)).argsort(
        dim=1, descending=True, stable=True
    )
    return slots.gather(1, by_weight)


def ends_after(
    load: torch.Tensor, heavy: torch.Tensor, light: torch.Tensor, change: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest and least pack load after `change` moves from heavy to light.

    Both [num_rows, num_changes], as is `change`; heavy and light are [num_rows, 1].
    """
    index = torch.arange(load.shape[1], device=load.device)
    ends = (index == heavy) | (index == light)
    highest = load.masked_fill(ends, -torch.inf).amax(1, keepdim=True)
    lowest = load.masked_fill(ends, torch.inf).amin(1, keepdim=True)
    a, b = load.gather(1, heavy) - change, load.gather(1, light) + change
    return torch.maximum(torch.maximum(a, b), highest), torch.minimum(torch.minimum(a, b), lowest)


def one_pass(weight: torch.Tensor, order: torch.Tensor, num_packs: int) -> torch.Tensor:
    """Swap one item for one, else two for two, where that lowers the largest load.

    Where another pack holds the peak, several swaps leave the same one; the
    published program then raises the least load most, lightest items first.
    """
    room = order.shape[1] // num_packs
    load = pack_loads(weight, order, num_packs)
    by_load = load.argsort(dim=1, descending=True, stable=True)
    found = [
        swaps_between(weight, order, load, by_load[:, h : h + 1], by_load[:, g : g + 1], room)
        for h, g in ((heavy, num_packs - 1 - light) for heavy, light in PAIRS)
    ]
    peak, trough, a, b = (torch.cat(part, 1) for part in zip(*found, strict=True))
    least = peak.amin(1, keepdim=True)
    best = trough.masked_fill(peak > least, -torch.inf).argmax(1, keepdim=True)
    single = swap_slots(order, a.gather(1, best), b.gather(1, best))
    double = swap_two(weight, order, load, by_load, room)
    return torch.where(least < load.amax(1, keepdim=True), single, double)


def swaps_between(
    weight: torch.Tensor,
    order: torch.Tensor,
    load: torch.Tensor,
    heavy: torch.Tensor,
    light: torch.Tensor,
    room: int,
) -> tuple[torch.Tensor, ...]:
    """Try one of the two heaviest of one pack for one of the two lightest of another.

    Returns
    -------
    peak, trough, heavy_slot, light_slot
        Each [num_rows, num_swaps].
    """
    a = sorted_slots(weight, order, heavy, room)[:, :2]
    b = sorted_slots(weight, order, light, room).flip(1)[:, :2]
    a, b = a.repeat_interleave(b.shape[1], 1), b.repeat(1, a.shape[1])
    change = weight.gather(1, order.gather(1, a)) - weight.gather(1, order.gather(1, b))
    peak, trough = ends_after(load, heavy, light, change)
    # With two packs the second heaviest may be the lightest itself.
    return peak.masked_fill(heavy == light, torch.inf), trough, a, b


def swap_two(
    weight: torch.Tensor, order: torch.Tensor, load: torch.Tensor, by_load: torch.Tensor, room: int
) -> torch.Tensor:
    """Swap the heaviest pack's two heaviest for the lightest pack's two lightest, if it helps."""
    if room < 2:
        return order
    heavy, light = by_load[:, :1], by_load[:, -1:]
    a = sorted_slots(weight, order, heavy, room)[:, :2]
    b = sorted_slots(weight, order, light, room).flip(1)[:, :2]
    u, v = (weight.gather(1, order.gather(1, x)).sum(1, keepdim=True) for x in (a, b))
    peak, _ = ends_after(load, heavy, light, u - v)
    return torch.where(peak < load.amax(1, keepdim=True), swap_slots(order, a, b), order)


def swap_slots(order: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Exchange the items of slots a and b, each int64 [num_rows, num_swaps]."""
    return order.scatter(1, torch.cat([a, b], 1), order.gather(1, torch.cat([b, a], 1)))
