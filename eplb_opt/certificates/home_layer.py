"""The layer that a proof of kind "topology" looks at: its nodes, who is at home, what they keep."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import ceil, lcm
from typing import TYPE_CHECKING

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.problem.problem import Problem

#: More choices of homes are not looked at.
MAX_CHOICES = 3000
#: Units of work for an expert of a set of experts, and for a kink of a choice, on one piece.
EXPERT_UNITS, KINK_UNITS = 40, 20


@dataclass(frozen=True, order=True)
class Node:
    """What counts of a node's GPUs: their speeds together, the largest one, and their slots."""

    rate: int
    fastest: int
    slots: int


class Layer:
    """The layer in integers: loads and levels of T in a unit that the speeds of a node divide."""

    def __init__(self, problem: Problem, scale: int) -> None:
        if problem.topology is None:
            raise CertificateError("topology is of a problem with a topology.")
        self.problem, self.rules = problem, problem.topology
        self.nodes = nodes_of(problem)
        self.rate = sum(node.rate for node in self.nodes)
        self.grain = lcm(*(rate for node in self.nodes for rate in (node.rate, node.fastest)))
        loads: list[int] = problem.load[0].tolist()
        self.loads = [w * scale * self.grain for w in loads]
        self.total = sum(self.loads)
        self.per_level = sum(loads) * self.grain

    def whole(self, members: tuple[int, ...]) -> int:
        """What is at home on a node with these experts."""
        return sum(self.loads[e] for e in members)

    def kept(self, node: Node, members: tuple[int, ...], end: int | None) -> int:
        """The most of it that the node's slots keep there for T up to `end`, rounded up."""
        spend(EXPERT_UNITS * (len(members) + 1))
        slots = node.slots
        pairs = [
            (w, 1 if end is None else max(-(-w // (end * node.fastest)), 1))
            for w in (self.loads[e] for e in members)
        ]
        bare = len(members) if self.rules.anchored else 0
        if sum(c for _, c in pairs) <= slots or bare > slots:
            return self.whole(members)
        # Any price of a slot will do; this one is where the slots run out.
        taken, price = bare, Fraction(0)
        for w, c in sorted(pairs, key=lambda pair: -pair[0] / pair[1]):
            taken += c - (1 if bare else 0)
            price = Fraction(w, c)
            if taken >= slots:
                break
        top, bottom = price.numerator, price.denominator
        gains = [w * bottom - c * top for w, c in pairs]
        if bare:
            least = (w * bottom // c + 1 - top for w, c in pairs)
            gains = [max(pair) for pair in zip(gains, least, strict=True)]
        else:
            gains = [max(gain, 0) for gain in gains]
        kept = ceil(Fraction(slots * top + sum(gains), bottom))
        return min(-(-kept // self.grain) * self.grain, self.whole(members))

    def least(self, nodes: list[tuple[int, int, int]], begin: int, end: int | None) -> Fraction:
        """The least of f on a piece, for nodes of (speeds, at home, most kept); endless: None."""
        kinks = {kept // rate for rate, _, kept in nodes}
        last = max(begin, *kinks) if end is None else end
        points = sorted({begin, last, *(t for t in kinks if begin < t < last)})
        spend(KINK_UNITS * len(points) * len(nodes))
        away = [sum(w - min(rate * t, kept) for rate, w, kept in nodes) for t in points]
        if self.rules.max_off_home is None:
            top = self.rules.exact_price
            gpus = self.rate * top.denominator
            parts = zip(points, away, strict=True)
            return Fraction(
                min(gpus * t + top.numerator * left for t, left in parts),
                top.denominator * self.total,
            )
        most = self.rules.most_off_home * self.total
        values = []
        for i, (t, left) in enumerate(zip(points, away, strict=True)):
            if left <= most:
                values.append(self._value(Fraction(t), Fraction(left)))
                if i and away[i - 1] > most:  # the limit is met within the segment before
                    part = (away[i - 1] - most) / (away[i - 1] - left)
                    values.append(self._value(points[i - 1] + part * (t - points[i - 1]), most))
        return min(values, default=self._value(Fraction(self.total), Fraction(0)) + 10**9)

    def _value(self, level: Fraction, away: Fraction) -> Fraction:
        value: Fraction = self.rate * level + self.rules.exact_price * away
        return value / self.total


#: A node, and the experts at home there.
Household = tuple[Node, tuple[int, ...]]


def choices_of(layer: Layer) -> Iterator[list[Household]]:
    """Who is at home where, in every choice; or what stands for all of them."""
    problem, rules = layer.problem, layer.rules
    experts = range(problem.num_experts)
    if rules.homes is not None:
        home = rules.homes[0].tolist()
        yield [(n, tuple(e for e in experts if home[e] == i)) for i, n in enumerate(layer.nodes)]
        return
    size = -(-problem.num_experts // problem.num_groups)
    groups = [tuple(e for e in experts if e // size == g) for g in range(problem.num_groups)]
    found = []
    for choice in shared_out(layer, size):
        found.append(choice)
        if len(found) > MAX_CHOICES:
            nodes = layer.nodes
            best = Node(
                max(n.rate for n in nodes),
                max(n.fastest for n in nodes),
                max(n.slots for n in nodes),
            )
            yield [(best, members) for members in groups]
            return
    for choice in found:
        yield [
            (n, tuple(e for g in held for e in groups[g]))
            for n, held in zip(layer.nodes, choice, strict=True)
        ]


def all_homes(problem: Problem) -> list[list[int]] | None:
    """The home node of each expert in every choice of homes; None where there are too many."""
    rules = problem.topology
    if rules is None:
        raise CertificateError("topology is of a problem with a topology.")
    if rules.homes is not None:
        return [rules.homes[0].tolist()]
    size = -(-problem.num_experts // problem.num_groups)
    layer = Layer(problem.scenario(0), 1)
    choices = list(islice(shared_out(layer, size), MAX_CHOICES + 1))
    if len(choices) > MAX_CHOICES:
        return None
    found = []
    for choice in choices:
        node = {group: n for n, held in enumerate(choice) for group in held}
        found.append([node[e // size] for e in range(problem.num_experts)])
    return found


def nodes_of(problem: Problem) -> list[Node]:
    """The nodes: as the topology says, or of equally many GPUs, the last with what is left."""
    given = None if problem.topology is None else problem.topology.nodes
    size = -(-problem.num_gpus // problem.num_nodes)
    held: list[list[tuple[Fraction, int]]] = [[] for _ in range(problem.num_nodes)]
    for gpu, gpu_slots in enumerate(problem.open_slots.tolist()):
        if gpu_slots:
            speed = 1.0 if problem.gpu_speed is None else float(problem.gpu_speed[gpu])
            held[gpu // size if given is None else int(given[gpu])].append(
                (Fraction(speed), gpu_slots)
            )
    unit = lcm(*(speed.denominator for gpus in held for speed, _ in gpus))
    return [
        Node(
            int(sum(speed for speed, _ in gpus) * unit),
            int(max(speed for speed, _ in gpus) * unit),
            sum(slots for _, slots in gpus),
        )
        for gpus in held
    ]


def shared_out(layer: Layer, group_size: int) -> Iterator[list[list[int]]]:
    """The groups of each node in every choice; nodes of one size in the order of their groups."""
    problem = layer.problem
    low, rest = divmod(problem.num_groups, problem.num_nodes)
    most = [low + (1 if rest else 0)] * problem.num_nodes
    if layer.rules.anchored or layer.rules.max_off_home is not None:
        room = [node.slots // group_size for node in layer.nodes]
        most = [min(pair) for pair in zip(most, room, strict=True)]
    least = [min(low, m) for m in most]
    held: list[list[int]] = [[] for _ in layer.nodes]

    def place(group: int) -> Iterator[list[list[int]]]:
        lacking = sum(max(n - len(on), 0) for n, on in zip(least, held, strict=True))
        if lacking > problem.num_groups - group:
            return
        if group == problem.num_groups:
            yield [list(on) for on in held]
            return
        for node, on in enumerate(held):
            like = [i for i in range(node) if layer.nodes[i] == layer.nodes[node]]
            if len(on) < most[node] and (on or all(held[i] for i in like)):
                on.append(group)
                yield from place(group + 1)
                on.pop()

    return place(0)
