"""The variables of the count-and-assignment model of one layer.

With z_ec = 1 when expert e has c replicas and y_ecg how many of them stand on GPU g:

    minimise T
    sum_c z_ec = 1                                  for every e
    sum_g y_ecg = c z_ec                            for every e, c
    sum_ec y_ecg = open slots of g                  for every g
    sum_ec floor(Q w_e / (c speed_g)) y_ecg <= T    for every g

With scenarios every load has rows like the last, in units of its mean: the worst of them shares one
T, a weighted mean has a T for each. `rules` holds these and the rules of groups, of
colocation, of spread, of pinned and forbidden experts, of moves and of order. The counts range over
all that a plan no worse than the start can have, so the start and an optimal plan
are among the solutions, and what is proven of all solutions is proven of the optimum. A solver
numbers the columns: the T, the z, the y, and in hierarchical problems x_hn, group h on node n.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.counts import ranges
from eplb_opt.exact.shared.loads import LayerLoads, ModelLoad, loads_within
from eplb_opt.exact.shared.scaling import Scale, ScaleLimits, choose_scale
from eplb_opt.exact.shared.worths import Worths, units_above, weights_of

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: The column of T, the largest GPU load in units of the scale; with a weighted mean the first one.
LARGEST_LOAD = 0


@dataclass(frozen=True, eq=False)
class Choices:
    """The counts an expert may have; choice k is `count[k]` replicas of `expert[k]`.

    Parameters
    ----------
    problem
        Of one layer.
    upper
        What the start is worth, positive; see `loads.worth`.
    loads
        What the model looks at.
    expert, count
        int64 [num_choices], by expert and then by count, without a hole.
    """

    problem: Problem
    upper: Fraction
    loads: LayerLoads
    expert: np.ndarray
    count: np.ndarray

    @property
    def is_empty(self) -> bool:
        """Whether the slots are too few: some expert has no count left."""
        return len(np.unique(self.expert)) < self.problem.num_experts

    @property
    def num_peaks(self) -> int:
        """Columns of T."""
        return len(self.loads.each) if self.loads.is_mean else 1

    @property
    def num_columns(self) -> int:
        """T, z, y and x; known before anything is built."""
        problem = self.problem
        hosted = problem.num_groups * problem.num_nodes if problem.is_hierarchical else 0
        return self.num_peaks + len(self.expert) * (1 + problem.num_gpus) + hosted


@dataclass(frozen=True, eq=False)
class Change:
    """What a plan may move, or is to move as little of as can be.

    Parameters
    ----------
    held
        bool [num_experts, num_gpus], what stands on the GPUs now.
    max_moves
        Slots whose expert may be new on its GPU; None for any number.
    limit
        Largest worth of a plan; with it the moves are what is minimised.
    """

    held: np.ndarray
    max_moves: int | None = None
    limit: Fraction | None = None


@dataclass(frozen=True, eq=False)
class Formulation:
    """Columns, sizes and limits of the model of one layer.

    Parameters
    ----------
    choices
        The counts an expert may have.
    scale
        Units of the model per unit of load, or of a scenario's worth.
    size
        int64 [num_loads, num_choices, num_gpus], of one replica; 1 GPU where all are as fast.
    most
        int64 [num_choices, num_gpus], replicas that a GPU takes; 1 GPU where all are alike.
    least
        Proven of every T, in units of the scale, [num_peaks].
    weight
        What a unit of every T counts in the objective, [num_peaks].
    change
        Where plans are compared with the one in force.
    """

    choices: Choices
    scale: Scale
    size: np.ndarray
    most: np.ndarray
    least: tuple[int, ...]
    weight: tuple[int, ...] = (1,)
    change: Change | None = None

    @property
    def problem(self) -> Problem:
        """The layer that the model is of."""
        return self.choices.problem

    @property
    def expert(self) -> np.ndarray:
        """The expert of every choice, int64 [num_choices]."""
        return self.choices.expert

    @property
    def count(self) -> np.ndarray:
        """The replica count of every choice, int64 [num_choices]."""
        return self.choices.count

    @cached_property
    def peaks(self) -> np.ndarray:
        """The column of T of every load, int64 [num_loads]."""
        num_loads = len(self.choices.loads.each)
        of_load = np.arange(num_loads) if self.choices.loads.is_mean else np.zeros(num_loads)
        return LARGEST_LOAD + of_load.astype(np.int64)

    @cached_property
    def chosen(self) -> np.ndarray:
        """Columns of z, int64 [num_choices]."""
        return self.choices.num_peaks + np.arange(len(self.count))

    @cached_property
    def placed(self) -> np.ndarray:
        """Columns of y, int64 [num_choices, num_gpus]."""
        shape = (len(self.count), self.problem.num_gpus)
        first = self.choices.num_peaks + len(self.count)
        return first + np.arange(shape[0] * shape[1]).reshape(shape)

    @cached_property
    def moving(self) -> np.ndarray:
        """Columns of y whose replicas are new on their GPU, int64 [any number]."""
        if self.change is None:
            return np.zeros(0, dtype=np.int64)
        return np.asarray(self.placed[~self.change.held[self.expert]])

    @property
    def minimises_moves(self) -> bool:
        """Whether moves are minimised, under a limit on the largest load."""
        return self.change is not None and self.change.limit is not None

    @property
    def objective(self) -> tuple[list[int], list[int]]:
        """Columns and coefficients of what is minimised: the T, or the moves."""
        if self.minimises_moves:
            return self.moving.tolist(), [1] * len(self.moving)
        return list(range(self.choices.num_peaks)), list(self.weight)

    @property
    def lower_bound(self) -> int:
        """Proven of the objective, in units of the model."""
        if self.minimises_moves:
            return 0
        return sum(w * t for w, t in zip(self.weight, self.least, strict=True))

    @cached_property
    def hosted(self) -> np.ndarray:
        """Columns of x, int64 [num_groups, num_nodes]; none in a flat problem."""
        shape = (self.problem.num_groups, self.problem.num_nodes)
        if not self.problem.is_hierarchical:
            shape = (0, 0)
        first = self.choices.num_peaks + len(self.count) + self.placed.size
        return first + np.arange(shape[0] * shape[1]).reshape(shape)

    @cached_property
    def column_upper(self) -> np.ndarray:
        """Largest value of every column, int64 [num_columns]; the smallest is 0, but for T."""
        upper = np.ones(self.choices.num_columns, dtype=np.int64)
        upper[self.placed] = self.most
        units = units_above(self.choices.loads, self.scale)
        upper[: self.choices.num_peaks] = (
            units if self.choices.loads.is_mean else max(units, default=1)
        )
        return upper

    @cached_property
    def column_lower(self) -> np.ndarray:
        """Smallest value of every column, int64 [num_columns]."""
        lower = np.zeros(self.choices.num_columns, dtype=np.int64)
        lower[: self.choices.num_peaks] = self.least
        return lower

    @property
    def worths(self) -> Worths:
        """How the layer's objective and the model's are converted into each other."""
        return Worths(self.choices.loads, self.scale, self.weight)

    def to_units(self, worth: Fraction) -> int:
        """The most units of the objective that a plan of at most this worth can have."""
        return self.worths.to_units(worth)

    def to_bound(self, units: int) -> Fraction:
        """A lower bound of the layer's worth from one of the model's objective."""
        return self.worths.to_bound(units)

    def to_load(self, units: int) -> Fraction:
        """The worth that so many units of the objective stand for, up to the scale's rounding."""
        return self.worths.to_load(units)


def list_choices(problem: Problem, upper: Fraction) -> Choices:
    """All counts that a plan of at most the worth `upper` can have.

    An expert e needs c_e >= w_e / upper replicas, and the others' needs leave it at most
    what `ranges.most_replicas` says; a narrower range would make the model's bound false.
    """
    loads = loads_within(problem, upper)
    fewest = ranges.fewest_replicas(problem, loads)
    width = np.maximum(ranges.most_replicas(problem, fewest) - fewest + 1, 0)
    expert = np.repeat(np.arange(problem.num_experts), width)
    offset = np.arange(len(expert)) - np.repeat(np.cumsum(width) - width, width)
    return Choices(problem, upper, loads, expert, fewest[expert] + offset)


def formulate(
    choices: Choices, lower_bound: Fraction, limits: ScaleLimits, change: Change | None = None
) -> Formulation:
    """Sizes, scale and limits of the columns.

    Parameters
    ----------
    choices
        The counts an expert may have.
    lower_bound
        A proven one of the layer. A weighted mean makes no use of it.
    limits
        Of the solver's arithmetic.
    change
        Where plans are compared with the one in force.
    """
    problem, loads = choices.problem, choices.loads
    upper = max((one.most for one in loads.each), default=Fraction(1))
    scale = choose_scale(_replica_worths(choices), upper, limits)
    least = [max(one.least, of_one(problem, lower_bound)) for one in loads.each]
    if loads.is_mean:
        least = [one.least for one in loads.each]
    units = [scale.to_units(worth, problem.slots_per_gpu) for worth in least]
    return Formulation(
        choices=choices,
        scale=scale,
        size=_sizes(choices, scale, 2 * int(upper * scale.value) + 3),
        most=ranges.most_on_a_gpu(problem, loads, choices.expert, choices.count),
        least=tuple(units) if loads.is_mean else (max(units, default=0),),
        weight=weights_of(loads),
        change=change,
    )


def of_one(problem: Problem, lower_bound: Fraction) -> Fraction:
    """The layer's bound as one of the model's worth, which is less where scenarios are rounded."""
    return Fraction(0) if problem.has_scenarios and problem.rounded.any() else lower_bound


def _replica_worths(choices: Choices) -> list[Fraction]:
    """What a replica of every choice is worth under every load and on GPUs of every speed."""
    pairs = list(zip(choices.expert.tolist(), choices.count.tolist(), strict=True))
    units = [
        (one.load, one.unit * speed)
        for one in choices.loads.each
        for speed in dict.fromkeys(choices.problem.speed)
    ]
    return [
        Fraction(load[e] * per.denominator, c * per.numerator)
        for load, per in units
        for e, c in pairs
    ]


def _sizes(choices: Choices, scale: Scale, cut: int) -> np.ndarray:
    """Sizes as `Formulation` has them; those that no GPU can carry are cut, which only relaxes."""
    experts, counted = choices.expert.tolist(), choices.count.tolist()
    speeds = dict.fromkeys(choices.problem.speed)

    def of(one: ModelLoad, speed: Fraction) -> list[int]:
        per = one.unit * speed
        pairs = zip(experts, counted, strict=True)
        return [min(scale.size(one.load[e], c, per), cut) for e, c in pairs]

    shape = (len(choices.loads.each), len(experts))
    of_speed = {
        speed: np.array([of(one, speed) for one in choices.loads.each], dtype=np.int64)
        for speed in speeds
    }
    if len(of_speed) == 1:
        return next(iter(of_speed.values())).reshape(*shape, 1)
    return np.stack([of_speed[s].reshape(shape) for s in choices.problem.speed], axis=2)
