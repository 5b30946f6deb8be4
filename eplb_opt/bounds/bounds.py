"""Lower bounds on the largest GPU load, each with the reason it holds.

All arithmetic is exact: integers, or rationals where a bound is no integer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, gcd, inf, lcm

import numpy as np

from eplb_opt.bounds import partitions, unlike_scenarios
from eplb_opt.bounds.costs import counts_bound, has_quick_totals, level_bound, total_bound
from eplb_opt.bounds.priced import priced_bound
from eplb_opt.bounds.scenario_homes import (
    ScenarioHomeBound,
    scenario_alone,
    scenario_home_bound,
)
from eplb_opt.bounds.sender_water import sender_levels
from eplb_opt.bounds.unlike_nodes import unlike_node_bounds
from eplb_opt.bounds.water_level import water_levels
from eplb_opt.placement.scoring import combined
from eplb_opt.problem.problem import Problem

#: With larger counts their least common multiple is so large that rounding to it gains nothing.
MAX_COUNT_IN_GRAIN = 24
#: Seconds that the flat bounds of a layer take.
FLAT_SECONDS = 6e-5


@dataclass(frozen=True)
class Bound:
    """A proven lower bound of one layer.

    Parameters
    ----------
    value
        The bound, in the problem's integer units.
    source
        The name of the argument that proved it: "mean", "waterfill", "hierarchy", "cp_sat", ...
    """

    value: Fraction
    source: str


def mean_bound(problem: Problem) -> list[Fraction]:
    """The mean GPU load of each layer.

    Replication moves tokens but never removes them, so some GPU carries at least the mean; where
    GPUs have speeds, some GPU carries at least its speed's share of the total.
    """
    totals = problem.load.sum(axis=1).tolist()
    return [total / problem.capacity for total in totals]


def waterfill_bound(problem: Problem) -> list[Fraction]:
    """The water level of each layer: the least T with sum_e max(1, ceil(w_e / T)) <= num_slots.

    Some GPU carries the largest replica. With every replica at most T an expert needs ceil(w_e / T)
    replicas, however its tokens are split; when these exceed the slots, some replica is larger than
    T. At best the fastest GPU carries it.
    """
    levels = water_levels(problem.load, int(problem.open_slots.sum()))
    if problem.gpu_speed is None:
        return levels
    fastest = problem.fastest
    return [level / fastest for level in levels]


def sender_water_bound(problem: Problem) -> list[Fraction]:
    """The water level of each layer where senders choose replicas; `sender_levels` has the reason.

    It holds for any way in which every sender chooses one replica, so for any draw too. Some GPU
    carries the largest replica, at best the fastest one. The plain water level is never above it.
    """
    slots = int(problem.open_slots.sum())
    levels = sender_levels(problem.load, slots, problem.num_senders)
    fastest = problem.fastest
    return [level / fastest for level in levels]


def hierarchical_bound(problem: Problem) -> list[Fraction]:
    """The bound of the best partition of the groups over the nodes, for each layer.

    A node that holds a set of groups is a flat problem of its own, so its mean and its water level
    bound its heaviest GPU. The plan uses one of the partitions, and its largest load is at least
    the largest of these bounds over the nodes. Where there are too many partitions to look at, the
    node of the heaviest group gives a bound: it carries at least that group and the lightest others
    that fill the node. Where nodes differ, it also matters which of them holds a set of groups.
    """
    if problem.binds_unlike_gpus:
        return unlike_node_bounds(problem)
    if not partitions.can_enumerate(problem):
        return _heaviest_group_bound(problem)
    return partitions.least_node_bounds(problem)


BoundMethod = Callable[[Problem], list[Fraction]]

#: Bounds that take milliseconds for all layers. They hold for hierarchical problems too, which
#: allow fewer plans.
FLAT_BOUNDS: dict[str, BoundMethod] = {"mean": mean_bound, "waterfill": waterfill_bound}
#: The same where every GPU sends an expert's tokens to one replica.
SENDER_BOUNDS: dict[str, BoundMethod] = {"mean": mean_bound, "sender_water": sender_water_bound}
#: Bounds of hierarchical problems; they take up to some milliseconds a layer.
HIERARCHICAL_BOUNDS: dict[str, BoundMethod] = {"hierarchy": hierarchical_bound}


def first_bounds(problem: Problem, seconds: float = inf) -> list[Bound]:
    """What a call begins with, for each layer: flat bounds, and of costs those found at once.

    Parameters
    ----------
    problem
        What is planned.
    seconds
        What they may take. With several loads there are only means where time is short.
    """
    if problem.has_scenarios and not problem.has_cost:
        loads = problem.num_layers * problem.num_scenarios
        if loads * FLAT_SECONDS > seconds:
            return scenario_bounds(problem.flat(), _mean_bounds)
    if not problem.has_cost:
        return flat_bounds(problem)
    if has_quick_totals(problem):
        return _simple_cost_bounds(problem)
    return [Bound(Fraction(level), "cost_level") for level in level_bound(problem)]


def _mean_bounds(problem: Problem) -> list[Bound]:
    return [Bound(value, "mean") for value in mean_bound(problem)]


def flat_bounds(problem: Problem) -> list[Bound]:
    """The larger of mean and water level, for each layer."""
    if problem.has_scenarios:
        # Off home costs 0 at least, so what loads alone are worth is a bound with a topology too.
        return scenario_bounds(problem.flat(), flat_bounds)
    if problem.has_cost:
        return cost_bounds(problem)
    found = _best_of(_flat_methods(problem), problem)
    return load_bounds(problem, found) if problem.has_topology else found


def fast_bounds(problem: Problem) -> list[Bound]:
    """The best of all bounds that need no solver, for each layer."""
    if problem.has_scenarios and problem.has_topology:
        return scenario_topology_bounds(problem.without_lost_gpus() or problem)
    if problem.has_scenarios:
        if problem.binds_unlike_gpus:
            return [_of_all_ways(problem.layer(i)) for i in range(problem.num_layers)]
        return scenario_bounds(problem, fast_bounds)
    if problem.has_topology:
        return topology_bounds(problem.without_lost_gpus() or problem)
    if problem.has_cost:
        return cost_bounds(problem)
    problem = problem.without_lost_gpus() or problem
    flat = _flat_methods(problem)
    return _best_of(flat | HIERARCHICAL_BOUNDS if problem.is_hierarchical else flat, problem)


def _of_all_ways(layer: Problem) -> Bound:
    """The bound of several loads where groups stay on unlike nodes: one way serves all of them."""
    value = unlike_scenarios.least_of_choices(layer)
    if value is None:  # too many ways to look at: each load at its own best one
        return scenario_bounds(layer, fast_bounds)[0]
    return Bound(value, "hierarchy")


def _flat_methods(problem: Problem) -> dict[str, BoundMethod]:
    return SENDER_BOUNDS if problem.splits_by_sender else FLAT_BOUNDS


def cost_bounds(problem: Problem) -> list[Bound]:
    """Bounds of the largest GPU cost of each layer; `costs` says why each holds.

    They hold under every rule, which only forbids plans.

    Parameters
    ----------
    problem
        A problem with costs.
    """
    alone = _simple_cost_bounds(problem)
    both = counts_bound(problem, [int(bound.value) for bound in alone])
    return [
        Bound(Fraction(value), "cost_counts") if value > bound.value else bound
        for value, bound in zip(both, alone, strict=True)
    ]


def _simple_cost_bounds(problem: Problem) -> list[Bound]:
    """The larger of total and level, for each layer."""
    found = zip(total_bound(problem), level_bound(problem), strict=True)
    return [
        max(Bound(Fraction(total), "cost_total"), Bound(Fraction(level), "cost_level"), key=_value)
        for total, level in found
    ]


def _value(bound: Bound) -> Fraction:
    return bound.value


def load_bounds(problem: Problem, flat: list[Bound]) -> list[Bound]:
    """Bounds of the largest load as bounds of its ratio to the mean: off home costs 0 at least.

    Where loads were rounded down, their mean counts with all that rounding may have taken.

    Parameters
    ----------
    problem
        A problem with a topology.
    flat
        [num_layers], bounds of the largest GPU loads.
    """
    totals = problem.load.sum(axis=1).tolist()
    lacking = (problem.rounded * problem.num_experts).tolist()
    return [
        Bound(
            bound.value * problem.capacity / (total + less) if total else Fraction(1), bound.source
        )
        for bound, total, less in zip(flat, totals, lacking, strict=True)
    ]


def topology_bounds(problem: Problem) -> list[Bound]:
    """The bound of load and price together for each layer; `priced` says which and why it holds."""
    flat = _best_of(_flat_methods(problem), problem)
    found = []
    for layer_idx, (loads, alone) in enumerate(zip(flat, load_bounds(problem, flat), strict=True)):
        priced = priced_bound(problem.layer(layer_idx), loads.value)
        together = Bound(priced.value, priced.source)
        found.append(together if together.value > alone.value else alone)
    return found


def scenario_topology_bounds(problem: Problem) -> list[Bound]:
    """The same for several loads; `scenario_homes` says why it holds."""
    found = []
    for layer_idx, alone in enumerate(flat_bounds(problem)):
        value = layer_home_bound(problem.layer(layer_idx)).value
        found.append(Bound(value, "scenario_topology") if value > alone.value else alone)
    return found


def layer_home_bound(layer: Problem) -> ScenarioHomeBound:
    """The bound of load and price together of one layer with scenarios, from its flat bounds."""
    alone = [scenario_alone(layer, r) for r in range(layer.num_scenarios)]
    return scenario_home_bound(layer, [_best_of(FLAT_BOUNDS, p)[0].value for p in alone])


def scenario_bounds(problem: Problem, method: Callable[[Problem], list[Bound]]) -> list[Bound]:
    """The bounds of the single scenarios, combined as the problem's objective combines values.

    One plan serves all scenarios, and in each its largest GPU load is at least what is proven for
    that scenario alone. Where loads were rounded down, their mean counts with all that rounding may
    have taken.

    Parameters
    ----------
    problem
        A problem with scenarios.
    method
        A function that bounds a problem without scenarios, for each layer.
    """
    ratios = []
    for scenario_idx in range(problem.num_scenarios):
        alone = problem.scenario(scenario_idx)
        totals = alone.load.sum(axis=1).tolist()
        lacking = (alone.rounded * alone.num_experts).tolist()
        found = zip(method(alone), totals, lacking, strict=True)
        ratios.append(
            [
                bound.value * alone.capacity / (total + less) if total else Fraction(1)
                for bound, total, less in found
            ]
        )
    together = [combined(problem, ratio) for ratio in zip(*ratios, strict=True)]
    return [Bound(value, "scenarios") for value in together]


def _best_of(methods: dict[str, BoundMethod], problem: Problem) -> list[Bound]:
    found = {source: method(problem) for source, method in methods.items()}
    best = [
        max((Bound(values[i], source) for source, values in found.items()), key=lambda b: b.value)
        for i in range(problem.num_layers)
    ]
    return [attainable(problem, layer_idx, bound) for layer_idx, bound in enumerate(best)]


def attainable(problem: Problem, layer_idx: int, bound: Bound) -> Bound:
    """The bound of one layer, rounded up to the next value that a largest GPU load can have.

    A GPU's load is a sum of w_e / c_e, and no expert has more replicas than the slots that the
    others leave; so it is a multiple of gcd(w) over the least common multiple of all counts. Where
    senders choose a replica each sends it w_e / senders: a multiple of gcd(w) / senders. Costs are
    whole numbers.
    """
    if problem.has_cost:
        return Bound(Fraction(ceil(bound.value)), bound.source)
    num_nodes = problem.num_nodes if problem.is_hierarchical else 1
    if problem.counts_ratios or problem.gpu_speed is not None or problem.is_split_freely:
        return bound
    if problem.splits_by_sender:
        return _rounded_up(bound, problem.load[layer_idx], problem.num_senders)
    most = (problem.num_slots - problem.num_experts) // num_nodes + 1
    if most > MAX_COUNT_IN_GRAIN:
        return bound
    return _rounded_up(bound, problem.load[layer_idx], lcm(*range(1, most + 1)))


def _rounded_up(bound: Bound, load: np.ndarray, parts: int) -> Bound:
    """The bound as a multiple of the loads' greatest common divisor over a number of parts."""
    common = gcd(*load.tolist())
    if not common:
        return bound
    value, below = bound.value.as_integer_ratio()
    return Bound(Fraction(-(-value * parts // (below * common)) * common, parts), bound.source)


def _heaviest_group_bound(problem: Problem) -> list[Fraction]:
    totals = problem.load.reshape(problem.num_layers, problem.num_groups, -1).sum(axis=2)
    totals = np.sort(totals, axis=1)
    lightest = totals[:, : problem.groups_per_node - 1].sum(axis=1)
    node = totals[:, -1] + lightest
    return [Fraction(total, problem.gpus_per_node) for total in node.tolist()]
