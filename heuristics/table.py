"""All heuristics under one call.

A new heuristic is one module with a `solve` and one line here.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heuristics import greedy
from heuristics.arguments import admit_array, admit_tensor, is_tensor
from heuristics.errors import require
from heuristics.layout import make_layout
from heuristics.maps import complete, complete_tensor, to_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from heuristics.layout import Layout
    from heuristics.maps import Maps


@dataclass(frozen=True)
class Heuristic:
    """A published heuristic as the call that every engine copies.

    Parameters
    ----------
    module
        The module that holds it, imported at the first call.
    backend
        "numpy" or "torch": what its `solve` computes with.
    solve
        Name of the function in that module.
    tight
        Whether log2phy is as wide as the largest count, as DeepSeek's is; else
        its width is num_replicas - num_experts + 1, as in the engines.
    """

    module: str
    backend: str
    solve: str = "solve"
    tight: bool = False

    def __call__(
        self, weight: Any, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
    ) -> Maps:
        """Place replicas of all experts.

        Parameters
        ----------
        weight
            Loads, tokens, [num_layers, num_experts]: an array or nested list,
            or a tensor on any device. Never modified.
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
            Expert of every slot, int64 [num_layers, num_replicas]; slot p is on
            GPU p // (num_replicas // num_gpus).
        log2phy
            Slots of every expert, ascending, int64 [num_layers, num_experts,
            width], padded with -1.
        logcnt
            Replicas of every expert, int64 [num_layers, num_experts].
            All three are tensors on the weight's device where that is a
            tensor, else arrays.

        Raises
        ------
        ValueError
            If the loads or the numbers make no problem.
        MissingDependency
            If the backend is not installed.
        """
        tensor_in = is_tensor(weight)
        load = admit_tensor(weight) if tensor_in else admit_array(weight)
        layout = make_layout(load.shape[1], num_replicas, num_groups, num_nodes, num_gpus)
        return RUNNERS[self.backend, tensor_in](self, load, layout)

    def width(self, layout: Layout) -> int | None:
        """Width of log2phy; None means the largest count."""
        return None if self.tight else layout.num_slots - layout.num_experts + 1

    def find(self) -> Any:
        """Import the function that decides."""
        return getattr(importlib.import_module(self.module), self.solve)


def run_numpy(heuristic: Heuristic, load: Any, layout: Layout) -> Maps:
    """Arrays in, arrays out."""
    phy2log = heuristic.find()(load, layout)
    return complete(phy2log, layout.num_experts, heuristic.width(layout))


def run_torch(heuristic: Heuristic, load: Any, layout: Layout) -> Maps:
    """Tensors in, tensors out, all on the load's device."""
    phy2log = heuristic.find()(load, layout)
    # Every torch heuristic is of the engines' width, which needs no read-back.
    return complete_tensor(phy2log, layout.num_experts, heuristic.width(layout) or 0)


def run_numpy_on_tensor(heuristic: Heuristic, load: Any, layout: Layout) -> Maps:
    """Compute on the host, answer on the load's device."""
    return to_device(run_numpy(heuristic, load.cpu().numpy(), layout), load.device)


def run_torch_on_array(heuristic: Heuristic, load: Any, layout: Layout) -> Maps:
    """Compute with tensors on the host, answer in arrays."""
    maps = run_torch(heuristic, require("torch").from_numpy(load), layout)
    return maps[0].numpy(), maps[1].numpy(), maps[2].numpy()


RUNNERS: dict[tuple[str, bool], Callable[[Heuristic, Any, Layout], Maps]] = {
    ("numpy", False): run_numpy,
    ("numpy", True): run_numpy_on_tensor,
    ("torch", False): run_torch_on_array,
    ("torch", True): run_torch,
}

HEURISTICS: dict[str, Callable[[Any, int, int, int, int], Maps]] = {
    "deepseek": Heuristic("heuristics.deepseek", "numpy", tight=True),
    "vectorized_lpt": Heuristic("heuristics.vectorized_lpt", "torch"),
    "swap_refine": Heuristic("heuristics.swap_refine", "torch"),
    "replica_refine": Heuristic("heuristics.replica_refine", "torch"),
    "replica_refine_guarded": Heuristic("heuristics.replica_refine", "torch", "solve_guarded"),
    "waterfill_diverse": Heuristic("heuristics.waterfill_diverse", "torch"),
    "cpu_lpt_slotted": Heuristic("heuristics.cpu_lpt_slotted", "numpy"),
    "greedy": greedy.rebalance_experts,
}
