"""Warm starts: complete plans from the heuristics, and one of our own where they do not apply."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bounds.partitions import greedy_partition
from eplb_opt.core import rules
from eplb_opt.errors import PlanError
from eplb_opt.placement import checker, scoring
from eplb_opt.problem.arrays import as_numpy
from eplb_opt.problem.node_kinds import strict_problem
from eplb_opt.problem.scenarios import blended
from eplb_opt.search.across_nodes import first_plan_across
from eplb_opt.search.at_home import first_plan_at_home
from eplb_opt.search.fill import fill_plan
from eplb_opt.search.unlike_starts import first_plan_on_unlike
from eplb_opt.search.within_limit import within_limit
from heuristics import greedy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eplb_opt.problem.problem import Problem

#: The heuristic of `first_plan`, which every call begins with.
FIRST = "greedy"


def first_plan(problem: Problem) -> np.ndarray:
    """The first plan of a problem, int64 [num_layers, num_slots].

    It is the plan of the greedy that every serving engine ships, or of a greedy of our own under
    colocation="forbid" or GPU rules. It takes a millisecond and succeeds wherever the rules can be
    obeyed, so there is a plan whatever else fails. With scenarios it is made for their blend.
    """
    if problem.has_topology and problem.splits_by_sender:
        flat = first_plan(problem.with_topology(None, 1, 1))
        return within_limit(problem, first_plan_across(problem, flat))
    if problem.binds_unlike_gpus or (problem.has_topology and problem.has_gpu_rules):
        return first_plan_on_unlike(problem)
    if problem.topology is not None:
        strict = strict_problem(problem) if problem.topology.anchored else None
        placed = first_plan_at_home(problem) if strict is None else first_plan(strict)
        placed = within_limit(problem, placed)
        if problem.topology.counts_off_home or problem.topology.keeps_all_at_home:
            return placed
        return _better_layers(problem, placed, first_plan(problem.flat()))
    problem = blended(problem)
    if problem.has_gpu_rules:
        return fill_plan(problem)
    if problem.colocation == "forbid":
        return no_colocation_plan(problem)
    return np.asarray(greedy.rebalance_experts(*heuristic_arguments(problem))[0])


def _better_layers(problem: Problem, placed: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The better of two plans for each layer; the first must obey the rules, the other may."""
    rows = placed.copy()
    for layer_idx, row in enumerate(other):
        layer = problem.layer(layer_idx)
        mine, theirs = (scoring.objectives(layer, r[None])[0] for r in (placed[layer_idx], row))
        if theirs >= mine:
            continue
        try:
            checker.check(layer, row[None])
        except PlanError:
            continue
        rows[layer_idx] = row
    return rows


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
