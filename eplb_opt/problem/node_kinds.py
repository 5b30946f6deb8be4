"""What the GPUs of each node add up to, and which nodes are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.topology import Topology, node_of_gpus

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.problem.terms import Terms


def at_home_alone(problem: Problem) -> Problem:
    """Groups that stay on nodes as a topology: homes are chosen, and nothing is served off home.

    An expert without load may stand off home there, and must not where groups stay on nodes.
    """
    return problem.with_topology(Topology(price=0.0, max_off_home=0.0))


def strict_problem(problem: Problem) -> Problem | None:
    """The problem whose groups stay on nodes; None where its plans are none of this one.

    Parameters
    ----------
    problem
        A problem with a topology.
    """
    rules = problem.topology
    if rules is None or not rules.chooses_homes or rules.nodes is not None:
        return None
    try:
        strict = problem.with_topology(None)
    except ProblemError:  # groups do not divide, or nodes are too small
        return None
    return strict if strict.is_hierarchical else None


def gpus_on_nodes(terms: Terms) -> list[list[int]]:
    """The GPUs of each node that have a slot, ascending; [num_nodes] lists."""
    node = node_of_gpus(terms)
    used = terms.open_slots > 0
    return [np.flatnonzero(used & (node == n)).tolist() for n in range(terms.num_nodes)]


def rates_of_nodes(terms: Terms) -> list[int]:
    """The speeds of each node's GPUs added up, [num_nodes], in the unit of `whole_speed`."""
    rates, _ = terms.whole_speed
    return [sum(rates[g] for g in gpus) for gpus in gpus_on_nodes(terms)]


def fastest_of_nodes(terms: Terms) -> list[int]:
    """The largest speed on each node, [num_nodes], in the unit of `whole_speed`."""
    rates, _ = terms.whole_speed
    return [max(rates[g] for g in gpus) for gpus in gpus_on_nodes(terms)]


def kinds_of_nodes(terms: Terms) -> tuple[int, ...]:
    """For each node the first one that is like it, [num_nodes].

    Nodes are alike where their GPUs have the same speeds and slots, in any order.
    """
    rates, _ = terms.whole_speed
    slots = terms.open_slots.tolist()
    seen: dict[tuple[tuple[int, int], ...], int] = {}
    held = (sorted((rates[g], slots[g]) for g in gpus) for gpus in gpus_on_nodes(terms))
    return tuple(seen.setdefault(tuple(gpus), node) for node, gpus in enumerate(held))


def capacity_of_nodes(terms: Terms) -> np.ndarray:
    """The speeds of each node's GPUs added up, float64 [num_nodes]; GPUs for those of speed 1."""
    unit = terms.whole_speed[1]
    return np.array([rate / unit for rate in rates_of_nodes(terms)])
