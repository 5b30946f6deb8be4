"""Our greedy: the reference's counts, loads and maps from the compiled core."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from heuristics.arguments import admit_array, admit_tensor, is_tensor
from heuristics.layout import make_layout
from heuristics.maps import Maps, to_device


@functools.cache
def load_core() -> Any:
    """The compiled greedy, imported at the first call."""
    from eplb_opt.core import greedy

    return greedy


def rebalance_experts(
    weight: Any, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> Maps:
    """Place replicas of all experts, as the reference does, in well under a millisecond.

    Parameters
    ----------
    weight
        Loads, tokens, [num_layers, num_experts]: an array or nested list,
        or a tensor on any device, which is copied to the host. Never modified.
    num_replicas
        Slots of a layer, a multiple of `num_gpus`.
    num_groups, num_nodes
        Groups of consecutive experts that stay on one node. Where
        num_groups is no multiple of num_nodes, both count as 1.
    num_gpus
        GPUs, a multiple of the nodes in force.

    Returns
    -------
    phy2log
        Expert of every slot, int64 [num_layers, num_replicas].
    log2phy
        Slots of every expert, ascending, int64 [num_layers, num_experts,
        largest count], padded with -1.
    logcnt
        Replicas of every expert, int64 [num_layers, num_experts].
        All three are tensors on the weight's device where that is a
        tensor, else arrays.

    Raises
    ------
    ValueError
        If the loads or the numbers make no problem.
    """
    numbers = num_replicas, num_groups, num_nodes, num_gpus
    if not is_tensor(weight):
        values = weight if isinstance(weight, np.ndarray) else admit_array(weight)
        return solve(values, weight, numbers)
    try:
        values = weight.detach().cpu().numpy()
    except TypeError:  # numpy has no such numbers
        values = admit_tensor(weight).cpu().numpy()
    return to_device(solve(values, weight, numbers), weight.device)


def solve(values: np.ndarray, weight: Any, numbers: tuple[int, int, int, int]) -> Maps:
    """The maps of loads that the core looks through first.

    What it does not read goes through the common checks, which copy what is sound into float32,
    and says what is wrong with the rest.
    """
    if values.ndim != 2 or 0 in values.shape:
        admit_weight(weight)
    layout = make_layout(values.shape[1], *numbers)
    sizes = layout.num_slots, layout.num_groups, layout.num_nodes, layout.num_gpus
    try:
        maps: Maps = load_core().rebalance(values, sizes)
    except (TypeError, ValueError):
        maps = load_core().rebalance(admit_weight(weight), sizes)
    return maps


def admit_weight(weight: Any) -> np.ndarray:
    """The loads in float32, or a ValueError that says what is wrong with them."""
    return admit_tensor(weight).cpu().numpy() if is_tensor(weight) else admit_array(weight)
