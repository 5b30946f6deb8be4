"""Dispatch without leaving the GPU: the sweeps in Triton, one launch for all layers.

The host reads nothing back, so a call can be captured in a CUDA graph (call once before: the first
call compiles). There are no augmenting paths here: where copies form long chains the sweeps stop
at their limit above the optimum. `eplb_opt.dispatch` has them, and takes a GPU's tensors too, by
way of the host; it is what to call where triton is absent.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.engines.dispatch.call import Dispatcher
from eplb_opt.errors import MissingDependency, ProblemError

if TYPE_CHECKING:
    import torch

    from eplb_opt.engines.dispatch.routes import Pairs

#: Sweeps at most: enough for 1e-6 on copies that are spread at random.
NUM_SWEEPS = 256
#: A sweep that moves less than this share of the water level is the last.
STILL = 1e-10


@functools.cache
def load_kernels() -> Any:
    """Import the kernels at the first call.

    Raises
    ------
    MissingDependency
        Without triton or torch.
    """
    for package in ("torch", "triton"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingDependency(package, "triton") from error
    from eplb_opt.engines.dispatch import device_kernels

    return device_kernels


class DeviceDispatcher:
    """One placement on a GPU, ready to split loads batch after batch.

    Parameters
    ----------
    plan, num_gpus, gpu_speed
        See `eplb_opt.dispatch`; every expert that may get tokens has a slot.
    device
        Of the loads.
    num_sweeps
        At most.

    Raises
    ------
    PlanError, ProblemError
        See `eplb_opt.dispatch`.
    MissingDependency
        Without triton or torch.
    """

    def __init__(
        self,
        plan: Any,
        *,
        num_gpus: int | None = None,
        gpu_speed: Any = None,
        device: Any = "cuda",
        num_sweeps: int = NUM_SWEEPS,
    ) -> None:
        self._kernels = load_kernels()
        import torch

        held = Dispatcher.of(plan, num_gpus=num_gpus, gpu_speed=gpu_speed)
        routes = held.routes
        plan, pairs = held.plan, routes.pairs
        self.num_sweeps = num_sweeps
        self.shape = (plan.num_layers, plan.num_experts, plan.num_slots, plan.num_gpus)
        many, hosts, place = _table(pairs, self.shape)

        def move(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.array(array)).to(device)

        self._speed, self._even = move(held.gpu_speed), move(routes.even)
        self._many, self._hosts = move(many), move(hosts)
        self._alone = move(_alone(pairs, self.shape))
        layer_idx, slot, entry, copies = _entries(pairs, place)
        self._layer, self._slot, self._entry = move(layer_idx), move(slot), move(entry)
        self._copies = move(copies)

    def __call__(self, load: torch.Tensor) -> torch.Tensor:
        """The weights, float64 [.., num_layers, num_slots], on the same device.

        Parameters
        ----------
        load
            Tokens, finite and at least 0, [num_layers, num_experts] or [num_scenarios, num_layers,
            num_experts]; the host does not look at them.

        Raises
        ------
        ProblemError
            For another shape.
        """
        if load.ndim not in (2, 3) or tuple(load.shape[-2:]) != self.shape[:2]:
            raise ProblemError(
                f"load has shape {list(load.shape)}; the plan needs [.., {self.shape[0]}, "
                f"{self.shape[1]}]."
            )
        rows = load.detach().double().reshape(-1, *self.shape[:2]).contiguous()
        weights = self._even.repeat(len(rows), 1, 1)
        if self._many.shape[1]:
            self._split(rows, weights)
        return weights.reshape(*load.shape[:-1], self.shape[2])

    def _split(self, rows: torch.Tensor, weights: torch.Tensor) -> None:
        num_layers, num_experts, _, num_gpus = self.shape
        padded: Any = rows.new_zeros((*rows.shape[:2], num_experts + 1))
        padded[..., :num_experts] = rows
        at = self._alone.expand(len(rows), -1, -1)
        level = padded.gather(2, at).reshape(len(rows), num_layers, num_gpus, -1).sum(3)
        flow: Any = rows.new_zeros((len(rows), *self._hosts.shape))
        most_many, width = self._hosts.shape[1:]
        self._kernels.level_experts[len(rows) * num_layers,](
            rows, self._speed, self._many, self._hosts, level.contiguous(), flow, num_layers,
            num_experts, num_gpus, most_many, width, self.num_sweeps, STILL,
            WIDTH=max(2, 1 << (width - 1).bit_length()), num_warps=1,
        )  # fmt: skip
        total = flow.sum(3, keepdim=True)
        share = flow / total.where(total > 0, total.new_ones(()))
        share = share.reshape(len(rows), num_layers, -1)[:, self._layer, self._entry] / self._copies
        none = (total.reshape(len(rows), num_layers, -1) <= 0)[:, self._layer, self._entry // width]
        even = weights[:, self._layer, self._slot]
        weights[:, self._layer, self._slot] = share.where(~none, even)


#: Layers, experts, slots, GPUs.
Shape = tuple[int, int, int, int]


def _table(pairs: Pairs, shape: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Experts with several hosts, and those, padded; and where each pair stands in its layer."""
    num_layers, num_experts, _, _ = shape
    key = (pairs.layer * num_experts + pairs.expert)[pairs.num_hosts > 1]
    experts, owner, widths = np.unique(key, return_inverse=True, return_counts=True)
    layer_of = experts // num_experts
    rank = np.arange(len(experts)) - np.searchsorted(layer_of, layer_of)
    most, width = int(rank.max(initial=-1)) + 1, int(widths.max(initial=0))
    many = np.zeros((num_layers, most), dtype=np.int32)
    hosts = np.full((num_layers, most, width), -1, dtype=np.int32)
    many[layer_of, rank] = experts % num_experts
    lane = np.arange(len(key)) - (np.cumsum(widths) - widths)[owner]
    hosts[layer_of[owner], rank[owner], lane] = pairs.gpu[pairs.num_hosts > 1]
    place = np.full(len(pairs.gpu), -1)
    place[pairs.num_hosts > 1] = rank[owner] * width + lane
    return many, hosts, place


def _alone(pairs: Pairs, shape: Shape) -> np.ndarray:
    """Experts with one host, GPU by GPU, padded; int64 [num_layers, num_gpus * most of a GPU]."""
    num_layers, num_experts, _, num_gpus = shape
    is_alone = pairs.num_hosts == 1
    gpu = (pairs.layer * num_gpus + pairs.gpu)[is_alone]
    order = np.argsort(gpu, kind="stable")
    counts = np.bincount(gpu, minlength=num_layers * num_gpus)
    rank = np.arange(len(gpu)) - (np.cumsum(counts) - counts)[gpu[order]]
    table = np.full((num_layers * num_gpus, max(int(counts.max()), 1)), num_experts)
    table[gpu[order], rank] = pairs.expert[is_alone][order]
    return table.reshape(num_layers, -1)


def _entries(
    pairs: Pairs, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Layer, slot, entry of the flow and copies of that host, of slots with a choice."""
    layer_idx, slot = np.nonzero(pairs.of_slot >= 0)
    pair = pairs.of_slot[layer_idx, slot]
    many = pairs.num_hosts[pair] > 1
    pair = pair[many]
    return layer_idx[many], slot[many], place[pair], pairs.copies[pair].astype(np.float64)
