"""Lower bounds on the largest GPU load, each with the reason it holds.

All arithmetic is exact: integers, or rationals where a bound is no integer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, gcd, lcm

import numpy as np

from eplb_opt.bounds import partitions
from eplb_opt.bounds.water_level import water_levels
from eplb_opt.placement.scoring import combined
from eplb_opt.problem.problem import Problem

#: Beyond, the least common multiple of the counts is so large that rounding to it gains nothing.
MAX_COUNT_IN_GRAIN = 24


@dataclass(frozen=True)
class Bound:
    """A proven lower bound of one layer.

    Parameters
    ----------
    value
        In the problem's integer units.
    source
        Which argument proved it: "mean", "waterfill", "hierarchy", "cp_sat", ...
    """

    value: Fraction
    source: str


def mean_bound(problem: Problem) -> list[Fraction]:
    """Mean GPU load.

    Replication moves tokens but never removes them, so some GPU carries at least the mean: with
    speeds, at least its speed's share of the total.
    """
    totals = problem.load.sum(axis=1).tolist()
    return [total / problem.capacity for total in totals]


def waterfill_bound(problem: Problem) -> list[Fraction]:
    """The least T with sum_e max(1, ceil(w_e / T)) <= num_slots.

    Some GPU carries the largest replica, and with every replica at most T an expert needs
    ceil(w_e / T) of them, however its tokens are split; when they exceed the slots, some
    replica is larger than T. At best the fastest GPU carries it.
    """
    levels = water_levels(problem.load, int(problem.open_slots.sum()))
    if problem.gpu_speed is None:
        return levels
    fastest = problem.fastest
    return [level / fastest for level in levels]


def hierarchical_bound(problem: Problem) -> list[Fraction]:
    """The best partition of the groups over the nodes, each node at its own bound.

    A node that holds a set of groups is a flat problem of its own, so its mean and its water level
    bound its heaviest GPU; the plan's largest load is at least the largest of them over the
    nodes, and the plan uses one of the partitions. Where there are too many partitions
    to look at, the node of the heaviest group g serves: it carries at least g and the
    lightest others that fill it.
    """
    if not partitions.can_enumerate(problem):
        return _heaviest_group_bound(problem)
    return partitions.least_node_bounds(problem)


BoundMethod = Callable[[Problem], list[Fraction]]

#: Some milliseconds a model; they hold for hierarchical problems too, which allow fewer plans.
FLAT_BOUNDS: dict[str, BoundMethod] = {"mean": mean_bound, "waterfill": waterfill_bound}
#: Up to some milliseconds a layer.
HIERARCHICAL_BOUNDS: dict[str, BoundMethod] = {"hierarchy": hierarchical_bound}


def flat_bounds(problem: Problem) -> list[Bound]:
    """The best of mean and water level, one a layer."""
    if problem.has_scenarios:
        return scenario_bounds(problem, flat_bounds)
    return _best_of(FLAT_BOUNDS, problem)


def fast_bounds(problem: Problem) -> list[Bound]:
    """The best of all bounds that need no solver, one a layer."""
    if problem.has_scenarios:
        return scenario_bounds(problem, fast_bounds)
    problem = problem.without_lost_gpus() or problem
    # Nodes are bounded as equal ones; where GPUs differ the flat bounds hold all the same.
    by_nodes = problem.is_hierarchical and not problem.has_gpu_rules
    methods = FLAT_BOUNDS | HIERARCHICAL_BOUNDS if by_nodes else FLAT_BOUNDS
    return _best_of(methods, problem)


def scenario_bounds(problem: Problem, method: Callable[[Problem], list[Bound]]) -> list[Bound]:
    """Every scenario at its own bound, put together as the objective does.

    One plan serves all scenarios, and in each its largest GPU load is at least what is proven for
    that scenario alone. Loads that were rounded down count with all that their mean may lack.

    Parameters
    ----------
    problem
        With scenarios.
    method
        Bounds of a problem without.
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
    """The bound, rounded up to the next value that a largest GPU load can have.

    A GPU's load is a sum of w_e / c_e, and no expert has more replicas than the slots that the
    others leave; so it is a multiple of gcd(w) over the least common multiple of all counts.
    """
    num_nodes = problem.num_nodes if problem.is_hierarchical else 1
    if problem.has_scenarios or problem.gpu_speed is not None or problem.is_split_freely:
        return bound
    most = (problem.num_slots - problem.num_experts) // num_nodes + 1
    if most > MAX_COUNT_IN_GRAIN:
        return bound
    grain = Fraction(gcd(*problem.load[layer_idx].tolist()), lcm(*range(1, most + 1)))
    return Bound(ceil(bound.value / grain) * grain, bound.source) if grain else bound


def _heaviest_group_bound(problem: Problem) -> list[Fraction]:
    totals = problem.load.reshape(problem.num_layers, problem.num_groups, -1).sum(axis=2)
    totals = np.sort(totals, axis=1)
    lightest = totals[:, : problem.groups_per_node - 1].sum(axis=1)
    node = totals[:, -1] + lightest
    return [Fraction(total, problem.gpus_per_node) for total in node.tolist()]
