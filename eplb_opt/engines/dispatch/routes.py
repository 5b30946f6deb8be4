"""Where a placement's experts are, traced once, so that loads can be split again and again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.core import dispatch
from eplb_opt.errors import PlanError

if TYPE_CHECKING:
    from eplb_opt.placement.plan import Plan


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of an expert and a GPU that hosts it, sorted by layer, expert and GPU.

    Two slots of an expert on one GPU are one pair.

    Parameters
    ----------
    layer, expert, gpu, copies
        int64 [num_pairs]; the last is the number of slots that the expert has there.
    num_hosts
        int64 [num_pairs], GPUs that host the pair's expert.
    of_slot
        int64 [num_layers, num_slots], the pair of each slot, -1 where it is empty.
    """

    layer: np.ndarray
    expert: np.ndarray
    gpu: np.ndarray
    copies: np.ndarray
    num_hosts: np.ndarray
    of_slot: np.ndarray

    @classmethod
    def trace(cls, plan: Plan) -> Pairs:
        """Read a plan."""
        num_experts = plan.num_experts
        layer, slot = np.nonzero(plan.physical_to_logical >= 0)
        key = layer * num_experts + plan.physical_to_logical[layer, slot]  # an expert of a layer
        by_expert = np.argsort(key, kind="stable")
        layer, slot, key = layer[by_expert], slot[by_expert], key[by_expert]
        gpu = slot // (plan.num_slots // plan.num_gpus)
        is_first = np.ones(len(key), dtype=bool)  # the first slot of an expert on a GPU
        is_first[1:] = (key[1:] != key[:-1]) | (gpu[1:] != gpu[:-1])
        pair = np.cumsum(is_first) - 1
        of_slot = np.full(plan.physical_to_logical.shape, -1)
        of_slot[layer, slot] = pair
        key = key[is_first]
        num_hosts = np.bincount(key, minlength=plan.num_layers * num_experts)[key]
        return cls(
            key // num_experts, key % num_experts, gpu[is_first], np.bincount(pair), num_hosts,
            of_slot,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Routes:
    """A plan made ready for splitting.

    Parameters
    ----------
    plan
        The placement.
    compiled
        The same for the compiled split.
    """

    plan: Plan
    compiled: dispatch.Routes

    @classmethod
    def trace(cls, plan: Plan) -> Routes:
        """Read a plan."""
        placed = np.ascontiguousarray(plan.physical_to_logical, dtype=np.int64)
        return cls(plan, dispatch.Routes(placed, plan.num_experts, plan.num_gpus))

    @cached_property
    def pairs(self) -> Pairs:
        """Experts and their hosts."""
        return Pairs.trace(self.plan)

    @cached_property
    def even(self) -> np.ndarray:
        """The weights of the even split, float64 [num_layers, num_slots]; 0 in an empty slot."""
        placed = self.plan.physical_to_logical
        num_copies = np.take_along_axis(self.plan.logical_count, np.maximum(placed, 0), axis=1)
        return np.where(placed >= 0, 1 / np.maximum(num_copies, 1), 0.0)

    @cached_property
    def homeless(self) -> np.ndarray:
        """Experts that have no slot, their layers and ids, int64 [number, 2]."""
        return np.argwhere(self.plan.logical_count == 0)

    def require_slots(self, load: np.ndarray) -> None:
        """Refuse tokens for an expert that is nowhere, float64 [.., num_layers, num_experts].

        Raises
        ------
        PlanError
            Naming the first one.
        """
        tokens = load[..., self.homeless[:, 0], self.homeless[:, 1]]
        bad = np.argwhere(tokens > 0)
        if len(bad):
            layer_idx, expert = self.homeless[bad[0, -1]].tolist()
            raise PlanError(
                f"Layer {layer_idx}: expert {expert} has load {tokens[tuple(bad[0])]:g} and no "
                "slot. Give it one, or no load."
            )

    def hosts(self, layer_idx: int) -> list[list[int]]:
        """GPUs of every expert of a layer, in order."""
        pairs = self.pairs
        found: list[list[int]] = [[] for _ in range(self.plan.num_experts)]
        of_layer = slice(*np.searchsorted(pairs.layer, [layer_idx, layer_idx + 1]).tolist())
        for expert, gpu in zip(pairs.expert[of_layer], pairs.gpu[of_layer], strict=True):
            found[expert].append(int(gpu))
        return found
