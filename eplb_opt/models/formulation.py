"""The variables of the count-and-assignment model of one layer.

With z_ec = 1 when expert e has c replicas and y_ecg how many of them stand on GPU g:

    minimise T
    sum_c z_ec = 1                          for every e
    sum_g y_ecg = c z_ec                    for every e, c
    sum_ec y_ecg = slots_per_gpu            for every g
    sum_ec floor(Q w_e / c) y_ecg <= T      for every g

`rules` holds these and the rules of groups, of colocation and of order. The counts range over
all that a plan no worse than the start can have, so the start and an optimal plan
are among the solutions, and what is proven of all solutions is proven of the optimum. A solver
numbers the columns: T, the z, the y, and in hierarchical problems x_hn, group h on node n.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.models import counts
from eplb_opt.models.scaling import Scale, ScaleLimits, choose_scale

if TYPE_CHECKING:
    from eplb_opt.problem import Problem

#: The column of T, the largest GPU load in units of the scale.
LARGEST_LOAD = 0


@dataclass(frozen=True, eq=False)
class Choices:
    """The counts an expert may have; choice k is `count[k]` replicas of `expert[k]`.

    Parameters
    ----------
    problem
        Of one layer.
    upper
        The largest GPU load of the start, positive.
    expert, count
        int64 [num_choices], by expert and then by count, without a hole.
    """

    problem: Problem
    upper: Fraction
    expert: np.ndarray
    count: np.ndarray

    @property
    def num_columns(self) -> int:
        """T, z, y and x; known before anything is built."""
        problem = self.problem
        hosted = problem.num_groups * problem.num_nodes if problem.is_hierarchical else 0
        return 1 + len(self.expert) * (1 + problem.num_gpus) + hosted


@dataclass(frozen=True, eq=False)
class Formulation:
    """Columns, sizes and limits of the model of one layer.

    Parameters
    ----------
    choices
        The counts an expert may have.
    scale
        Units of the model per unit of load.
    size
        int64 [num_choices], of one replica.
    most
        int64 [num_choices], replicas that one GPU takes.
    lower_bound
        Proven of T, in units of the scale.
    """

    choices: Choices
    scale: Scale
    size: np.ndarray
    most: np.ndarray
    lower_bound: int

    @property
    def problem(self) -> Problem:
        return self.choices.problem

    @property
    def expert(self) -> np.ndarray:
        return self.choices.expert

    @property
    def count(self) -> np.ndarray:
        return self.choices.count

    @cached_property
    def chosen(self) -> np.ndarray:
        """Columns of z, int64 [num_choices]."""
        return 1 + np.arange(len(self.count))

    @cached_property
    def placed(self) -> np.ndarray:
        """Columns of y, int64 [num_choices, num_gpus]."""
        shape = (len(self.count), self.problem.num_gpus)
        return 1 + len(self.count) + np.arange(shape[0] * shape[1]).reshape(shape)

    @cached_property
    def hosted(self) -> np.ndarray:
        """Columns of x, int64 [num_groups, num_nodes]; none in a flat problem."""
        shape = (self.problem.num_groups, self.problem.num_nodes)
        if not self.problem.is_hierarchical:
            shape = (0, 0)
        return (
            1 + len(self.count) + self.placed.size + np.arange(shape[0] * shape[1]).reshape(shape)
        )

    @cached_property
    def column_upper(self) -> np.ndarray:
        """Largest value of every column, int64 [num_columns]; the smallest is 0, but for T.

        T may exceed the start's: cut off there, a solver tends to lose the start.
        """
        upper = np.ones(self.choices.num_columns, dtype=np.int64)
        upper[self.placed] = self.most[:, None]
        upper[LARGEST_LOAD] = 2 * max(int(self.choices.upper * self.scale.value), 1)
        return upper

    @cached_property
    def column_lower(self) -> np.ndarray:
        """Smallest value of every column, int64 [num_columns]."""
        lower = np.zeros(self.choices.num_columns, dtype=np.int64)
        lower[LARGEST_LOAD] = self.lower_bound
        return lower


def list_choices(problem: Problem, upper: Fraction) -> Choices:
    """All counts that a plan with no GPU above `upper` can have.

    An expert e needs c_e >= w_e / upper replicas, and the others' needs leave it at most
    what `counts.most_replicas` says; a narrower range would make the model's bound false.
    """
    fewest = counts.fewest_replicas(problem, upper)
    width = counts.most_replicas(problem, fewest) - fewest + 1
    expert = np.repeat(np.arange(problem.num_experts), width)
    offset = np.arange(len(expert)) - np.repeat(np.cumsum(width) - width, width)
    return Choices(problem, upper, expert, fewest[expert] + offset)


def formulate(choices: Choices, lower_bound: Fraction, limits: ScaleLimits) -> Formulation:
    """Sizes, scale and limits of the columns.

    Parameters
    ----------
    choices
        The counts an expert may have.
    lower_bound
        A proven one of the layer, in units of load.
    limits
        Of the solver's arithmetic.
    """
    problem = choices.problem
    pairs = list(zip(problem.load[0][choices.expert].tolist(), choices.count.tolist(), strict=True))
    scale = choose_scale([Fraction(w, c) for w, c in pairs], choices.upper, limits)
    return Formulation(
        choices=choices,
        scale=scale,
        size=np.array([scale.size(w, c) for w, c in pairs]),
        most=counts.most_on_a_gpu(problem, choices.upper, choices.expert, choices.count),
        lower_bound=scale.to_units(lower_bound, problem.slots_per_gpu),
    )
