"""What both models of the least off home have in common: replicas on places that fill their slots.

How replicas are dealt to the GPUs of a place does not matter for what is off home, nor does the
load: a place is a node, or a GPU where links tell those of a node apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: The minimised sum stays below this, so that CP-SAT's integers and float bounds hold it.
MAX_SUM = 2**50


@dataclass(frozen=True, eq=False)
class LeastOffHome:
    """What is known of the least that a layer can have off home.

    Parameters
    ----------
    placed
        int64 [num_slots], a plan with little off home; None where none was found.
    bound
        No plan has less.
    """

    placed: np.ndarray | None
    bound: Fraction


def weights(layer: Problem) -> list[list[Fraction]]:
    """Each expert's part of the assignments: a row, or with the worst of several loads one each."""
    rows = layer.load.reshape(-1, layer.num_experts).tolist()
    parts = [[Fraction(w, max(sum(row), 1)) for w in row] for row in rows]
    if not layer.has_scenarios:
        return parts
    counted = [(s, row) for s, row in zip(layer.shares, parts, strict=True) if s]
    if layer.objective == "max":
        return [row for _, row in counted]
    experts = range(layer.num_experts)
    return [[sum((s * row[e] for s, row in counted), Fraction(0)) for e in experts]]


class Model:
    """What both kinds have in common: counts of replicas on places that fill the slots."""

    def __init__(self, layer: Problem, place: np.ndarray) -> None:
        self.layer, self.place = layer, place
        used = layer.open_slots > 0
        self.slots = np.bincount(place, layer.open_slots, int(place.max()) + 1).astype(int).tolist()
        gpus = np.bincount(place[used], minlength=len(self.slots)).tolist()
        apart = layer.colocation == "forbid"
        self.most_there = [min(s, g) if apart else s for s, g in zip(self.slots, gpus, strict=True)]
        spare = int(layer.open_slots.sum()) - layer.num_experts + 1
        self.counts = range(1, min(spare, sum(self.most_there)) + 1)
        self.weights = weights(layer)
        self.scale = Fraction(1)
        self.model: Any = None

    def minimise(self, sums: list[Any]) -> None:
        """The largest of the sums."""
        if len(sums) == 1:
            self.model.minimize(sums[0])
            return
        worst = self.model.new_int_var(0, 2 * MAX_SUM, "worst")
        for each in sums:
            self.model.add(worst >= each)
        self.model.minimize(worst)

    def rounded(self, weight: Fraction, times: Fraction = Fraction(1)) -> int:
        """A weight in the model's unit, rounded down."""
        return floor(weight * times * self.scale)


def dealt(layer: Problem, place: np.ndarray, places: np.ndarray) -> np.ndarray | None:
    """A plan with so many replicas on each place, int64 [num_slots]; None where none fits.

    Experts with many replicas come first, and go to the GPUs with most room (Gale and Ryser's
    order): where any way keeps replicas apart, this one does.

    Parameters
    ----------
    layer
        A problem of one layer.
    place
        int64 [num_gpus], the place of each GPU.
    places
        int64 [num_experts, num_places], replicas of each expert there; they fill the slots.
    """
    apart, load = (
        layer.colocation == "forbid",
        layer.load.reshape(-1, layer.num_experts).sum(axis=0),
    )
    rows: list[list[int]] = [[] for _ in range(layer.num_gpus)]
    room = layer.open_slots.tolist()
    for p in range(places.shape[1]):
        gpus = np.flatnonzero(place == p).tolist()
        held = places[:, p]
        for e in np.lexsort((-load, -held)).tolist():
            taken: set[int] = set()
            for _ in range(int(held[e])):
                free = [g for g in gpus if room[g] and not (apart and g in taken)]
                if not free:
                    return None
                gpu = max(free, key=lambda g: (room[g], -g))
                rows[gpu].append(e)
                taken.add(gpu)
                room[gpu] -= 1
    placed = np.full((layer.num_gpus, layer.slots_per_gpu), -1, dtype=np.int64)
    for gpu, experts in enumerate(rows):
        placed[gpu, : len(experts)] = experts
    return placed.ravel()
