"""Where a placement's experts are, traced once, so that loads can be split again and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import PlanError

if TYPE_CHECKING:
    from eplb_opt.plan import Plan


@dataclass(frozen=True, eq=False)
class Routes:
    """Experts with one host, and the pairs (expert, host) of those with several.

    All layers lie one behind the other; int32. Two slots of an expert on one GPU are one host.

    Parameters
    ----------
    shape
        Layers, experts, slots, GPUs.
    alone, alone_gpu, alone_begin
        Experts with one host, that host, and where each layer's begin, [num_layers + 1].
    many, first, many_begin
        Experts with several hosts, where their pairs begin (one more at the end), and where each
        layer's begin.
    gpu, copies, owner
        By pair: host, slots there, index into `many`.
    gpu_begin, gpu_pair
        Pairs GPU by GPU and where each GPU's begin, [num_layers * num_gpus + 1].
    slot, slot_pair, slot_begin
        Slots of experts with several hosts, their pairs, and where each layer's begin.
    even
        float64 [num_layers, num_slots]: the weights of the even split, 0 in an empty slot.
    num_copies
        float64 [num_layers, num_experts], slots of each expert.
    """

    shape: tuple[int, int, int, int]
    alone: np.ndarray
    alone_gpu: np.ndarray
    alone_begin: np.ndarray
    many: np.ndarray
    first: np.ndarray
    many_begin: np.ndarray
    gpu: np.ndarray
    copies: np.ndarray
    owner: np.ndarray
    gpu_begin: np.ndarray
    gpu_pair: np.ndarray
    slot: np.ndarray
    slot_pair: np.ndarray
    slot_begin: np.ndarray
    even: np.ndarray
    num_copies: np.ndarray

    @classmethod
    def trace(cls, plan: Plan) -> Routes:
        """Read a plan."""
        num_layers, num_experts = plan.num_layers, plan.num_experts
        room = plan.num_slots // plan.num_gpus
        layer, slot = np.nonzero(plan.physical_to_logical >= 0)
        key = layer * num_experts + plan.physical_to_logical[layer, slot]  # an expert of a layer
        by_expert = np.argsort(key, kind="stable")
        layer, slot, key = layer[by_expert], slot[by_expert], key[by_expert]
        gpu = slot // room
        is_pair = np.ones(len(key), dtype=bool)  # the first slot of an expert on a GPU
        is_pair[1:] = (key[1:] != key[:-1]) | (gpu[1:] != gpu[:-1])
        num_hosts = np.bincount(key[is_pair], minlength=num_layers * num_experts)
        num_copies = np.bincount(key, minlength=num_layers * num_experts)
        even = np.zeros(plan.physical_to_logical.shape)
        even[layer, slot] = 1 / num_copies[key]

        is_many = num_hosts[key] > 1
        pair_key, pair_gpu = key[is_pair & is_many], gpu[is_pair & is_many]
        slot_pair = np.cumsum(is_pair[is_many]) - 1
        many, alone = np.flatnonzero(num_hosts > 1), key[is_pair & ~is_many]
        place = pair_key // num_experts * plan.num_gpus + pair_gpu  # a GPU of a layer
        layers = np.arange(num_layers + 1)
        return cls(
            (num_layers, num_experts, plan.num_slots, plan.num_gpus),
            _index(alone % num_experts),
            _index(gpu[is_pair & ~is_many]),
            _index(np.searchsorted(alone, layers * num_experts)),
            _index(many % num_experts),
            _index(np.cumsum([0, *num_hosts[many]])),
            _index(np.searchsorted(many, layers * num_experts)),
            _index(pair_gpu),
            _index(np.bincount(slot_pair, minlength=len(pair_key))),
            _index(np.searchsorted(many, pair_key)),
            _index(np.cumsum([0, *np.bincount(place, minlength=num_layers * plan.num_gpus)])),
            _index(np.argsort(place, kind="stable")),
            _index(slot[is_many]),
            _index(slot_pair),
            _index(np.searchsorted(layer[is_many], layers)),
            even,
            num_copies.reshape(num_layers, num_experts).astype(np.float64),
        )

    def require_slots(self, load: np.ndarray) -> None:
        """Refuse tokens for an expert that is nowhere, float64 [.., num_layers, num_experts].

        Raises
        ------
        PlanError
            Naming the first one.
        """
        homeless = self.num_copies == 0
        if not homeless.any():
            return
        bad = np.argwhere(homeless & (load > 0))
        if len(bad):
            *_, layer_idx, expert = bad[0].tolist()
            raise PlanError(
                f"Layer {layer_idx}: expert {expert} has load {load[tuple(bad[0])]:g} and no slot. "
                "Give it one, or no load."
            )

    def hosts(self, layer_idx: int) -> list[list[int]]:
        """GPUs of every expert of a layer."""
        found: list[list[int]] = [[] for _ in range(self.shape[1])]
        begin, end = self.alone_begin[layer_idx : layer_idx + 2]
        for expert, gpu in zip(self.alone[begin:end], self.alone_gpu[begin:end], strict=True):
            found[expert] = [int(gpu)]
        for i in range(*self.many_begin[layer_idx : layer_idx + 2]):
            found[self.many[i]] = self.gpu[self.first[i] : self.first[i + 1]].tolist()
        return found


def _index(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.int32)
