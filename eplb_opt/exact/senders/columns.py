"""The ways in which an expert's replicas can stand on the GPUs, and who sends to them there.

An expert's tokens reach its replicas by where these stand alone, whatever the other experts do. So
a plan is one *shape* for each expert: a multiset of GPUs with the numbers of GPUs that send to each
of them. Under rank modulo the multiset says it all. Under nearest copy the odd GPUs of a deal are
drawn, and there are two readings. For plans every GPU counts with the most that a draw can send to
it (`scoring.layer_objectives`). For bounds each outcome of the draw is a shape of its own, of which
the model takes the best: no draw of any plan is below it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.problem.topology import node_of_gpus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from eplb_opt.problem.problem import Problem

#: Shapes of all experts, before any is left out, up to which they are listed.
MAX_LISTED = 150_000


@dataclass(frozen=True)
class Shape:
    """One way to stand.

    Parameters
    ----------
    gpus
        The GPU of each replica, ascending.
    sent
        (GPU, number of GPUs that send there), for each GPU that holds one.
    crossed
        GPUs that send to another node than their own.
    """

    gpus: tuple[int, ...]
    sent: tuple[tuple[int, int], ...]
    crossed: int = 0

    @property
    def most(self) -> int:
        """The most GPUs that send to one of them."""
        return max(times for _, times in self.sent)


def num_listed(problem: Problem) -> int:
    """How many shapes all experts have together at most, without outcomes of draws."""
    open_gpus, most = problem.num_senders, _most_replicas(problem)
    if problem.is_hierarchical:
        per_node = comb(problem.gpus_per_node + most, most) - 1
        return problem.num_experts * problem.num_nodes * per_node
    return problem.num_experts * (comb(open_gpus + most, most) - 1)


def shapes(problem: Problem, is_drawn: bool) -> list[Shape]:
    """The shapes that the problem's rules allow any expert.

    Parameters
    ----------
    problem
        A problem of one layer.
    is_drawn
        Whether the outcomes of draws are shapes of their own; else every GPU has the most.
    """
    gpus = np.flatnonzero(problem.open_slots).tolist()
    found = []
    for num in range(1, _most_replicas(problem) + 1):
        for held in combinations_with_replacement(gpus, num):
            if _is_allowed(problem, held):
                crossed = CROSSED[problem.dispatch](problem, held)
                found += [
                    Shape(held, sent, crossed)
                    for sent in SENDS[problem.dispatch](problem, held, is_drawn)
                ]
    return found


def of_expert(problem: Problem, known: list[Shape], expert: int, most: Fraction) -> list[Shape]:
    """The shapes of one expert on which no GPU carries more of it than `most`.

    Parameters
    ----------
    problem
        A problem of one layer.
    known
        See `shapes`.
    expert
        Its number.
    most
        In the problem's integer units.
    """
    load = int(problem.load[0, expert])
    pinned, forbidden = (
        set() if mask is None else set(np.flatnonzero(mask[0, expert]).tolist())
        for mask in (problem.pinned, problem.forbidden)
    )
    return [
        shape
        for shape in known
        if load * shape.most <= most * problem.num_senders
        and pinned.issubset(shape.gpus)
        and forbidden.isdisjoint(shape.gpus)
    ]


def _most_replicas(problem: Problem) -> int:
    slots = problem.open_slots
    if problem.is_hierarchical:  # a node's experts share its slots
        per_node = problem.num_experts // problem.num_nodes
        return problem.slots_per_node - per_node + 1
    return int(slots.sum()) - problem.num_experts + 1


def _is_allowed(problem: Problem, held: tuple[int, ...]) -> bool:
    times = Counter(held)
    if any(num > problem.open_slots[gpu] for gpu, num in times.items()):
        return False
    if problem.colocation == "forbid" and len(times) < len(held):
        return False
    nodes = {gpu // problem.gpus_per_node for gpu in held}
    if problem.is_hierarchical and len(nodes) > 1:
        return False
    if problem.spread is None:
        return True
    return len(times if problem.spread == "gpu" else nodes) > 1


Sent = tuple[tuple[int, int], ...]


def _in_turn(problem: Problem, held: tuple[int, ...], is_drawn: bool) -> list[Sent]:
    """Rank modulo: sender after sender takes the next replica."""
    each, odd = divmod(problem.num_senders, len(held))
    sent = Counter({gpu: each * num for gpu, num in Counter(held).items()})
    sent.update(held[:odd])
    return [tuple(sent.items())]


def _at_hand(problem: Problem, held: tuple[int, ...], is_drawn: bool) -> list[Sent]:
    """Nearest copy: what is at hand, and the deal of who has nothing at hand."""
    if len(held) == 1:
        return [((held[0], problem.num_senders),)]
    times = Counter(held)
    sent = Counter(times.keys())
    nodes = node_of_gpus(problem).tolist()
    on_node = Counter(nodes[gpu] for gpu in held)
    for node, num in on_node.items():
        others = [
            gpu
            for gpu, place in enumerate(nodes)
            if place == node and gpu not in times and problem.open_slots[gpu]
        ]
        if num < len(held):
            hosts = [gpu for gpu in held if nodes[gpu] == node]
            sent[min(hosts)] += len(others)
    each, odd = divmod(problem.num_senders - sent.total(), len(held))
    for gpu, num in times.items():
        sent[gpu] += each * num
    if not is_drawn:
        return [tuple((gpu, sent[gpu] + min(num, odd)) for gpu, num in times.items())]
    return [
        tuple((gpu, sent[gpu] + more) for gpu, more in zip(times, extra, strict=True))
        for extra in _draws(list(times.values()), odd)
    ]


def _draws(room: list[int], odd: int) -> Iterator[tuple[int, ...]]:
    """All ways to give that many odd senders to GPUs with that many replicas."""
    if not room:
        if odd == 0:
            yield ()
        return
    for first in range(min(room[0], odd) + 1):
        for rest in _draws(room[1:], odd - first):
            yield (first, *rest)


def _crossed_in_turn(problem: Problem, held: tuple[int, ...]) -> int:
    """Rank modulo: senders whose turn is a replica on another node."""
    nodes = node_of_gpus(problem)
    senders = np.flatnonzero(problem.open_slots)
    chosen = np.array(held)[np.arange(len(senders)) % len(held)]
    return int((nodes[senders] != nodes[chosen]).sum())


def _crossed_at_hand(problem: Problem, held: tuple[int, ...]) -> int:
    """Nearest copy: senders on nodes without a replica."""
    nodes = node_of_gpus(problem)
    return int((~np.isin(nodes[problem.open_slots > 0], nodes[list(held)])).sum())


#: Dispatch -> the senders whose tokens cross nodes.
CROSSED = {"nearest": _crossed_at_hand, "rank_modulo": _crossed_in_turn}
#: Dispatch -> the senders of each GPU that holds a replica, in every outcome that counts.
SENDS = {"nearest": _at_hand, "rank_modulo": _in_turn}
