"""A placement: one array, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.placement import checker, scoring
from eplb_opt.problem.arrays import as_int, as_numpy

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.problem.problem import Problem


#: No model has more experts; what is larger is no map.
MAX_ID = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Plan:
    """Which logical expert stands in which slot.

    Parameters
    ----------
    physical_to_logical
        [num_layers, num_slots], logical expert ids; -1 marks an empty slot (as on a
        lost GPU, or in a recorded map).
    num_gpus
        Slot p is on GPU p // (num_slots // num_gpus).
    num_experts
        Logical experts a layer; by default one more than the largest id.

    Raises
    ------
    PlanError
        When the array holds no such map; whether it fits a problem is `check`'s to say.
    """

    physical_to_logical: np.ndarray
    num_gpus: int
    num_experts: int = 0

    def __post_init__(self) -> None:
        placed = _as_map(self.physical_to_logical)
        num_gpus = _as_count(self.num_gpus, "num_gpus", 1)
        if placed.shape[1] % num_gpus:
            raise PlanError(
                f"The map has {placed.shape[1]} slots a layer, no multiple of num_gpus={num_gpus}."
            )
        num_experts = _as_count(self.num_experts, "num_experts", 0) or int(placed.max()) + 1
        if placed.max() >= num_experts or placed.min() < -1:
            raise PlanError(
                f"The map holds ids from {placed.min()} to {placed.max()}; they must be in "
                f"0..{num_experts - 1}, or -1 for an empty slot."
            )
        placed.flags.writeable = False
        object.__setattr__(self, "physical_to_logical", placed)
        object.__setattr__(self, "num_gpus", num_gpus)
        object.__setattr__(self, "num_experts", num_experts)

    @property
    def num_layers(self) -> int:
        """MoE layers of the map."""
        return int(self.physical_to_logical.shape[0])

    @property
    def num_slots(self) -> int:
        """Slots of a layer over all GPUs, empty ones too."""
        return int(self.physical_to_logical.shape[1])

    @cached_property
    def logical_count(self) -> np.ndarray:
        """Replicas of each expert, int64 [num_layers, num_experts]."""
        return _frozen(scoring.replica_counts(self.physical_to_logical, self.num_experts))

    @cached_property
    def logical_to_physical(self) -> np.ndarray:
        """Slots of each expert, int64 [num_layers, num_experts, max count], padded with -1."""
        count = self.logical_count
        slots = np.full((*count.shape, max(int(count.max()), 1)), -1, dtype=np.int64)
        order = np.argsort(self.physical_to_logical, axis=1, kind="stable")
        expert = np.take_along_axis(self.physical_to_logical, order, axis=1)
        first = np.cumsum(count, axis=1) - count
        num_empty = (self.physical_to_logical < 0).sum(axis=1, keepdims=True)
        rank = np.arange(self.num_slots) - num_empty - np.take_along_axis(first, expert, axis=1)
        layer_idx, column = np.nonzero(expert >= 0)
        at = (layer_idx, expert[layer_idx, column], rank[layer_idx, column])
        slots[at] = order[layer_idx, column]
        return _frozen(slots)

    def check(self, problem: Problem) -> None:
        """Look for a rule of a problem that the plan breaks.

        Parameters
        ----------
        problem
            The loads, the machine and the rules that the plan is for.

        Raises
        ------
        PlanError
            When a rule is broken, with the layer, the GPU and the reason.
        """
        if self.num_gpus != problem.num_gpus:
            raise PlanError(
                f"The plan is for {self.num_gpus} GPUs; the problem has {problem.num_gpus}."
            )
        checker.check(problem, self.physical_to_logical)

    def objectives(self, problem: Problem) -> list[Fraction]:
        """The exact objective of each layer, as `Problem` defines it.

        Parameters
        ----------
        problem
            The loads, the machine and the rules, which the plan must obey.

        Returns
        -------
        list of Fraction
            [num_layers], the largest GPU loads in the problem's integer units; with scenarios
            what their ratios make together.
        """
        return scoring.objectives(problem, self.physical_to_logical)


def as_plan(plan: Any, problem: Problem) -> Plan:
    """A Plan, or anybody's [num_layers, num_slots] map, as a Plan that fits the problem.

    Raises
    ------
    PlanError
        When it breaks a rule of the problem.
    """
    if not isinstance(plan, Plan):
        plan = Plan(plan, problem.num_gpus)
    plan.check(problem)
    return Plan(plan.physical_to_logical, problem.num_gpus, problem.num_experts)


def _as_map(values: Any) -> np.ndarray:
    try:
        placed = as_numpy(values, "physical_to_logical")
    except ProblemError as error:
        raise PlanError(str(error)) from error
    if placed.ndim != 2 or 0 in placed.shape:
        raise PlanError(
            f"physical_to_logical has shape {list(placed.shape)}; it must be "
            "[num_layers, num_slots], at least one of each."
        )
    if placed.dtype.kind == "f" and not (placed == np.round(placed)).all():
        raise PlanError("physical_to_logical holds fractions; expert ids are integers.")
    if placed.max() > MAX_ID:
        raise PlanError(f"physical_to_logical holds {placed.max()}; that is no expert id.")
    return placed.astype(np.int64)


def _as_count(value: Any, name: str, least: int) -> int:
    try:
        return as_int(value, name, least)
    except ProblemError as error:
        raise PlanError(str(error)) from error


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
