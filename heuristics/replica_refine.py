"""The reference, then one copy moved to where it helps, and a second packing.

One round for every (layer, node), all at once: the round has no loop, so the
whole method runs over layers together. The published form keeps the second
packing even where it is worse; the guarded form keeps the better of the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from heuristics.stages_torch import balanced_packing, replicate, three_steps

if TYPE_CHECKING:
    from heuristics.layout import Layout

LEAST_DIFFERENCE = 1e-4


def gpu_loads(loads: torch.Tensor, order: torch.Tensor, num_gpus: int) -> torch.Tensor:
    """Load of every GPU, float32 [num_rows, num_gpus]."""
    num_rows, num_slots = order.shape
    return loads.gather(1, order).view(num_rows, num_gpus, num_slots // num_gpus).sum(2)


def move_copy(
    weight: torch.Tensor,
    experts: torch.Tensor,
    counts: torch.Tensor,
    order: torch.Tensor,
    num_gpus: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Move one copy a row from a cheap expert to the one that weighs most.

    Parameters
    ----------
    weight
        Loads, float32 [num_rows, num_experts].
    experts
        Expert of every replica, int64 [num_rows, num_slots].
    counts
        int64 [num_rows, num_experts].
    order
        Replica of every slot, int64 [num_rows, num_slots].
    num_gpus
        GPUs of the node.

    Returns
    -------
    experts, counts
        New tensors; a row without a move worth making is unchanged.
    """
    loads = (weight / counts).gather(1, experts)
    gpu = gpu_loads(loads, order, num_gpus)
    heavy, light = gpu.argmax(1, keepdim=True), gpu.argmin(1, keepdim=True)
    ranks = torch.arange(order.shape[1] // num_gpus, device=weight.device)
    heavy_replicas = order.gather(1, heavy * len(ranks) + ranks)
    light_replicas = order.gather(1, light * len(ranks) + ranks)

    heavy_load, pick = loads.gather(1, heavy_replicas).max(1, keepdim=True)
    u_expert = experts.gather(1, heavy_replicas.gather(1, pick))
    copies = counts.gather(1, experts.gather(1, light_replicas))
    cost = loads.gather(1, light_replicas) / (copies - 1).clamp(min=1)
    cost = cost.masked_fill(copies < 2, torch.inf)
    cost, pick = cost.min(1, keepdim=True)
    v = light_replicas.gather(1, pick)
    v_expert = experts.gather(1, v)

    moves = heavy_load / (counts.gather(1, u_expert) + 1) > cost
    moves &= gpu.gather(1, heavy) - gpu.gather(1, light) > LEAST_DIFFERENCE
    one = moves.to(counts.dtype)
    experts = experts.scatter(1, v, torch.where(moves, u_expert, v_expert))
    return experts, counts.scatter_add(1, v_expert, -one).scatter_add(1, u_expert, one)


def fill(
    weight: torch.Tensor, num_slots: int, num_gpus: int, guarded: bool = False
) -> torch.Tensor:
    """Replicate, pack, move one copy, pack again; int64 [num_rows, num_slots]."""
    experts, counts = replicate(weight, num_slots)
    loads = (weight / counts).gather(1, experts)
    order = balanced_packing(loads, num_gpus)
    new_experts, new_counts = move_copy(weight, experts, counts, order, num_gpus)
    new_loads = (weight / new_counts).gather(1, new_experts)
    new_order = balanced_packing(new_loads, num_gpus)
    placed = new_experts.gather(1, new_order)
    if not guarded:
        return placed
    peak = gpu_loads(loads, order, num_gpus).amax(1, keepdim=True)
    new_peak = gpu_loads(new_loads, new_order, num_gpus).amax(1, keepdim=True)
    return torch.where(new_peak < peak, placed, experts.gather(1, order))


def guarded_fill(weight: torch.Tensor, num_slots: int, num_gpus: int) -> torch.Tensor:
    """Fill, and keep the first packing of a row where the second is no better."""
    return fill(weight, num_slots, num_gpus, guarded=True)


def solve(weight: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Expert of every slot, int64 [num_layers, num_slots]."""
    return three_steps(weight, layout, balanced_packing, fill)


def solve_guarded(weight: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Expert of every slot, never worse than the reference."""
    return three_steps(weight, layout, balanced_packing, guarded_fill)
