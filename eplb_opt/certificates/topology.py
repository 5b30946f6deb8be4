"""Verification of kind "topology": load and price of what is served off home, for one layer.

Let T be the largest GPU load of a plan. It is at least the mean and the water level, and, as a plan
with a topology is a plan without one too, at least what a certificate of kind "pairs" proves of the
flat layer; the data has that certificate's in entries that begin with "pairs_". On a node with
g GPUs and s slots the replicas of the experts at home there serve at most g T. An expert of load w
with a replica there has at least c = max(1, ceil(w / T)) of them, each of which serves the same, so
that keeping a share f of it at home takes f c of the s slots, and at least one where experts are
anchored. Where GPUs have speeds, g is what these add up to, and such a replica serves at most T
times the largest speed of the node, by which T is to be read in c; levels are of what the fastest
GPU carries. For any
price d >= 0 of a slot, what is kept is therefore at most s d + sum of max(0, w - c d), where
anchored of max(w / c - d, w - c d). What is at home on the nodes beyond that is served elsewhere,
and

    objective >= T / mean + price x (the sum over nodes of what is beyond) / total =: f(T).

The certificate's levels, in parts of `scale` of the total, cut the range of T into pieces. On each
the c are those at its end, where more is kept; then f is convex and piecewise linear, so that it
is at least the bound on all of a piece when it is at its ends and kinks. Pieces on which more than
the topology allows is off home hold no plan. Where homes are chosen with the plan, this is so for
every choice of a node for each group; where there are more than `MAX_CHOICES`, every group is taken
as if alone on a node that is the best in all: what is kept of a group is no more for the company of
others.

Where links have costs, `_by_links` says what stands for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise
from math import ceil, floor, lcm
from typing import TYPE_CHECKING

from eplb_opt.certificates import pairs
from eplb_opt.certificates.certificate import Certificate, CertificateError
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.problem.problem import Problem

#: Names of the data of a certificate of the flat layer begin with this.
PAIRS_PREFIX = "pairs_"
#: More choices are not looked at, and no certificate needs more pieces.
MAX_CHOICES = 3000
MAX_LEVELS = 64
#: Units of work for an expert of a set of experts, and for a kink of a choice, on one piece.
EXPERT_UNITS, KINK_UNITS = 40, 20


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again as the module describes.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    if problem.topology is None or problem.has_scenarios:
        raise CertificateError("topology is of a problem with a topology and one load.")
    if problem.topology.sources is not None:
        raise CertificateError("topology counts what is off home, not what comes from sources.")
    if problem.topology.rank_costs is not None:
        return _by_links(problem, certificate)
    problem = problem.without_lost_gpus() or problem
    proven, data = flat_bound(problem, certificate.data)
    levels, scale = _read(data)
    total = sum(problem.load[0].tolist())
    if not total:
        if certificate.bound > 1:
            raise CertificateError("a layer without load is worth 1.")
        return certificate.bound
    # What rounding of the loads may have taken lowers the bound in proportion at most.
    lacking = int(problem.rounded[0]) * problem.num_experts
    claim = certificate.bound * Fraction(total + lacking, total)
    layer = Layer(problem, scale)
    first = Fraction(levels[0] * total, scale)
    fastest = max(node.fastest for node in layer.nodes)
    is_proven = first * layer.rate <= total * fastest or first <= proven
    if not is_proven and not is_below_water(problem, first):
        raise CertificateError("the first level is above the mean and the water level.")
    rooms = list(_choices(layer))
    ends = [level * layer.per_level // fastest for level in levels]
    for begin, end in zip(ends, [*ends[1:], None], strict=True):
        if layer.rate * begin >= claim * layer.total:
            break  # from here on load alone is worth it
        kept: dict[Household, int] = {}
        for choice in rooms:
            for household in choice:
                if household not in kept:
                    kept[household] = layer.kept(*household, end)
            nodes = [(at.rate, layer.whole(held), kept[at, held]) for at, held in choice]
            if layer.least(nodes, begin, end) < claim:
                raise CertificateError(f"a choice of homes is not proven {certificate.bound}.")
    return certificate.bound


def least_of_choices(problem: Problem, data: dict[str, int | list[int]]) -> list[Fraction]:
    """What every choice of homes is worth at least, in the order of the choices.

    Parameters
    ----------
    problem
        One load with some tokens, of one layer, on GPUs that are alike; none is lost.
    data
        Levels and their scale.

    Raises
    ------
    CertificateError
        When the levels begin above what is proven of the largest load.
    """
    levels, scale = _read(data)
    total = sum(problem.load[0].tolist())
    layer, first = Layer(problem, scale), Fraction(levels[0] * total, scale)
    if first * problem.num_gpus > total and not is_below_water(problem, first):
        raise CertificateError("the first level is above the mean and the water level.")
    rooms = list(_choices(layer))
    best: list[Fraction] = []
    ends = [level * layer.per_level for level in levels]
    for begin, end in zip(ends, [*ends[1:], None], strict=True):
        kept: dict[Household, int] = {}
        values = []
        for choice in rooms:
            for household in choice:
                if household not in kept:
                    kept[household] = layer.kept(*household, end)
            nodes = [(at.rate, layer.whole(held), kept[at, held]) for at, held in choice]
            values.append(layer.least(nodes, begin, end))
        best = [min(pair) for pair in zip(best, values, strict=True)] if best else values
    true = Fraction(total, total + int(problem.rounded[0]) * problem.num_experts)
    return [value * true for value in best]


def _by_links(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound where links have costs, from what is off home at a price that is no higher.

    With a the cheapest link from a home to its own node and b the cheapest to another, links cost
    at least min(a, b) + max(b - a, 0) x the off-home share. The price and the limit of that share
    are multiples of a part in a million, on the side on which the bound stays true.
    """
    problem = problem.without_lost_gpus() or problem
    rules, links = problem.topology, problem.link_costs
    if rules is None or not problem.load.any():
        raise CertificateError("topology is of a problem with a topology and some load.")
    size, unit = -(-problem.num_gpus // problem.num_nodes), links.unit[0]
    nodes = [gpu // size for gpu in range(problem.num_gpus)]
    if rules.nodes is not None:
        nodes = rules.nodes.tolist()
    own, other = list[Fraction](), list[Fraction]()
    for gpu, place in enumerate(links.place.tolist()):
        for home, row in enumerate(links.table[0].tolist()):
            (own if nodes[gpu] == home else other).append(Fraction(row[place], unit))
    least, extra = min(own + other), max(min(other) - min(own), Fraction(0))
    most = rules.max_off_home
    if most is not None:
        share = (rules.most_off_home - least) / extra if extra else Fraction(1)
        most = ceil(min(max(share, Fraction(0)), Fraction(1)) * 10**6) / 10**6
    price = min(floor(rules.exact_price * extra * 10**6) / 10**6, 1e6)  # the largest there is
    plain = replace(rules, price=price, max_off_home=most, rank_costs=None)
    claim = certificate.bound - rules.exact_price * least
    verify(problem.with_topology(plain), replace(certificate, bound=claim))
    return certificate.bound


def flat_bound(
    problem: Problem, data: dict[str, int | list[int]]
) -> tuple[Fraction, dict[str, int | list[int]]]:
    """What the data prove of the flat layer's load, 0 for nothing; and the rest of the data."""
    of_pairs, rest = apart_from_pairs("pairs", data)
    if of_pairs is None:
        return Fraction(0), rest
    if problem.has_gpu_rules:
        raise CertificateError("pairs is for GPUs that are alike.")
    return pairs.verify(problem.flat().with_colocation("allow"), of_pairs), rest


def apart_from_pairs(
    kind: str, data: dict[str, int | list[int]]
) -> tuple[Certificate | None, dict[str, int | list[int]]]:
    """The certificate of pairs that stands in another's data, of this kind; and the other data."""
    parts = {name: value for name, value in data.items() if name.startswith(PAIRS_PREFIX)}
    rest = {name: value for name, value in data.items() if name not in parts}
    if not parts:
        return None, rest
    terms = parts.pop(PAIRS_PREFIX + "bound", None)
    if not isinstance(terms, list) or len(terms) != 2 or min(terms) < 1:
        raise CertificateError("pairs_bound has a numerator and a denominator, above 0.")
    inner = {name.removeprefix(PAIRS_PREFIX): value for name, value in parts.items()}
    return Certificate(kind, Fraction(*terms), inner), rest


def _read(data: dict[str, int | list[int]]) -> tuple[list[int], int]:
    levels, scale = data.get("levels"), data.get("scale")
    if set(data) != {"levels", "scale"} or not isinstance(levels, list):
        raise CertificateError("topology has the list levels, the number scale and no more.")
    if not isinstance(scale, int) or scale < 1 or not 1 <= len(levels) <= MAX_LEVELS:
        raise CertificateError(f"topology has 1 to {MAX_LEVELS} levels and a scale above 0.")
    if levels[0] < 1 or any(low >= high for low, high in pairwise(levels)):
        raise CertificateError("levels must be above 0 and ascend.")
    return levels, scale


def is_below_water(problem: Problem, level: Fraction) -> bool:
    """Whether every plan's largest load is at least the level, because the slots are too few."""
    # In a plan below it, an expert has more than load / level replicas.
    top, bottom = level.numerator, level.denominator
    replicas = sum(int(w) * bottom // top + 1 for w in problem.load[0].tolist())
    return replicas > int(problem.open_slots.sum())


@dataclass(frozen=True, order=True)
class _Node:
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
        self.nodes = _nodes_of(problem)
        self.rate = sum(node.rate for node in self.nodes)
        self.grain = lcm(*(rate for node in self.nodes for rate in (node.rate, node.fastest)))
        loads: list[int] = problem.load[0].tolist()
        self.loads = [w * scale * self.grain for w in loads]
        self.total = sum(self.loads)
        self.per_level = sum(loads) * self.grain

    def whole(self, members: tuple[int, ...]) -> int:
        """What is at home on a node with these experts."""
        return sum(self.loads[e] for e in members)

    def kept(self, node: _Node, members: tuple[int, ...], end: int | None) -> int:
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
Household = tuple[_Node, tuple[int, ...]]


def _choices(layer: Layer) -> Iterator[list[Household]]:
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
            best = _Node(
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


def _nodes_of(problem: Problem) -> list[_Node]:
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
        _Node(
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
