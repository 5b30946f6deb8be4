"""Our greedy on the GPU: one Triton launch decides, one more writes the maps.

The loads stay on their device and the host reads nothing back, so a call can
be captured in a CUDA graph (call once before: the first call compiles).
Without swaps the answer is the compiled greedy's, byte for byte. Swaps then
lower the largest GPU load where one exchange with the heaviest GPU can.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from heuristics.arguments import is_tensor
from heuristics.errors import require
from heuristics.layout import Layout, make_layout

if TYPE_CHECKING:
    import torch

    from heuristics.maps import Maps

# An index has 16 bits beside the load in the kernels' keys.
MOST_SLOTS = 2**15
# Elements of the largest tile that a warp's registers hold beside the rest.
TILE_PER_WARP = 512
MOST_WARPS = 8


@functools.cache
def load_kernels() -> Any:
    """Import the kernels at the first call.

    Returns
    -------
    module
        `heuristics.greedy_triton_kernels`.

    Raises
    ------
    MissingDependency
        If torch or triton is not installed.
    """
    require("torch")
    require("triton")
    from heuristics import greedy_triton_kernels

    return greedy_triton_kernels


def power_of_two(number: int) -> int:
    """Round up to a power of two.

    Parameters
    ----------
    number
        A whole number from 1.

    Returns
    -------
    int
        The least power of two that is no less.
    """
    return 1 << (number - 1).bit_length()


def tiles(num_experts: int, num_slots: int, num_gpus: int, num_swaps: int) -> dict[str, int]:
    """Compile-time sizes of `plan_rows`, rounded so that few compiled kernels serve many shapes.

    Parameters
    ----------
    num_experts, num_slots, num_gpus
        Sizes of a row.
    num_swaps
        Swaps after the greedy; only whether there are any matters here.

    Returns
    -------
    dict
        Arguments of the kernel by name.
    """
    return {
        "EXPERTS": power_of_two(num_experts),
        "SLOTS": power_of_two(num_slots),
        "GPUS": power_of_two(num_gpus),
        "ROOM": power_of_two(num_slots // num_gpus),
        "SWAPS": int(num_swaps > 0),
    }


def options(sizes: dict[str, int]) -> dict[str, int]:
    """How to compile: few warps, because every step of a row ends in a reduction over them.

    Parameters
    ----------
    sizes
        The sizes that `tiles` returned.

    Returns
    -------
    dict
        Options of the launch by name.
    """
    # The swaps' loads are float64, and more of them are alive at once.
    swapped = 2 * sizes["GPUS"] * sizes["ROOM"] * sizes["SWAPS"]
    warps = max(sizes["EXPERTS"], sizes["SLOTS"], swapped) // TILE_PER_WARP
    # Without fusion every load is rounded as on the CPU; triton's default differs by version.
    return {"num_warps": min(MOST_WARPS, max(1, warps)), "enable_fp_fusion": False}


def place_rows(
    weight: torch.Tensor, num_slots: int, num_gpus: int, num_swaps: int = 0
) -> torch.Tensor:
    """Replicate and place every row by itself, in one launch.

    Parameters
    ----------
    weight
        Loads, float32 [num_rows, num_experts], contiguous.
    num_slots, num_gpus
        Slots and GPUs of one row.
    num_swaps
        Most swaps of a row after the greedy.

    Returns
    -------
    torch.Tensor
        Expert of every slot, int64 [num_rows, num_slots].
    """
    torch = require("torch")
    num_rows, num_experts = weight.shape
    placed: Any = weight.new_empty((num_rows, num_slots), dtype=torch.int64)
    counts = weight.new_empty((num_rows, num_experts), dtype=torch.int32)
    sizes = tiles(num_experts, num_slots, num_gpus, num_swaps)
    load_kernels().plan_rows[num_rows,](
        weight, counts, placed, num_experts, num_slots, num_gpus, num_swaps,
        **sizes, **options(sizes),
    )  # fmt: skip
    return placed


def complete(phy2log: torch.Tensor, num_experts: int) -> Maps:
    """Write log2phy and logcnt in one launch.

    Parameters
    ----------
    phy2log
        Expert of every slot, int64 [num_layers, num_slots], contiguous.
    num_experts
        Logical experts of a layer.

    Returns
    -------
    phy2log, log2phy, logcnt
        The maps, int64 tensors on the same device.
    """
    num_layers, num_slots = phy2log.shape
    width = num_slots - num_experts + 1
    log2phy = phy2log.new_empty((num_layers, num_experts, width))
    logcnt = phy2log.new_empty((num_layers, num_experts))
    load_kernels().write_maps[num_layers, num_experts](
        phy2log, log2phy, logcnt, num_experts, num_slots, width,
        SLOTS=power_of_two(num_slots), WIDTH=power_of_two(width), num_warps=1,
    )  # fmt: skip
    return phy2log, log2phy, logcnt


def solve(weight: torch.Tensor, layout: Layout, num_swaps: int = 0) -> torch.Tensor:
    """Pack the groups on nodes by the greedy, then plan in each node.

    Parameters
    ----------
    weight
        Loads, float32 [num_layers, num_experts], contiguous.
    layout
        Slots, GPUs, nodes and groups.
    num_swaps
        Most swaps in every layer and node after the greedy.

    Returns
    -------
    tensor
        Expert of every slot, int64 [num_layers, num_slots].
    """
    if layout.num_groups == 1:
        return place_rows(weight, layout.num_slots, layout.num_gpus, num_swaps)
    from heuristics.stages_torch import three_steps

    def pack(sums: torch.Tensor, num_nodes: int) -> torch.Tensor:
        return place_rows(sums, sums.shape[1], num_nodes)

    fill = functools.partial(place_rows, num_swaps=num_swaps)
    return three_steps(weight, layout, pack, fill)


def admit(weight: Any) -> torch.Tensor:
    """Check what the host knows of the loads.

    Parameters
    ----------
    weight
        Loads, [num_layers, num_experts], as the caller gave them.

    Returns
    -------
    tensor
        The same in float32, contiguous.

    Raises
    ------
    ValueError
        If they are no [num_layers, num_experts] of real numbers on a GPU.
    """
    torch = require("torch")
    kernels = load_kernels()
    if not is_tensor(weight):
        raise ValueError(f"weight is a {type(weight).__name__}: give a CUDA tensor.")
    if weight.dtype == torch.bool or weight.dtype.is_complex:
        raise ValueError(f"weight has dtype {weight.dtype}: give real loads.")
    if weight.ndim != 2 or not weight.numel():
        raise ValueError(
            f"weight has shape {list(weight.shape)}: give [num_layers, num_experts], "
            "at least one of each."
        )
    if not weight.is_cuda and not kernels.INTERPRETED:
        raise ValueError(f"weight is on {weight.device}: move it to a GPU, or take 'greedy'.")
    return weight.detach().to(torch.float32).contiguous()


def rebalance_experts(
    weight: Any,
    num_replicas: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    num_swaps: int = 0,
) -> Maps:
    """Place replicas of all experts on the loads' own GPU, waiting for nothing.

    Parameters
    ----------
    weight
        Loads, tokens, [num_layers, num_experts], a CUDA tensor of any real
        dtype; computed with in float32. The host does not look at them: NaN
        and what is below 0 count as 0. Never modified.
    num_replicas, num_groups, num_nodes, num_gpus
        As for `heuristics.table.Heuristic`; at most 32768 replicas.
    num_swaps
        The most swaps in every layer and node after the greedy. With 0
        the maps are the compiled greedy's; with more no layer's largest GPU
        load is larger.

    Returns
    -------
    phy2log, log2phy, logcnt
        int64 tensors on the same device; log2phy is num_replicas - num_experts
        + 1 wide, so that its shape needs no read-back.

    Raises
    ------
    ValueError
        If the loads' shape, dtype or device or the numbers make no problem.
    MissingDependency
        If torch or triton is not installed.
    """
    load = admit(weight)
    layout = make_layout(load.shape[1], num_replicas, num_groups, num_nodes, num_gpus)
    if layout.num_slots > MOST_SLOTS:
        raise ValueError(f"num_replicas={num_replicas} is more than {MOST_SLOTS}: take 'greedy'.")
    if isinstance(num_swaps, bool) or not isinstance(num_swaps, int) or num_swaps < 0:
        raise ValueError(f"num_swaps={num_swaps!r}: give a whole number >= 0.")
    with require("torch").cuda.device_of(load):  # triton launches on the current device
        return complete(solve(load, layout, num_swaps), layout.num_experts)
