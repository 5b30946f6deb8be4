"""A new plan's GPUs under the names of the plan in force."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import PlanError
from eplb_opt.migration.unlike_names import has_unlike_names, named_by_kind
from eplb_opt.placement import checker, scoring
from eplb_opt.placement.relabel import relabelled, relabelled_freely, slots_kept
from eplb_opt.problem import topology

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from eplb_opt.clock import Deadline
    from eplb_opt.placement.moves import MovePrice
    from eplb_opt.placement.plan import Plan
    from eplb_opt.problem.problem import Problem


def naming_seconds(
    problem: Problem, current: Plan, placed: np.ndarray, price: MovePrice | None = None
) -> float:
    """About how long `renamed` takes, from one of the layers."""
    if keeps_names(problem, price):
        return 0.0
    began = time.monotonic()
    named(problem, current.physical_to_logical[0], placed[0], price)
    return (time.monotonic() - began) * problem.num_layers


def keeps_names(problem: Problem, price: MovePrice | None = None) -> bool:
    """Whether GPUs keep their names: a plan would be worth something else under others.

    Where GPUs differ and moves across nodes are dearer they do, too: names that keep most slots may
    lead more of the others across.
    """
    if not problem.has_gpu_names:
        return False
    is_dearer = price is not None and price.across > 1
    return is_dearer or not has_unlike_names(problem)


def renamed(
    problem: Problem,
    current: Plan,
    best: np.ndarray,
    deadline: Deadline,
    worth: Sequence[tuple[Fraction, Fraction]] | None = None,
    price: MovePrice | None = None,
) -> np.ndarray:
    """The plan with its GPUs named as the one in force has them, int64 [num_layers, num_slots].

    A layer that is no better than in force stays as it is, slot by slot. Names alone are worth no
    delay: layers for which there is no time keep theirs. What stays on a GPU keeps its slot in any
    case; see `in_kept_slots`.

    Parameters
    ----------
    problem, current
        The problem and the plan in force.
    best
        int64 [num_layers, num_slots], the plan to rename.
    deadline
        The end of the work.
    worth
        [num_layers], the exact objectives of the plan in force and of `best`; None where they are
        not known or the plan in force is not valid.
    price
        What moves count; all alike by default.
    """
    placed = in_kept_slots(problem, current, best)
    if worth is None:
        as_good = _is_as_good(problem, current.physical_to_logical, best)
    else:
        as_good = [mine <= least for mine, least in worth]
    for layer_idx, stays in enumerate(as_good):
        row = current.physical_to_logical[layer_idx]
        if stays:
            placed[layer_idx] = row
        elif not (deadline.expired or keeps_names(problem, price)):
            placed[layer_idx] = named(problem, row, best[layer_idx], price)
    return placed


def named(
    problem: Problem, current: np.ndarray, best: np.ndarray, price: MovePrice | None = None
) -> np.ndarray:
    """A layer's plan with its GPUs named as the one in force has them, and worth the same.

    Where it matters on which node a GPU is, it stays there, and whole nodes trade places. With a
    topology they do so only where nodes are alike and homes are chosen with the plan, and GPUs keep
    their names where links tell those of a node apart.

    Parameters
    ----------
    problem
        The problem whose GPUs may trade names; see `keeps_names`.
    current, best
        int64 [num_slots] each, the plan in force and the one to rename.
    price
        What moves count; all alike by default.

    Returns
    -------
    int64 [num_slots].
    """
    num_nodes = num_name_nodes(problem)
    across = 1 if price is None else price.across
    if problem.has_gpu_rules:
        return named_by_kind(problem, current, best)
    rules = problem.topology
    if rules is not None and problem.link_costs.tells_gpus_apart:
        return best
    if price is not None and across > 1 and num_nodes == 1:
        return relabelled_freely(current, best, price.node_of_gpu, across)
    has_like_nodes = rules is None or (rules.chooses_homes and rules.counts_off_home)
    if has_like_nodes and (rules is None or not np.ptp(topology.gpus_of_nodes(problem))):
        return relabelled(current, best, problem.num_gpus, num_nodes, across)
    ends = np.cumsum(topology.slots_of_nodes(problem))[:-1]
    rows = zip(np.split(current, ends), np.split(best, ends), strict=True)
    per_gpu = problem.slots_per_gpu
    return np.concatenate([relabelled(*row, len(row[0]) // per_gpu) for row in rows])


def in_kept_slots(problem: Problem, current: Plan, best: np.ndarray) -> np.ndarray:
    """The plan with experts that stay on a GPU in their slots, int64 [num_layers, num_slots].

    Every GPU keeps the experts that it has, so that the plan is worth the same and moves as much,
    and nothing is copied within a GPU without need.

    Parameters
    ----------
    problem, current
        The problem and the plan in force, valid or not.
    best
        int64 [num_layers, num_slots], the plan to be put in order.
    """
    held = current.physical_to_logical
    # What is empty in force and can be filled holds an expert that nobody wants; slots that cannot
    # be filled, and those alone, stay empty.
    held = np.where(problem.is_open, np.where(held < 0, problem.num_experts, held), -1)
    rows = zip(held, best, strict=True)
    return np.array([slots_kept(before, row, problem.num_gpus) for before, row in rows])


def _is_as_good(problem: Problem, rows: np.ndarray, best: np.ndarray) -> list[bool]:
    """Which rows are plans for their layers and worth as much as the best ones, [num_layers]."""
    fits = _fits(problem, rows)
    tried = np.where(fits[:, None], rows, best)
    pairs = zip(
        scoring.layer_objectives(problem, tried),
        scoring.layer_objectives(problem, best),
        strict=True,
    )
    return [bool(fit) and mine <= least for fit, (mine, least) in zip(fits, pairs, strict=True)]


def _fits(problem: Problem, rows: np.ndarray) -> np.ndarray:
    """Which rows obey the rules, bool [num_layers]; all are looked at together first."""
    if _obeys(problem, rows):
        return np.ones(len(rows), dtype=bool)
    return np.array([_obeys(problem.layer(i), row[None]) for i, row in enumerate(rows)])


def _obeys(problem: Problem, rows: np.ndarray) -> bool:
    try:
        checker.check(problem, rows)
    except PlanError:
        return False
    return True


def num_name_nodes(problem: Problem) -> int:
    """Nodes that a GPU's name may not leave."""
    return problem.num_nodes if problem.is_hierarchical or problem.has_topology else 1
