"""Tiny layers by trying everything; it shares no code with the library and knows every rule."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, combinations_with_replacement, product
from math import comb, prod
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The seed of SGLang's draws.
DRAW_SEED = 42
#: What each GPU holds, in order, an expert as often as it stands there.
Placement = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Case:
    """One layer as plain numbers; the fields mean what those of `Problem` mean.

    Parameters
    ----------
    load
        Tokens, [num_scenarios][num_experts].
    slots_per_gpu
        Slots of each GPU, empty ones too.
    open_slots
        [num_gpus], how many slots of each GPU are filled; 0 for a lost one.
    speed
        [num_gpus], relative to each other.
    has_scenarios
        False for one load, whose objective is then in tokens.
    weights
        [num_scenarios], the scenarios' parts in the mean; empty where they count alike.
    objective
        "mean" or "max" over the scenarios.
    num_nodes, num_groups
        Nodes of consecutive GPUs, and groups of consecutive experts that stay on one node.
    colocation
        Whether two replicas of an expert may share a GPU: "allow" or "forbid".
    pinned, forbidden
        (expert, GPU) pairs, of which each must hold or must not.
    spread
        "gpu" or "node" where every expert needs two of them, else None.
    dispatch
        How replicas share an expert's tokens: "uniform" or "optimal".
    """

    load: tuple[tuple[int, ...], ...]
    slots_per_gpu: int
    open_slots: tuple[int, ...]
    speed: tuple[float, ...]
    has_scenarios: bool = False
    weights: tuple[int, ...] = ()
    objective: str = "mean"
    num_nodes: int = 1
    num_groups: int = 1
    colocation: str = "allow"
    pinned: tuple[tuple[int, int], ...] = ()
    forbidden: tuple[tuple[int, int], ...] = ()
    spread: str | None = None
    dispatch: str = "uniform"

    @property
    def num_gpus(self) -> int:
        """GPUs of the machine, lost ones too."""
        return len(self.open_slots)

    @property
    def num_experts(self) -> int:
        """Logical experts of the layer."""
        return len(self.load[0])

    @property
    def gpus_per_node(self) -> int:
        """GPUs of a node, lost ones too."""
        return self.num_gpus // self.num_nodes

    @property
    def is_hierarchical(self) -> bool:
        """Whether groups of experts have to stay on one node."""
        return self.num_nodes > 1 and self.num_groups > 1

    def arguments(self) -> dict[str, Any]:
        """The arguments of `Problem`; a rule that says nothing is left out."""
        rows = [[list(row)] for row in self.load]
        found: dict[str, Any] = {
            "load": rows if self.has_scenarios else rows[0],
            "num_slots": self.slots_per_gpu * self.num_gpus,
            "num_gpus": self.num_gpus,
            "num_nodes": self.num_nodes,
            "num_groups": self.num_groups,
            "colocation": self.colocation,
            "spread": self.spread,
            "dispatch": self.dispatch,
        }
        if self.has_scenarios:
            found |= {"scenario_weights": list(self.weights), "objective": self.objective}
        if set(self.open_slots) != {self.slots_per_gpu}:
            found["gpu_slots"] = list(self.open_slots)
        if set(self.speed) != {1.0}:
            found["gpu_speed"] = list(self.speed)
        for name in ("pinned", "forbidden"):
            if pairs := getattr(self, name):
                found[name] = [list(pair) for pair in pairs]
        return found


def num_tried(case: Case) -> int:
    """How many placements `placements` looks at, at most."""
    return prod(comb(case.num_experts + slots - 1, slots) for slots in case.open_slots)


def placements(case: Case) -> Iterator[Placement]:
    """Every placement that obeys every rule."""
    experts = range(case.num_experts)
    fills = [list(combinations_with_replacement(experts, slots)) for slots in case.open_slots]
    return (placement for placement in product(*fills) if offence(case, placement) is None)


def offence(case: Case, placement: Placement) -> str | None:
    """The first rule that a placement breaks; None where it is a plan."""
    gpus = range(case.num_gpus)
    hosts = [{g for g in gpus if e in placement[g]} for e in range(case.num_experts)]
    rules = {
        "slots": [len(held) for held in placement] == list(case.open_slots),
        "every expert": all(hosts),
        "apart": case.colocation == "allow"
        or all(len(set(held)) == len(held) for held in placement),
        "pinned": all(g in hosts[e] for e, g in case.pinned),
        "forbidden": not any(g in hosts[e] for e, g in case.forbidden),
        "spread": case.spread is None or all(_num_units(case, on) > 1 for on in hosts),
        "groups": not case.is_hierarchical or _groups_hold(case, hosts),
    }
    return next((name for name, holds in rules.items() if not holds), None)


def _num_units(case: Case, hosts: set[int]) -> int:
    size = case.gpus_per_node if case.spread == "node" else 1
    return len({gpu // size for gpu in hosts})


def _groups_hold(case: Case, hosts: list[set[int]]) -> bool:
    """Whether every group is on one node, and every node has equally many."""
    size = case.num_experts // case.num_groups
    nodes = [
        {g // case.gpus_per_node for on in hosts[first : first + size] for g in on}
        for first in range(0, case.num_experts, size)
    ]
    held = [sum(node in on for on in nodes) for node in range(case.num_nodes)]
    return all(len(on) == 1 for on in nodes) and len(set(held)) == 1


def worth(case: Case, placement: Placement) -> Fraction:
    """The objective: the largest load over speed, or what the scenarios make of it together."""
    peaks = [_peak(case, row, placement) for row in case.load]
    if not case.has_scenarios:
        return peaks[0]
    capacity = sum(
        Fraction(speed) for speed, slots in zip(case.speed, case.open_slots, strict=True) if slots
    )
    ratios = [
        peak * capacity / sum(row) if sum(row) else Fraction(1)
        for peak, row in zip(peaks, case.load, strict=True)
    ]
    if case.objective == "max":
        return max(ratio for ratio, weight in zip(ratios, case.weights, strict=True) if weight)
    total = sum(r * w for r, w in zip(ratios, case.weights, strict=True))
    return Fraction(total) / sum(case.weights)


def _peak(case: Case, load: tuple[int, ...], placement: Placement) -> Fraction:
    gpus = range(case.num_gpus)
    speed = [Fraction(value) for value in case.speed]
    if case.dispatch in ("nearest", "rank_modulo"):
        sent = _sent_loads(case, load, placement)
        return max(value / by for value, by in zip(sent, speed, strict=True))
    if case.dispatch == "uniform":
        counts = [sum(held.count(e) for held in placement) for e in range(case.num_experts)]
        return max(
            sum((Fraction(load[e], counts[e]) for e in placement[g]), Fraction(0)) / speed[g]
            for g in gpus
        )
    # The experts that stand inside a set of GPUs alone can go nowhere else.
    hosts = [{g for g in gpus if e in placement[g]} for e in range(case.num_experts)]
    sets = (set(part) for size in gpus for part in combinations(gpus, size + 1))
    return max(
        sum((Fraction(w) for w, on in zip(load, hosts, strict=True) if on <= part), Fraction(0))
        / sum(speed[g] for g in part)
        for part in sets
    )


def _sent_loads(case: Case, load: tuple[int, ...], placement: Placement) -> list[Fraction]:
    """Each GPU's load where every GPU with a slot sends to one replica, sender by sender."""
    draw = Random(DRAW_SEED)
    loads = [Fraction(0)] * case.num_gpus
    senders = [g for g, slots in enumerate(case.open_slots) if slots]
    for e, weight in enumerate(load):
        copies = [g for g, held in enumerate(placement) for other in held if other == e]
        if case.dispatch == "rank_modulo":
            targets = [copies[i % len(copies)] for i in range(len(senders))]
        else:
            near = [_nearest(case, copies, g) for g in senders]
            each, odd = divmod(near.count(None), len(copies))
            rest = copies * each + [copies[i] for i in draw.sample(range(len(copies)), odd)]
            draw.shuffle([None] * len(rest))
            targets = [g for g in near if g is not None] + rest
        for g in targets:
            loads[g] += Fraction(weight, len(senders))
    return loads


def _nearest(case: Case, copies: list[int], gpu: int) -> int | None:
    """The GPU whose replica is at hand; None where one is dealt."""
    if len(copies) == 1 or gpu in copies:
        return gpu if gpu in copies else copies[0]
    node = [g for g in copies if g // case.gpus_per_node == gpu // case.gpus_per_node]
    return node[0] if 0 < len(node) < len(copies) else None


def moves(before: Placement, after: Placement) -> int:
    """Slots whose expert the GPU did not hold."""
    return sum(e not in old for old, new in zip(before, after, strict=True) for e in new)
