"""What the count-and-assignment model and the flow model have in common: T, objective and units."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.shared.objective_units import ObjectiveUnits, units_above

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.exact.shared.change import Change
    from eplb_opt.exact.shared.loads import LayerLoads
    from eplb_opt.exact.shared.scaling import Scale
    from eplb_opt.problem.problem import Problem

#: The column of T, the largest GPU load in units of the scale; with a weighted mean the first one.
LARGEST_LOAD = 0


class LayerChoices(ABC):
    """What the plans of a layer that are no worse than the start can have.

    Attributes
    ----------
    problem
        A problem of one layer.
    upper
        The value of the start (`loads.plan_value`), positive.
    loads
        The loads that the model looks at.
    """

    problem: Problem
    upper: Fraction
    loads: LayerLoads

    @property
    def num_peaks(self) -> int:
        """The number of columns of T: one, or one a load where the aim is a weighted mean."""
        return len(self.loads.each) if self.loads.is_mean else 1

    @property
    def num_group_columns(self) -> int:
        """The number of columns that place groups on nodes; 0 in a flat problem."""
        problem = self.problem
        return problem.num_groups * problem.num_nodes if problem.is_hierarchical else 0

    @property
    @abstractmethod
    def num_columns(self) -> int:
        """The number of all columns, known before anything is built."""


class LayerFormulation(ABC):
    """Columns, objective and units of an exact model of one layer.

    A subclass adds the columns of its own decisions after those of T.

    Attributes
    ----------
    choices
        What plans can have.
    scale
        Units of the model per unit of a plan's value.
    least
        What is proven of every T, in units of the model, [num_peaks].
    weight
        What a unit of every T counts in the model's objective, [num_peaks].
    change
        How plans are compared with the plan in force; None where they are not.
    """

    choices: LayerChoices
    scale: Scale
    least: tuple[int, ...]
    weight: tuple[int, ...]
    change: Change | None

    @property
    def problem(self) -> Problem:
        """The layer that the model is of."""
        return self.choices.problem

    @cached_property
    def peaks(self) -> np.ndarray:
        """The column of T of every load, int64 [num_loads]."""
        num_loads = len(self.choices.loads.each)
        of_load = np.arange(num_loads) if self.choices.loads.is_mean else np.zeros(num_loads)
        return LARGEST_LOAD + of_load.astype(np.int64)

    @property
    @abstractmethod
    def moving(self) -> np.ndarray:
        """The columns that count moves, int64; none where no plan is in force."""

    @property
    def minimises_moves(self) -> bool:
        """Whether moves are minimised, under a limit on the largest load."""
        return self.change is not None and self.change.limit is not None

    @property
    def minimised(self) -> tuple[list[int], list[int]]:
        """Columns and coefficients of what is minimised: the T, or the moves."""
        if self.minimises_moves:
            return self.moving.tolist(), [1] * len(self.moving)
        return list(range(self.choices.num_peaks)), list(self.weight)

    @property
    def lower_bound(self) -> int:
        """What is proven of the objective before the model is solved, in units of the model."""
        if self.minimises_moves:
            return 0
        return sum(w * t for w, t in zip(self.weight, self.least, strict=True))

    @cached_property
    def column_lower(self) -> np.ndarray:
        """The smallest value of every column, int64 [num_columns]: 0, but for T."""
        lower = np.zeros(self.choices.num_columns, dtype=np.int64)
        lower[: self.choices.num_peaks] = self.least
        return lower

    @property
    def objective_units(self) -> ObjectiveUnits:
        """How values of plans and the model's objective are converted into each other."""
        return ObjectiveUnits(self.choices.loads, self.scale, self.weight)

    def to_units(self, value: Fraction) -> int:
        """The most units of the objective that a plan of at most this value can have."""
        return self.objective_units.to_units(value)

    def to_bound(self, units: int) -> Fraction:
        """A lower bound of the layer's value from one of the model's objective."""
        return self.objective_units.to_bound(units)

    def to_value(self, units: int) -> Fraction:
        """The value that a number of units stands for, up to the scale's rounding."""
        return self.objective_units.to_value(units)

    def _group_columns(self, first: int) -> np.ndarray:
        """Columns of groups on nodes from `first` on, int64 [num_groups, num_nodes]."""
        problem = self.problem
        shape = (problem.num_groups, problem.num_nodes) if problem.is_hierarchical else (0, 0)
        return first + np.arange(shape[0] * shape[1], dtype=np.int64).reshape(shape)

    def _largest_peaks(self) -> list[int] | int:
        """The largest value of every T."""
        units = units_above(self.choices.loads, self.scale)
        return units if self.choices.loads.is_mean else max(units, default=1)
