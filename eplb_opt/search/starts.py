"""Warm starts: complete plans from the heuristics, and one of our own where they do not apply."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bounds.partitions import greedy_partition
from eplb_opt.core import rules
from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.placement import checker
from eplb_opt.problem.arrays import as_numpy
from eplb_opt.problem.node_kinds import strict_problem
from eplb_opt.problem.scenarios import blended
from eplb_opt.search.across_nodes import first_plan_across
from eplb_opt.search.at_home import (
    first_plan_at_home,
    first_plan_on_nodes,
    fits_at_home,
    has_price_alone,
    packed_plan,
)
from eplb_opt.search.fill import fill_plan
from eplb_opt.search.unlike_starts import annealed_on_unlike
from eplb_opt.search.within_limit import within_limit
from heuristics import greedy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

#: The heuristic of `first_plan`, which every call begins with.
FIRST = "greedy"


def first_plan(problem: Problem, seconds: float = math.inf) -> np.ndarray:
    """The first plan of a problem, int64 [num_layers, num_slots].

    It is the plan of the greedy that every serving engine ships, or of a greedy of our own under
    colocation="forbid", GPU rules or a topology. It takes milliseconds and succeeds wherever the
    rules can be obeyed, so there is a plan whatever else fails. With scenarios it is made for their
    blend. `better_plans` has what may be better and takes longer.

    Parameters
    ----------
    problem
        What is planned.
    seconds
        What the plan may take, where something less good takes less.
    """
    if problem.has_topology and problem.splits_by_sender:
        flat = first_plan(problem.with_topology(None, 1, 1))
        return within_limit(problem, first_plan_across(problem, flat))
    terms = problem.topology
    is_bound = terms is not None and (terms.anchored or terms.max_off_home is not None)
    if terms is not None and problem.has_gpu_rules and not is_bound:
        packed = packed_plan(blended(problem))
        return first_plan_at_home(problem) if packed is None else packed
    strict = strict_problem(problem) if terms is not None and terms.anchored else None
    if terms is not None and strict is not None:
        placed = first_plan(strict)
        return placed if terms.max_off_home is None else within_limit(problem, placed)
    if terms is not None:
        placed = first_plan_at_home(problem, seconds)
        return within_limit(problem, placed) if is_bound and not fits_at_home(problem) else placed
    if problem.binds_unlike_gpus:
        return first_plan_on_nodes(problem)
    problem = blended(problem)
    if problem.has_gpu_rules:
        return fill_plan(problem)
    if problem.colocation == "forbid":
        return no_colocation_plan(problem)
    return np.asarray(greedy.rebalance_experts(*heuristic_arguments(problem))[0])


def better_plans(problem: Problem, placed: np.ndarray, until: Deadline) -> Iterator[np.ndarray]:
    """What may be better than a first plan in some layers and takes longer; likely ones first.

    The same for the same plans where no deadline cuts them short.

    Parameters
    ----------
    problem
        What is planned.
    placed
        int64 [num_layers, num_slots], the best plan so far, which the caller may change meanwhile.
    until
        When to stop.
    """
    terms = problem.topology
    if terms is not None and not (terms.keeps_all_at_home or has_price_alone(problem)):
        one_load = blended(problem)
        other = placed
        if problem.has_gpu_rules:
            with suppress(ProblemError):  # replicas that must stand apart may find no GPU at home
                other = first_plan_at_home(one_load)
        elif problem.splits_by_sender:
            other = first_plan(one_load.with_topology(None, 1, 1))
        else:
            other = first_plan(one_load.flat())
        yield _where_it_may(problem, placed, other)
    if problem.binds_unlike_gpus or (problem.has_topology and problem.has_gpu_rules):
        yield annealed_on_unlike(problem, placed, until)


def _where_it_may(problem: Problem, placed: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The other plan in layers where it obeys the rules, the first one in the rest."""
    try:
        checker.check(problem, other)
    except PlanError:
        if problem.num_layers == 1:
            return placed
        layers = zip(placed, other, strict=True)
        return np.concatenate(
            [_where_it_may(problem.layer(i), p[None], o[None]) for i, (p, o) in enumerate(layers)]
        )
    return other


def heuristic_calls(problem: Problem) -> dict[str, Callable[[], np.ndarray]]:
    """Every heuristic by name, as a function that makes its plan, int64 [num_layers, num_slots].

    Under colocation="forbid" the plans may break that rule. Scenarios are blended.
    """
    from heuristics import HEURISTICS

    problem = blended(problem)
    return {name: partial(_placed_by, HEURISTICS[name], problem) for name in HEURISTICS}


def _placed_by(heuristic: Callable[..., Any], problem: Problem) -> np.ndarray:
    load, *sizes = heuristic_arguments(problem)
    weight = problem.load_on_device if computes_with_torch(heuristic) else None
    placed = heuristic(load if weight is None else weight, *sizes)[0]
    return as_numpy(placed, "the heuristic's map")


def computes_with_torch(heuristic: Any) -> bool:
    """Whether a heuristic of the table computes with tensors, on the device where they lie."""
    return getattr(heuristic, "backend", "") == "torch"


def published_names() -> list[str]:
    """Names of the heuristics other than the first plan's."""
    from heuristics import HEURISTICS

    return [name for name in HEURISTICS if name != FIRST]


def needs_torch(name: str) -> bool:
    """Whether the heuristic of this name computes with tensors."""
    from heuristics import HEURISTICS

    return computes_with_torch(HEURISTICS[name])


def torch_is_loaded() -> bool:
    """Whether torch is imported, so that the heuristics that need it start at once."""
    return sys.modules.get("torch") is not None


def heuristic_arguments(problem: Problem) -> tuple[np.ndarray, int, int, int, int]:
    """The five arguments of the call that engines share: loads, slots, groups, nodes, GPUs."""
    nodes, groups = (problem.num_nodes, problem.num_groups) if problem.is_hierarchical else (1, 1)
    scale = np.ldexp(1.0, -problem.unit_exponent.astype(int))[:, None]
    return problem.load * scale, problem.num_slots, groups, nodes, problem.num_gpus


def no_colocation_plan(problem: Problem) -> np.ndarray:
    """A greedy for colocation="forbid": no GPU holds an expert twice.

    Counts come from greedy replication with at most one replica a GPU. Then the heaviest replica
    that is left goes to the lightest GPU that has room and does not hold its expert. Where every
    GPU with room holds the expert, another replica is moved to make room.

    Returns
    -------
    The plan, int64 [num_layers, num_slots].
    """
    placed = np.empty((problem.num_layers, problem.num_slots), dtype=np.int64)
    num_gpus = problem.num_gpus // (problem.num_nodes if problem.is_hierarchical else 1)
    for layer_idx in range(problem.num_layers):
        for node_idx, experts in enumerate(_experts_of_nodes(problem, layer_idx)):
            slots = no_colocation_slots(
                problem.load[layer_idx, experts], num_gpus, problem.slots_per_gpu
            )
            first = node_idx * len(slots)
            placed[layer_idx, first : first + len(slots)] = np.array(experts)[slots]
    return placed


def no_colocation_slots(
    load: Sequence[int] | np.ndarray, num_gpus: int, slots_per_gpu: int
) -> np.ndarray:
    """The greedy of `no_colocation_plan` on one node, int64 [num_slots]."""
    slots = np.empty(num_gpus * slots_per_gpu, dtype=np.int64)
    rules.place_apart(np.ascontiguousarray(load, dtype=np.int64), num_gpus, slots)
    return slots


def _experts_of_nodes(problem: Problem, layer_idx: int) -> list[list[int]]:
    """The experts of each node, with groups packed greedily; a flat problem has one node."""
    if not problem.is_hierarchical:
        return [list(range(problem.num_experts))]
    size = problem.experts_per_group
    nodes = greedy_partition(problem.layer(layer_idx))
    return [[g * size + i for g in held for i in range(size)] for held in nodes]
