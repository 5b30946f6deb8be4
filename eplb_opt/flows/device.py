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

from eplb_opt.errors import MissingDependency, ProblemError
from eplb_opt.flows.door import Dispatcher

if TYPE_CHECKING:
    import torch

    from eplb_opt.flows.routes import Routes

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
    from eplb_opt.flows import device_kernels

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
        many, hosts, place = _table(routes)
        self.num_sweeps = num_sweeps
        self.shape = routes.shape

        def move(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.array(array)).to(device)

        self._speed, self._even = move(held.gpu_speed), move(routes.even)
        self._many, self._hosts, self._alone = move(many), move(hosts), move(_alone(routes))
        layer_idx, slot, entry, copies = _entries(routes, place)
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


def _table(routes: Routes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Experts with several hosts, and those, padded; and where each pair stands in its layer."""
    counts, widths = np.diff(routes.many_begin), np.diff(routes.first)
    most, width = int(counts.max(initial=0)), int(widths.max(initial=0))
    many = np.zeros((routes.shape[0], most), dtype=np.int32)
    hosts = np.full((routes.shape[0], most, width), -1, dtype=np.int32)
    layer_of = np.repeat(np.arange(len(counts)), counts)
    rank = np.arange(len(layer_of)) - routes.many_begin[layer_of]
    many[layer_of, rank] = routes.many
    lane = np.arange(len(routes.gpu)) - routes.first[routes.owner]
    hosts[layer_of[routes.owner], rank[routes.owner], lane] = routes.gpu
    return many, hosts, rank[routes.owner] * width + lane


def _alone(routes: Routes) -> np.ndarray:
    """Experts with one host, GPU by GPU, padded; int64 [num_layers, num_gpus * most of a GPU]."""
    num_layers, num_experts, _, num_gpus = routes.shape
    layer_of = np.repeat(np.arange(num_layers), np.diff(routes.alone_begin))
    gpu = layer_of * num_gpus + routes.alone_gpu
    order = np.argsort(gpu, kind="stable")
    counts = np.bincount(gpu, minlength=num_layers * num_gpus)
    rank = np.arange(len(gpu)) - (np.cumsum(counts) - counts)[gpu[order]]
    table = np.full((num_layers * num_gpus, max(int(counts.max()), 1)), num_experts)
    table[gpu[order], rank] = routes.alone[order]
    return table.reshape(num_layers, -1)


def _entries(
    routes: Routes, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Layer, slot, entry of the flow and copies of that host, of slots with a choice."""
    layer_idx = np.repeat(np.arange(routes.shape[0]), np.diff(routes.slot_begin))
    copies = routes.copies[routes.slot_pair].astype(np.float64)
    return layer_idx, routes.slot.astype(np.int64), place[routes.slot_pair], copies
