"""Our greedy: the reference's counts, loads and maps from compiled loops.

The sorts are numpy's, which use the vector units; the loops between them are
numba's. Without numba the same answers come from `greedy_numpy`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from heuristics import greedy_kernels, greedy_numpy
from heuristics.compiled import compile_kernel
from heuristics.door import admit_array, admit_tensor, is_tensor
from heuristics.errors import MissingDependency
from heuristics.layout import make_layout
from heuristics.maps import Maps, complete, to_device
from heuristics.stages import node_members, node_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from heuristics.layout import Layout

SHARE = "float32[::1],uint32[::1]"
SPLIT = (
    "void(float32[:,::1],uint64[:,::1],int64[:,::1],boolean,uint64[:,::1],int64[:,::1],"
    f"int64[:,::1],uint64[::1],{SHARE})"
)
PACK = f"void(uint64[:,::1],int64[:,::1],int64,int64[:,::1],uint64[:,::1],int64[:,::1],{SHARE})"
LIST = "void(int64[:,::1],int64,int64[::1],int64[:,::1])"


@dataclass(frozen=True)
class Kernels:
    """The three compiled loops."""

    split: Callable[..., None]
    pack: Callable[..., None]
    list_slots: Callable[..., None]


@functools.cache
def warmup() -> Kernels:
    """Load or compile the kernels, seconds when they are cold; later calls are free.

    Raises
    ------
    MissingDependency
        If numba is not installed.
    """
    return Kernels(
        compile_kernel(greedy_kernels.split, SPLIT),
        compile_kernel(greedy_kernels.pack, PACK),
        compile_kernel(greedy_kernels.list_slots, LIST),
    )


def is_warm() -> bool:
    """Tell whether a call would start at once, without compiling."""
    return warmup.cache_info().currsize > 0


def sort_keys(weight: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(load, index counted down) of every expert, ascending in each row."""
    low = np.arange(weight.shape[1], dtype=np.uint64) ^ greedy_kernels.LOW
    keys = weight.view(np.uint32).astype(np.uint64)
    keys <<= greedy_kernels.SHIFT
    keys |= low
    keys.sort(axis=1)
    return keys


def place(
    weight: NDArray[np.float32],
    layout: Layout,
    kernels: Kernels,
    members: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Decide: (phy2log, logcnt); see `rebalance_experts`.

    `members` are the experts of every node, int64 [num_layers * num_nodes, experts per node];
    by default those of the published packing of groups.
    """
    num_layers, num_experts = weight.shape
    if members is None:
        members = node_members(weight, layout, greedy_numpy.balanced_packing)
    rows = weight if layout.num_groups == 1 else node_weights(weight, members)
    replicas = np.empty((len(rows), layout.node_slots), dtype=np.uint64)
    slots = np.empty(replicas.shape, dtype=np.int64)
    logcnt = np.empty((num_layers, num_experts), dtype=np.int64)
    # With one slot a GPU the reference puts replica i on GPU i.
    one_each = layout.node_slots == layout.node_gpus
    work = np.empty((2, layout.node_slots), dtype=np.int64)
    heap = np.empty(layout.node_experts + 1, dtype=np.uint64)
    share = np.empty(2, dtype=np.float32)
    bits = share.view(np.uint32)
    kernels.split(
        rows, sort_keys(rows), members, one_each, replicas, logcnt, work, heap, share, bits
    )
    leaves = 1 << (layout.node_gpus - 1).bit_length()
    trees = np.empty((greedy_kernels.LANES, 2 * leaves), dtype=np.uint64)
    sizes = np.empty((greedy_kernels.LANES, layout.node_gpus), dtype=np.int64)
    kernels.pack(replicas, members, layout.node_gpus, slots, trees, sizes, share, bits)
    return slots.reshape(num_layers, layout.num_slots), logcnt


def solve(weight: NDArray[np.float32], layout: Layout, kernels: Kernels) -> Maps:
    """Decide and write all three maps; see `rebalance_experts`."""
    phy2log, logcnt = place(weight, layout, kernels)
    return phy2log, list_slots(phy2log, logcnt, kernels), logcnt


def list_slots(
    phy2log: NDArray[np.int64], logcnt: NDArray[np.int64], kernels: Kernels
) -> NDArray[np.int64]:
    """Slots of every expert, as wide as the largest count; see `maps.invert`."""
    num_layers, num_experts = logcnt.shape
    width = logcnt.max()
    log2phy = np.empty((num_layers, num_experts * width), dtype=np.int64)
    kernels.list_slots(phy2log, width, np.empty(num_experts, dtype=np.int64), log2phy)
    return log2phy.reshape(num_layers, num_experts, width)


def solve_anywhere(weight: NDArray[np.float32], layout: Layout) -> Maps:
    """Decide with the kernels, or in numpy where they cannot be had."""
    try:
        kernels = warmup()
    except MissingDependency:
        return complete(greedy_numpy.solve(weight, layout), layout.num_experts, None)
    return solve(weight, layout, kernels)


def rebalance_experts(
    weight: Any, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> Maps:
    """Place replicas of all experts, as the reference does, in well under a millisecond.

    Parameters, returns and errors are those of `heuristics.table.Heuristic`;
    log2phy is as wide as the largest count. Computed on the host whatever the
    weight's device; the maps return to it.
    """
    if not is_tensor(weight):
        load = admit_array(weight)
        layout = make_layout(load.shape[1], num_replicas, num_groups, num_nodes, num_gpus)
        return solve_anywhere(load, layout)
    tensor = admit_tensor(weight)
    layout = make_layout(tensor.shape[1], num_replicas, num_groups, num_nodes, num_gpus)
    maps = solve_anywhere(tensor.cpu().numpy(), layout)
    return to_device(maps, tensor.device)
