"""Slots, groups, nodes and GPUs: the numbers of one call, checked once."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Layout:
    """Where the replicas go, after the rule that picks hierarchical or flat.

    Slot p is on GPU p // slots_per_gpu, and nodes hold consecutive GPUs.
    A flat problem is the hierarchical one with one group and one node.
    """

    num_experts: int
    num_slots: int
    num_groups: int
    num_nodes: int
    num_gpus: int

    def __post_init__(self) -> None:
        if self.num_slots % self.num_gpus:
            enough = -(-max(self.num_slots, self.num_experts) // self.num_gpus) * self.num_gpus
            raise ValueError(
                f"num_replicas={self.num_slots} is no multiple of num_gpus={self.num_gpus}: "
                f"take {enough} replicas."
            )
        if self.num_slots < self.num_experts:
            raise ValueError(
                f"num_replicas={self.num_slots} is less than the {self.num_experts} experts: "
                "every expert needs a slot."
            )
        if self.num_experts % self.num_groups:
            raise ValueError(
                f"{self.num_experts} experts do not divide into num_groups={self.num_groups} "
                "equal groups: take a divisor, or 1."
            )
        if self.num_gpus % self.num_nodes:
            raise ValueError(
                f"num_gpus={self.num_gpus} is no multiple of num_nodes={self.num_nodes}: "
                "give every node as many GPUs, or take num_nodes=1."
            )

    @property
    def group_size(self) -> int:
        """Experts a group."""
        return self.num_experts // self.num_groups

    @property
    def node_experts(self) -> int:
        """Experts a node."""
        return self.num_experts // self.num_nodes

    @property
    def node_slots(self) -> int:
        """Slots a node."""
        return self.num_slots // self.num_nodes

    @property
    def node_gpus(self) -> int:
        """GPUs a node."""
        return self.num_gpus // self.num_nodes


def positive(name: str, value: Any) -> int:
    """Return `value` as an int of at least 1, or raise ValueError with its name."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name}={value!r} is no integer: give a whole number >= 1.") from None
    if isinstance(value, bool) or number < 1:
        raise ValueError(f"{name}={value!r}: give a whole number >= 1.")
    return number


def make_layout(
    num_experts: int, num_replicas: Any, num_groups: Any, num_nodes: Any, num_gpus: Any
) -> Layout:
    """Check the numbers of a call and apply the published rule.

    Hierarchical when `num_groups` is a multiple of `num_nodes`; else the
    groups cannot be shared out and the problem is solved flat.

    Raises
    ------
    ValueError
        With the numbers and the mend.
    """
    slots = positive("num_replicas", num_replicas)
    groups = positive("num_groups", num_groups)
    nodes = positive("num_nodes", num_nodes)
    gpus = positive("num_gpus", num_gpus)
    if groups % nodes:
        groups = nodes = 1
    return Layout(num_experts, slots, groups, nodes, gpus)
