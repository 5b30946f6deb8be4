"""From the one map a heuristic decides to the three that engines read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Maps = tuple[Any, Any, Any]


def count_replicas(phy2log: NDArray[np.int64], num_experts: int) -> NDArray[np.int64]:
    """Count the replicas of every expert.

    Parameters
    ----------
    phy2log
        Expert of every slot, [num_layers, num_slots].
    num_experts
        Logical experts a layer.

    Returns
    -------
    ndarray
        int64 [num_layers, num_experts].
    """
    num_layers = phy2log.shape[0]
    cell = phy2log + num_experts * np.arange(num_layers)[:, None]
    return np.bincount(cell.ravel(), minlength=num_layers * num_experts).reshape(
        num_layers, num_experts
    )


def invert(phy2log: NDArray[np.int64], counts: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """List the slots of every expert, ascending.

    Parameters
    ----------
    phy2log
        Expert of every slot, int64 [num_layers, num_slots].
    counts
        Replicas of every expert, int64 [num_layers, num_experts].
    width
        Length of the list, at least the largest count.

    Returns
    -------
    ndarray
        int64 [num_layers, num_experts, width], padded with -1.
    """
    num_layers, num_slots = phy2log.shape
    slots = np.argsort(phy2log, axis=1, kind="stable")
    experts = np.take_along_axis(phy2log, slots, axis=1)
    first = np.cumsum(counts, axis=1) - counts
    rank = np.arange(num_slots) - np.take_along_axis(first, experts, axis=1)
    log2phy = np.full((num_layers, counts.shape[1], width), -1, dtype=np.int64)
    log2phy[np.arange(num_layers)[:, None], experts, rank] = slots
    return log2phy


def invert_tensor(phy2log: torch.Tensor, counts: torch.Tensor, width: int) -> torch.Tensor:
    """Do what `invert` does, on the tensors' own device."""
    num_slots, num_experts = phy2log.shape[1], counts.shape[1]
    experts, slots = phy2log.sort(dim=1, stable=True)
    first = counts.cumsum(1) - counts
    column = sys.modules["torch"].arange(num_slots, device=phy2log.device)
    rank = column - first.gather(1, experts)
    log2phy = phy2log.new_full((phy2log.shape[0], num_experts * width), -1)
    log2phy.scatter_(1, experts * width + rank, slots)
    return log2phy.view(-1, num_experts, width)


def complete(phy2log: NDArray[np.int64], num_experts: int, width: int | None) -> Maps:
    """Return (phy2log, log2phy, logcnt); width None is the largest count."""
    counts = count_replicas(phy2log, num_experts)
    return phy2log, invert(phy2log, counts, width or int(counts.max())), counts


def complete_tensor(phy2log: torch.Tensor, num_experts: int, width: int) -> Maps:
    """Return (phy2log, log2phy, logcnt) on the tensor's own device."""
    counts = phy2log.new_zeros((phy2log.shape[0], num_experts))
    counts.scatter_add_(1, phy2log, sys.modules["torch"].ones_like(phy2log))
    return phy2log, invert_tensor(phy2log, counts, width), counts


def to_device(maps: Maps, device: Any) -> Maps:
    """Turn arrays into tensors on a device."""
    phy2log, log2phy, logcnt = (sys.modules["torch"].from_numpy(x).to(device) for x in maps)
    return phy2log, log2phy, logcnt
