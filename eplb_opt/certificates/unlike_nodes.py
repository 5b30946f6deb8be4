"""Verification of kind "unlike_nodes": groups that stay on nodes whose GPUs differ.

A node that holds a set of groups is a flat problem of its own. Some GPU of it carries at least the
groups' load over what its speeds add up to; and in a plan below T an expert has more than w / T
replicas where T is what the fastest GPU of the node carries, which must not be more than its slots.
Every plan gives each node equally many groups. Where in each such way some node is proven T, no
plan is below it. The certificate needs no data.

Where there are too many ways to look at, the node of the heaviest group carries at least that group
and the lightest others, on what the fastest node's speeds add up to.

With several loads a way is worth, in each of them, the largest node's value over the mean, and the
layer at least the least, over the ways, of what these make together: their weighted mean or the
largest. Loads that were rounded down count with all that they may lack.
"""

from __future__ import annotations

from fractions import Fraction
from heapq import heapify, heapreplace
from itertools import combinations, islice
from math import comb
from typing import TYPE_CHECKING

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.home_layer import MAX_CHOICES, Layer, Node, shared_out
from eplb_opt.certificates.work import spend
from eplb_opt.problem.node_kinds import at_home_alone

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

#: The most sets of groups, and steps over nodes from placed groups to more of them.
MAX_SETS, MAX_STEPS = 5_000, 200_000
#: Units of work for an expert, for a replica on a heap of fractions, and for a step.
EXPERT_UNITS, REPLICA_UNITS, STEP_UNITS = 10, 200, 10


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again as the module describes.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    if not problem.binds_unlike_gpus:
        raise CertificateError("unlike_nodes is of groups that stay on nodes whose GPUs differ.")
    if certificate.data:
        raise CertificateError("unlike_nodes needs no data.")
    if problem.has_scenarios:
        is_proven = _least_together(problem) >= certificate.bound
    else:
        is_proven = certificate.bound <= 0 or _is_proven(problem, certificate.bound)
    if not is_proven:
        raise CertificateError(f"groups can be shared out with no node proven {certificate.bound}.")
    return certificate.bound


def _groups_of(problem: Problem) -> list[list[int]]:
    """The loads of each group of one load."""
    loads, size = problem.load[0].tolist(), problem.experts_per_group
    return [loads[first : first + size] for first in range(0, len(loads), size)]


def _is_proven(problem: Problem, claim: Fraction) -> bool:
    """Whether every way to share out the groups has a node that is proven the claim."""
    groups, size = _groups_of(problem), problem.groups_per_node
    layer = Layer(at_home_alone(problem), 1)
    # Of the nodes' whole numbers, so many make a speed of 1.
    unit = layer.rate / problem.capacity
    num = len(groups)
    steps = sum(comb(num, done) * comb(num, size) for done in range(0, num, size))
    if comb(num, size) > MAX_SETS or steps > MAX_STEPS:
        totals = sorted(sum(group) for group in groups)
        held = totals[-1] + sum(totals[: size - 1])
        return held * unit >= claim * max(node.rate for node in layer.nodes)
    light: dict[Node, list[int]] = {}
    for node in layer.nodes:
        if node not in light:
            light[node] = [
                sum(1 << g for g in held)
                for held in combinations(range(num), size)
                if _is_light([w for g in held for w in groups[g]], node, claim / unit)
            ]
    reached = {0}
    for node in layer.nodes:
        spend(STEP_UNITS * len(reached) * len(light[node]))
        reached = {done | mask for done in reached for mask in light[node] if not done & mask}
    return not reached


def _is_light(loads: list[int], node: Node, level: Fraction) -> bool:
    """Whether a node with these loads may stay below a level for each unit of speed."""
    spend(EXPERT_UNITS * len(loads))
    if sum(loads) >= level * node.rate:
        return False
    most = level * node.fastest
    top, bottom = most.numerator, most.denominator
    return sum(w * bottom // top + 1 for w in loads) <= node.slots


def _least_together(problem: Problem) -> Fraction:
    """The least, over all ways to share out the groups, of what the loads make together."""
    layer = Layer(at_home_alone(problem).scenario(0), 1)
    size = problem.experts_per_group
    ways = list(islice(shared_out(layer, size), MAX_CHOICES + 1))
    if len(ways) > MAX_CHOICES:
        raise CertificateError("there are too many ways to share out the groups.")
    rows = []
    for r in range(problem.num_scenarios):
        alone = problem.scenario(r)
        total = int(alone.load.sum())
        whole = total + int(alone.rounded[0]) * alone.num_experts
        groups, known = _groups_of(alone), dict[tuple[Node, tuple[int, ...]], Fraction]()
        values = []
        for way in ways:
            spend(EXPERT_UNITS * len(way))
            worst = Fraction(0 if total else 1)
            for node, held in zip(layer.nodes, way, strict=True):
                key = node, tuple(held)
                if total and key not in known:
                    loads = [w for g in held for w in groups[g]]
                    known[key] = _level(loads, node) * layer.rate / whole
                worst = max(worst, known[key]) if total else worst
            values.append(worst)
        rows.append(values)
    if problem.objective == "max":
        rows = [row for row, share in zip(rows, problem.shares, strict=True) if share]
        worst_of: list[Fraction] = [max(values) for values in zip(*rows, strict=True)]
        return min(worst_of)
    pairs = (zip(values, problem.shares, strict=True) for values in zip(*rows, strict=True))
    return min(sum((v * share for v, share in way), Fraction(0)) for way in pairs)


def _level(loads: list[int], node: Node) -> Fraction:
    """What a node with these loads carries at least for each unit of speed."""
    spare = node.slots - len(loads)
    spend(REPLICA_UNITS * node.slots)
    # The largest replica is least when every spare slot goes to the largest one so far.
    heap = [(Fraction(-w), w, 1) for w in loads]
    heapify(heap)
    for _ in range(spare):
        _, w, count = heap[0]
        heapreplace(heap, (Fraction(-w, count + 1), w, count + 1))
    level: Fraction = max(Fraction(sum(loads), node.rate), -heap[0][0] / node.fastest)
    return level
