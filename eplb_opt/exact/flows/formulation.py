"""The variables of the flow model of one layer, where tokens are split freely over replicas.

With h_eg = 1 when GPU g hosts expert e, and f_egr tokens of expert e of load r that go there:

    minimise T
    sum_g f_egr = floor(Q w_er)                     for every e, r
    f_egr <= (most that g can take of it) h_eg      for every e, g, r
    sum_e f_egr <= speed_g T                        for every g, r
    1 <= sum_e h_eg <= open slots of g              for every g with a slot

A second replica of an expert on one GPU changes nothing, so h is a set and not a count: every plan
has its sets of hosts, and every such family of sets becomes a plan when a GPU's remaining slots
repeat an expert that stands there (under colocation="forbid" the sets fill the slots exactly).
`rules` has these constraints and those of groups, of pinned and forbidden experts, of spread, of
moves and of order.

Why its bound is a proof. T and the flows are integers. Take any plan whose true value is T*, with
its true split. With ceil(Q T*) as T, every GPU may take ceil(speed_g T) >= Q speed_g T* units, and
each load is rounded down; so a split exists within these whole capacities, and as capacities and
loads are integers an integral split does too (the integrality theorem of maximum flow). The model's
optimum is therefore at most ceil(Q T*), and a bound B of it proves T* > (B - 1) / Q. Where every
possible T* is a multiple of 1 / Q the rounding does nothing and T* >= B / Q. And T* is of the form
w(X) / speed(Y) for the experts X whose hosts all lie in a tight set Y of GPUs, a minimum cut
(`placement.level_flow`): the bound is rounded up to the next such value, which makes it exact for
all but huge loads.

References
----------
L. R. Ford and D. R. Fulkerson, "Flows in Networks", Princeton University Press, 1962.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.counts.formulation import model_bound
from eplb_opt.exact.flows.scale import GpuRate, fastest, flow_scale, level_above, subset_speeds
from eplb_opt.exact.shared.formulation import LayerChoices, LayerFormulation
from eplb_opt.exact.shared.loads import LayerLoads, loads_within
from eplb_opt.exact.shared.objective_units import ObjectiveUnits, weights_of
from eplb_opt.exact.shared.scaling import ONE

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.exact.shared.change import Change
    from eplb_opt.exact.shared.scaling import Scale, ScaleLimits
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class HostChoices(LayerChoices):
    """What the hosts of a layer's experts can be in a plan that is no worse than the start.

    Parameters
    ----------
    problem
        A problem of one layer under optimal dispatch.
    upper
        The value of the start, positive.
    loads
        The loads that the model looks at.
    fewest
        int64 [num_experts], the least number of GPUs that host each expert.
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
    def num_columns(self) -> int:
        """The number of columns of T, h, f, x, and of what fills the slots where moves count."""
        num_hosts = self.problem.num_experts * self.problem.num_gpus
        flows_and_hosts = num_hosts * (1 + len(self.loads.each))
        return self.num_peaks + flows_and_hosts + self.num_group_columns + self.problem.num_gpus


@dataclass(frozen=True, eq=False)
class FlowFormulation(LayerFormulation):
    """Columns, sizes and limits of the flow model of one layer.

    Parameters
    ----------
    choices
        What the hosts can be.
    scale
        Units of the model per unit of a load's value.
    size
        int64 [num_loads, num_experts], the tokens in units of the model.
    rate
        Every GPU's speed over the fastest one's, rounded up to a ratio of small integers.
    least
        What is proven of every T, in units of the model, [num_peaks].
    weight
        What a unit of every T counts in the model's objective, [num_peaks].
    change
        How plans are compared with the plan in force; None where they are not.
    """

    choices: HostChoices
    scale: Scale
    size: np.ndarray
    rate: tuple[GpuRate, ...]
    least: tuple[int, ...]
    weight: tuple[int, ...] = (1,)
    change: Change | None = None

    @cached_property
    def hosts(self) -> np.ndarray:
        """The columns of h, int64 [num_experts, num_gpus]."""
        return self._columns(
            self.choices.num_peaks, self.problem.num_experts, self.problem.num_gpus
        )

    @cached_property
    def flows(self) -> np.ndarray:
        """The columns of f, int64 [num_loads, num_experts, num_gpus]."""
        first = self.choices.num_peaks + self.hosts.size
        return self._columns(first, len(self.size), *self.hosts.shape)

    @cached_property
    def group_on_node(self) -> np.ndarray:
        """The columns of x, group h on node n, int64 [num_groups, num_nodes]; none where flat."""
        return self._group_columns(self._after_flows)

    @cached_property
    def filling(self) -> np.ndarray:
        """The columns of moved slots of each GPU beside its moved hosts, int64 [num_gpus]."""
        return self._columns(self._after_flows + self.group_on_node.size, self.problem.num_gpus)

    @cached_property
    def moving(self) -> np.ndarray:
        """The columns that count moves: new hosts, and further slots that new hosts fill."""
        if self.change is None:
            return np.zeros(0, dtype=np.int64)
        return np.concatenate([self.hosts[~self.change.held], self.filling])

    @cached_property
    def flow_upper(self) -> np.ndarray:
        """The most units of an expert that a GPU takes, int64 [num_loads, num_experts, num_gpus].

        It takes no more than the expert has, and no more than a GPU carries in a plan that is no
        worse than the start.
        """
        tops = [ceil(one.most * self.scale.value) for one in self.choices.loads.each]
        room = np.array([[rate.most(top) for rate in self.rate] for top in tops], dtype=np.int64)
        room = room.reshape(len(tops), 1, len(self.rate))
        return np.asarray(np.minimum(self.size[:, :, None], room))

    @cached_property
    def column_upper(self) -> np.ndarray:
        """The largest value of every column, int64 [num_columns]."""
        upper = np.ones(self.choices.num_columns, dtype=np.int64)
        upper[self.hosts] = self.problem.open_slots > 0
        upper[self.flows] = self.flow_upper
        upper[self.filling] = 0 if self.change is None else self.problem.open_slots
        upper[: self.choices.num_peaks] = self._largest_peaks()
        return upper

    @property
    def is_exact(self) -> bool:
        """Whether every plan's value is a whole number of units."""
        return self.scale.grain > 0 and self.scale.is_exact

    @property
    def objective_units(self) -> ObjectiveUnits:
        """How the layer's objective and the model's are converted into each other."""
        slack = 0 if self.is_exact else 1
        return ObjectiveUnits(self.choices.loads, self.scale, self.weight, slack)

    def to_bound(self, units: int) -> Fraction:
        """A lower bound of the layer from one of the objective, rounded up to a possible value."""
        bound = self.objective_units.to_bound(units)
        return bound if self.choices.loads.is_mean else self._next_level(bound)

    def _next_level(self, bound: Fraction) -> Fraction:
        """The least value that a plan can have and that is at least the bound."""
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
    """What hosts can be in a plan of at most the value `upper`.

    A host takes at most `upper` times its speed of an expert's tokens, so an expert has at least
    w_e / (upper x the largest speed) hosts; it has every GPU to which it is pinned, and two where
    its replicas are spread.

    Parameters
    ----------
    problem
        A problem of one layer under optimal dispatch.
    upper
        The value of the start, positive.
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
    """Sizes, scale and limits of the columns.

    Parameters
    ----------
    choices
        What the hosts can be.
    lower_bound
        A proven lower bound of the layer; it is not used where the aim is a weighted mean.
    limits
        The limits of the backend's arithmetic.
    change
        How plans are compared with the plan in force; None where they are not.
    """
    problem, loads = choices.problem, choices.loads
    top_speed = fastest(problem)
    scale = flow_scale(problem, loads, limits)
    least = [one.least for one in loads.each]
    if not loads.is_mean:
        least = [max([*least, model_bound(problem, lower_bound)])]
    sizes = [[scale.size(w, 1, one.unit * top_speed) for w in one.load] for one in loads.each]
    finest = 2**20 if limits.total is None else 2**10
    return FlowFormulation(
        choices=choices,
        scale=scale,
        size=np.array(sizes, dtype=np.int64).reshape(len(sizes), problem.num_experts),
        rate=tuple(GpuRate.above(min(speed / top_speed, ONE), finest) for speed in problem.speed),
        least=tuple(ceil(value * scale.value) for value in least),
        weight=weights_of(loads),
        change=change,
    )
