"""What links cost in tiny problems, from the terms alone; shares no code."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


def nodes_of_gpus(problem: Problem) -> list[int]:
    """Equal nodes, the last one smaller where need be; or as the topology says."""
    if problem.topology.nodes is not None:
        return [int(node) for node in problem.topology.nodes]
    size = -(-problem.num_gpus // problem.num_nodes)
    return [g // size for g in range(problem.num_gpus)]


def link_cost(problem: Problem, source: int, gpu: int) -> Fraction:
    """What the link from one GPU to another costs."""
    costs, node = problem.topology.rank_costs, nodes_of_gpus(problem)
    if costs is None:
        return Fraction(int(node[source] != node[gpu]))
    if len(costs) == problem.num_gpus:
        return Fraction(str(float(costs[source][gpu])))
    return Fraction(str(float(costs[node[source]][node[gpu]])))


@lru_cache(maxsize=4096)
def assignment_cost(
    problem: Problem, layer_idx: int, expert: int, home: int | None, gpu: int
) -> Fraction:
    """The mean cost of an expert's assignments that a GPU serves."""
    tokens = tokens_of(problem, layer_idx, expert, home)
    total = sum(tokens)
    costs = [t * link_cost(problem, s, gpu) for s, t in enumerate(tokens)]
    return sum(costs, Fraction(0)) / total


def tokens_of(problem: Problem, layer_idx: int, expert: int, home: int | None) -> list[Fraction]:
    """What comes from each GPU for an expert."""
    node = nodes_of_gpus(problem)
    gpus = range(problem.num_gpus)
    if problem.topology.sources is None:
        return [Fraction(int(node[g] == home)) for g in gpus]
    table = problem.topology.sources[layer_idx].tolist()
    own = [Fraction(row[expert]) for row in table]
    if not any(own):
        own = [Fraction(sum(row)) for row in table]
    if not any(own):
        return [Fraction(1) for _ in gpus]
    if len(own) == problem.num_gpus:
        return own
    return [own[node[g]] / node.count(node[g]) for g in gpus]
