"""The variables of the count-and-assignment model of one layer.

With z_ec = 1 when expert e has c replicas and y_ecg how many of them stand on GPU g:

    minimise T
    sum_c z_ec = 1                                  for every e
    sum_g y_ecg = c z_ec                            for every e, c
    sum_ec y_ecg = open slots of g                  for every g
    sum_ec floor(Q w_e / (c speed_g)) y_ecg <= T    for every g

With costs, cost[e][c] takes the place of w_e / (c speed_g).

With scenarios every load has constraints like the last, in units of its mean GPU load: they share
one T where the largest is minimised, and each has a T of its own in a weighted mean. `rules` holds
these constraints and those of groups, of colocation, of spread, of pinned and forbidden experts, of
moves and of order. The counts range over all that a plan no worse than the start can have, so the
start and an optimal plan are among the solutions, and a bound of all solutions is a bound of the
optimum. The columns are numbered in this order: T, z, y, and in hierarchical problems x_hn, which
is 1 when group h is on node n.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.counts import ranges
from eplb_opt.exact.shared.formulation import LayerChoices, LayerFormulation
from eplb_opt.exact.shared.loads import LayerLoads, ModelLoad, loads_within
from eplb_opt.exact.shared.objective_units import weights_of
from eplb_opt.exact.shared.scaling import Scale, ScaleLimits, choose_scale

if TYPE_CHECKING:
    from eplb_opt.exact.shared.change import Change
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Choices(LayerChoices):
    """The counts that experts may have; choice k is `count[k]` replicas of `expert[k]`.

    Parameters
    ----------
    problem
        A problem of one layer.
    upper
        The value of the start, positive; as `loads.plan_value` has it.
    loads
        The loads that the model looks at.
    expert, count
        int64 [num_choices], sorted by expert and then by count. An expert's counts are consecutive,
        but for those that a table of costs makes too dear.
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
    def num_columns(self) -> int:
        """The number of columns of T, z, y and x, known before anything is built."""
        replicas = len(self.expert) * (1 + self.problem.num_gpus)
        return self.num_peaks + replicas + self.num_group_columns


@dataclass(frozen=True, eq=False)
class CountFormulation(LayerFormulation):
    """Columns, sizes and limits of the count-and-assignment model of one layer.

    Parameters
    ----------
    choices
        The counts that experts may have.
    scale
        Units of the model per unit of load or, with scenarios, of a load's value.
    size
        int64 [num_loads, num_choices, num_gpus], the size of one replica in units of the model. The
        last axis has length 1 where all GPUs are equally fast.
    most
        int64 [num_choices, num_gpus], the most replicas of one choice that a GPU takes. The last
        axis has length 1 where all GPUs are alike.
    least
        What is proven of every T, in units of the model, [num_peaks].
    weight
        What a unit of every T counts in the model's objective, [num_peaks].
    change
        How plans are compared with the plan in force; None where they are not.
    """

    choices: Choices
    scale: Scale
    size: np.ndarray
    most: np.ndarray
    least: tuple[int, ...]
    weight: tuple[int, ...] = (1,)
    change: Change | None = None

    @property
    def expert(self) -> np.ndarray:
        """The expert of every choice, int64 [num_choices]."""
        return self.choices.expert

    @property
    def count(self) -> np.ndarray:
        """The replica count of every choice, int64 [num_choices]."""
        return self.choices.count

    @cached_property
    def chosen(self) -> np.ndarray:
        """The columns of z, int64 [num_choices]."""
        return self.choices.num_peaks + np.arange(len(self.count))

    @cached_property
    def placed(self) -> np.ndarray:
        """The columns of y, int64 [num_choices, num_gpus]."""
        shape = (len(self.count), self.problem.num_gpus)
        first = self.choices.num_peaks + len(self.count)
        return first + np.arange(shape[0] * shape[1]).reshape(shape)

    @cached_property
    def moving(self) -> np.ndarray:
        """The columns of y whose replicas are new on their GPU, int64."""
        if self.change is None:
            return np.zeros(0, dtype=np.int64)
        return np.asarray(self.placed[~self.change.held[self.expert]])

    @cached_property
    def group_on_node(self) -> np.ndarray:
        """The columns of x, int64 [num_groups, num_nodes]; none in a flat problem."""
        return self._group_columns(self.choices.num_peaks + len(self.count) + self.placed.size)

    @cached_property
    def column_upper(self) -> np.ndarray:
        """The largest value of every column, int64 [num_columns]."""
        upper = np.ones(self.choices.num_columns, dtype=np.int64)
        upper[self.placed] = self.most
        upper[: self.choices.num_peaks] = self._largest_peaks()
        return upper


def list_choices(problem: Problem, upper: Fraction) -> Choices:
    """All counts that a plan of at most the value `upper` can have.

    An expert e needs c_e >= w_e / upper replicas, and the others' needs leave it at most
    what `ranges.most_replicas` says; a narrower range would make the model's bound false.

    Parameters
    ----------
    problem
        A problem of one layer.
    upper
        The value of the start (`loads.plan_value`), positive.
    """
    loads = loads_within(problem, upper)
    fewest = ranges.fewest_replicas(problem, loads)
    width = np.maximum(ranges.most_replicas(problem, fewest) - fewest + 1, 0)
    expert = np.repeat(np.arange(problem.num_experts), width)
    offset = np.arange(len(expert)) - np.repeat(np.cumsum(width) - width, width)
    count = fewest[expert] + offset
    # A cost may rise with the count: more replicas need not be smaller ones.
    fits = np.array(
        [
            all(one.together(e, c) <= c * one.most for one in loads.each if one.costs is not None)
            for e, c in zip(expert.tolist(), count.tolist(), strict=True)
        ],
        dtype=bool,
    )
    return Choices(problem, upper, loads, expert[fits], count[fits])


def formulate(
    choices: Choices, lower_bound: Fraction, limits: ScaleLimits, change: Change | None = None
) -> CountFormulation:
    """Sizes, scale and limits of the columns.

    Parameters
    ----------
    choices
        The counts that experts may have.
    lower_bound
        A proven lower bound of the layer; it is not used where the aim is a weighted mean.
    limits
        The limits of the backend's arithmetic.
    change
        How plans are compared with the plan in force; None where they are not.
    """
    problem, loads = choices.problem, choices.loads
    upper = max((one.most for one in loads.each), default=Fraction(1))
    scale = choose_scale(_replica_values(choices), upper, limits)
    least = [max(one.least, model_bound(problem, lower_bound)) for one in loads.each]
    if loads.is_mean:
        least = [one.least for one in loads.each]
    units = [scale.to_units(value, problem.slots_per_gpu) for value in least]
    return CountFormulation(
        choices=choices,
        scale=scale,
        size=_sizes(choices, scale, 2 * int(upper * scale.value) + 3),
        most=ranges.most_on_a_gpu(problem, loads, choices.expert, choices.count),
        least=tuple(units) if loads.is_mean else (max(units, default=0),),
        weight=weights_of(loads),
        change=change,
    )


def model_bound(problem: Problem, lower_bound: Fraction) -> Fraction:
    """A bound of the layer as one of what the model minimises; 0 where scenarios are rounded."""
    return Fraction(0) if problem.has_scenarios and problem.rounded.any() else lower_bound


def _replica_values(choices: Choices) -> list[Fraction]:
    """The value of a replica of every choice, under every load and on GPUs of every speed."""
    replicas = list(zip(choices.expert.tolist(), choices.count.tolist(), strict=True))
    units = [
        (one, one.unit * speed)
        for one in choices.loads.each
        for speed in dict.fromkeys(choices.problem.speed)
    ]
    return [
        Fraction(one.together(e, c) * per.denominator, c * per.numerator)
        for one, per in units
        for e, c in replicas
    ]


def _sizes(choices: Choices, scale: Scale, cut: int) -> np.ndarray:
    """The sizes of `CountFormulation`, cut where no GPU carries them, which only relaxes."""
    experts, counted = choices.expert.tolist(), choices.count.tolist()
    speeds = dict.fromkeys(choices.problem.speed)

    def of(one: ModelLoad, speed: Fraction) -> list[int]:
        per = one.unit * speed
        replicas = zip(experts, counted, strict=True)
        return [min(scale.size(one.together(e, c), c, per), cut) for e, c in replicas]

    shape = (len(choices.loads.each), len(experts))
    of_speed = {
        speed: np.array([of(one, speed) for one in choices.loads.each], dtype=np.int64)
        for speed in speeds
    }
    if len(of_speed) == 1:
        return next(iter(of_speed.values())).reshape(*shape, 1)
    return np.stack([of_speed[s].reshape(shape) for s in choices.problem.speed], axis=2)
