"""The variables of the flow model of one layer, where tokens are split freely over replicas.

With h_eg = 1 when GPU g hosts expert e, and f_egr tokens of expert e of load r that go there:

    minimise T
    sum_g f_egr = floor(Q w_er)                     for every e, r
    f_egr <= (most that g can take of it) h_eg      for every e, g, r
    sum_e f_egr <= speed_g T                        for every g, r
    1 <= sum_e h_eg <= open slots of g              for every g with a slot

A second replica of an expert on one GPU changes nothing, so h is a set and not a count: every plan
has its sets of hosts, and every such family of sets becomes a plan when what is left of a GPU's
slots repeats what stands there (under colocation="forbid" the sets fill the slots exactly).
`flow_rules` has these and the rules of groups, ties, spread, moves and order.

Why its bound is a proof. T and the flows are integers. Take any plan whose true worth is T*, with
its true split. With ceil(Q T*) as T, every GPU may take ceil(speed_g T) >= Q speed_g T* units, and
each load is rounded down; so a split exists within these whole capacities, and as capacities and
loads are whole numbers a whole one does too (max-flow is integral). The model's optimum is
therefore at most ceil(Q T*), and a bound B of it proves T* > (B - 1) / Q. Where every possible T*
is a multiple of 1 / Q the rounding does nothing and T* >= B / Q. And T* is of the form
w(X) / speed(Y) for the experts X that live on a tight set Y of GPUs alone (`min_max_flow`):
what is proven is rounded up to the next such value, which makes it exact for all but huge loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.counts.formulation import LARGEST_LOAD, of_one
from eplb_opt.exact.flows.scale import GpuRate, fastest, flow_scale, level_above, subset_speeds
from eplb_opt.exact.shared.loads import LayerLoads, loads_within
from eplb_opt.exact.shared.scaling import ONE
from eplb_opt.exact.shared.worths import Worths, units_above, weights_of

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.exact.counts.formulation import Change
    from eplb_opt.exact.shared.scaling import Scale, ScaleLimits
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class HostChoices:
    """What the hosts of a layer's experts can be in a plan worth having.

    Parameters
    ----------
    problem
        Of one layer, split freely.
    upper
        What the start is worth, positive.
    loads
        What the model looks at.
    fewest
        int64 [num_experts], GPUs that an expert stands on at least.
    """

    problem: Problem
    upper: Fraction
    loads: LayerLoads
    fewest: np.ndarray

    @property
    def is_empty(self) -> bool:
        """Whether the slots are too few for the hosts that every expert needs."""
        return bool(self.fewest.sum() > self.problem.open_slots.sum())

    @property
    def num_peaks(self) -> int:
        """Columns of T."""
        return len(self.loads.each) if self.loads.is_mean else 1

    @property
    def num_columns(self) -> int:
        """T, h, f, x and what fills the slots where moves count."""
        problem = self.problem
        hosted = problem.num_groups * problem.num_nodes if problem.is_hierarchical else 0
        pairs = problem.num_experts * problem.num_gpus
        return self.num_peaks + pairs * (1 + len(self.loads.each)) + hosted + problem.num_gpus


@dataclass(frozen=True, eq=False)
class FlowFormulation:
    """Columns, sizes and limits of the flow model of one layer.

    Parameters
    ----------
    choices
        What hosts can be.
    scale
        Units of the model per unit of a load's worth.
    size
        int64 [num_loads, num_experts], tokens in units.
    rate
        Every GPU's speed over the fastest one's, rounded up to a ratio of small integers.
    least
        Proven of every T, in units, [num_peaks].
    weight
        What a unit of every T counts in the objective, [num_peaks].
    change
        Where plans are compared with the one in force.
    """

    choices: HostChoices
    scale: Scale
    size: np.ndarray
    rate: tuple[GpuRate, ...]
    least: tuple[int, ...]
    weight: tuple[int, ...] = (1,)
    change: Change | None = None

    @property
    def problem(self) -> Problem:
        """The layer that the model is of."""
        return self.choices.problem

    @cached_property
    def peaks(self) -> np.ndarray:
        """The column of T of every load, int64 [num_loads]."""
        num_loads = len(self.size)
        of_load = np.arange(num_loads) if self.choices.loads.is_mean else np.zeros(num_loads)
        return LARGEST_LOAD + of_load.astype(np.int64)

    @cached_property
    def hosts(self) -> np.ndarray:
        """Columns of h, int64 [num_experts, num_gpus]."""
        return self._columns(
            self.choices.num_peaks, self.problem.num_experts, self.problem.num_gpus
        )

    @cached_property
    def flows(self) -> np.ndarray:
        """Columns of f, int64 [num_loads, num_experts, num_gpus]."""
        first = self.choices.num_peaks + self.hosts.size
        return self._columns(first, len(self.size), *self.hosts.shape)

    @cached_property
    def hosted(self) -> np.ndarray:
        """Columns of x, group h on node n, int64 [num_groups, num_nodes]; none where flat."""
        problem = self.problem
        shape = (problem.num_groups, problem.num_nodes) if problem.is_hierarchical else (0, 0)
        return self._columns(self._after_flows, *shape)

    @cached_property
    def filling(self) -> np.ndarray:
        """Columns of moved slots beside the moved hosts, int64 [num_gpus]."""
        return self._columns(self._after_flows + self.hosted.size, self.problem.num_gpus)

    @cached_property
    def moving(self) -> np.ndarray:
        """Columns that count moves: hosts that are new, and slots that are filled with such."""
        if self.change is None:
            return np.zeros(0, dtype=np.int64)
        return np.concatenate([self.hosts[~self.change.held], self.filling])

    @cached_property
    def takes(self) -> np.ndarray:
        """The most units of an expert that a GPU can take.

        int64 [num_loads, num_experts, num_gpus]: its tokens, and what the GPU carries in a plan
        no worse than the start.
        """
        tops = [ceil(one.most * self.scale.value) for one in self.choices.loads.each]
        room = np.array([[rate.most(top) for rate in self.rate] for top in tops], dtype=np.int64)
        room = room.reshape(len(tops), 1, len(self.rate))
        return np.asarray(np.minimum(self.size[:, :, None], room))

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
    def column_upper(self) -> np.ndarray:
        """Largest value of every column, int64 [num_columns]."""
        upper = np.ones(self.choices.num_columns, dtype=np.int64)
        upper[self.hosts] = self.problem.open_slots > 0
        upper[self.flows] = self.takes
        upper[self.filling] = 0 if self.change is None else self.problem.open_slots
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
    def is_exact(self) -> bool:
        """Whether every plan's worth is a whole number of units."""
        return self.scale.grain > 0 and self.scale.is_exact

    @property
    def worths(self) -> Worths:
        """How the layer's objective and the model's are converted into each other."""
        slack = 0 if self.is_exact else 1
        return Worths(self.choices.loads, self.scale, self.weight, slack)

    def to_units(self, worth: Fraction) -> int:
        """The most units of the objective that a plan of at most this worth needs."""
        return self.worths.to_units(worth)

    def to_bound(self, units: int) -> Fraction:
        """A lower bound of the layer's worth from one of the objective, rounded up to a worth."""
        bound = self.worths.to_bound(units)
        return bound if self.choices.loads.is_mean else self._next_level(bound)

    def to_load(self, units: int) -> Fraction:
        """The worth that so many units of the objective stand for, up to the scale's rounding."""
        return self.worths.to_load(units)

    def _next_level(self, bound: Fraction) -> Fraction:
        """The least worth that a plan can have and that is at least the bound."""
        sums = subset_speeds(self.problem)
        if sums is None or not self.choices.loads.each:
            return bound
        return min(level_above(one, sums, bound) for one in self.choices.loads.each)

    @property
    def _after_flows(self) -> int:
        return self.choices.num_peaks + self.hosts.size + self.flows.size

    def _columns(self, first: int, *shape: int) -> np.ndarray:
        size = int(np.prod(shape))
        return first + np.arange(size, dtype=np.int64).reshape(shape)


def list_hosts(problem: Problem, upper: Fraction) -> HostChoices:
    """What hosts can be in a plan of at most the worth `upper`; as `formulation.list_choices`.

    Hosts of an expert take at most `upper` times their speeds of its tokens, so it has at least
    w_e / (upper x the largest speed) of them, each GPU that it is pinned to, and two where spread.
    """
    loads = loads_within(problem, upper)
    fewest = np.full(problem.num_experts, 1 if problem.spread is None else 2, dtype=np.int64)
    if problem.pinned is not None:
        fewest = np.maximum(fewest, problem.pinned[0].sum(axis=1))
    top_speed = fastest(problem)
    for one in loads.each:
        most = one.most * one.unit * top_speed
        needed = [-(-w * most.denominator // most.numerator) if w else 0 for w in one.load]
        fewest = np.maximum(fewest, needed)
    return HostChoices(problem, upper, loads, fewest)


def formulate_flows(
    choices: HostChoices,
    lower_bound: Fraction,
    limits: ScaleLimits,
    change: Change | None = None,
) -> FlowFormulation:
    """Sizes, scale and limits of the columns; as `formulation.formulate`."""
    problem, loads = choices.problem, choices.loads
    top_speed = fastest(problem)
    scale = flow_scale(problem, loads, limits)
    least = [one.least for one in loads.each]
    if not loads.is_mean:
        least = [max([*least, of_one(problem, lower_bound)])]
    sizes = [[scale.size(w, 1, one.unit * top_speed) for w in one.load] for one in loads.each]
    finest = 2**20 if limits.total is None else 2**10
    return FlowFormulation(
        choices=choices,
        scale=scale,
        size=np.array(sizes, dtype=np.int64).reshape(len(sizes), problem.num_experts),
        rate=tuple(GpuRate.above(min(speed / top_speed, ONE), finest) for speed in problem.speed),
        least=tuple(ceil(worth * scale.value) for worth in least),
        weight=weights_of(loads),
        change=change,
    )
