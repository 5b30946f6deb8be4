"""Verification of kind "node_prices": load and price of what is off home, by prices on nodes.

A plan whose largest GPU load is above the second of the `levels` is worth the bound by its load.
Let the largest load T of another be at most that level, U; and at least the first level, L, which
is at most the mean, the water level, or what a certificate of kind "pairs" of the flat layer
proves. An expert of load w has c >= w / U replicas, of w / c each. On node n the replicas are as
many as its slots, and serve at most g_n T. With prices m_n of slots, of either sign, and y_n >= 0
of load, a replica of size s costs m_n + y_n s on node n, and where that is not its expert's home
the topology's price of s besides. An expert with c replicas costs at least c times the cheapest
way of all for one, and where experts are anchored one of the c is at home. So the objective is at
least the sum over the experts of the least over c, less the sum of m_n times slots, plus

    T (1 / mean - the sum of y_n g_n),

which is at least its value at L or at U. Any prices will do: each choice of homes takes the best
of those in the certificate. Nodes that are alike are taken in the order of their loads at home, the
heaviest first and the first of equals first, and have the prices in the order of the nodes.

Sizes are whole parts of `scale`, rounded down; so are the price and the levels, but for U.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from math import floor
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.flat_layer import flat_bound, is_below_water
from eplb_opt.certificates.home_layer import MAX_CHOICES, Layer, shared_out
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

LISTS = ("levels", "on_slots", "on_load")
NUMBERS = ("scale", "unit")
#: What all sums and products stay below.
INT64_ROOM = 2**62
#: Units of work for an expert with some prices, for a count of it on a node, and for a choice.
EXPERT_UNITS, CELL_UNITS, CHOICE_UNITS = 800, 2, 20


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again as the module describes.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    rules = problem.topology
    if rules is None or not rules.counts_off_home:
        raise CertificateError("node_prices counts what is off home, not other costs or sources.")
    problem = problem.without_lost_gpus() or problem
    if problem.has_gpu_rules or problem.has_scenarios:
        raise CertificateError("node_prices is of one load on GPUs that are alike.")
    proven, data = flat_bound(problem, certificate.data)
    (scale, unit), (levels, on_slots, on_load) = _read(data, problem.num_nodes)
    total = sum(problem.load[0].tolist())
    if not total:
        raise CertificateError("a layer without load is worth 1.")
    first = Fraction(levels[0] * total, scale)
    is_proven = first * problem.num_gpus <= total or first <= proven
    if not is_proven and not is_below_water(problem, first):
        raise CertificateError("the first level is above the mean and the water level.")
    lacking = int(problem.rounded[0]) * problem.num_experts
    claim = certificate.bound * Fraction(total + lacking, total) * scale * unit
    if problem.num_gpus * unit * levels[1] < claim:
        raise CertificateError("the levels end before load alone is worth the bound.")
    if problem.num_gpus * unit * levels[0] >= claim:
        return certificate.bound
    layer, (low, high) = _Priced(problem, scale, unit), levels
    costs = [layer.costs(low, high, *row) for row in zip(on_slots, on_load, strict=True)]
    for places in _choices(problem, scale):
        spend(CHOICE_UNITS * len(places) * (len(costs) + 1))
        if not any(cost is None or cost.of(places) >= claim for cost in costs):
            raise CertificateError(f"a choice of homes is not proven {certificate.bound}.")
    return certificate.bound


def _read(
    data: dict[str, int | list[int]], num_nodes: int
) -> tuple[tuple[int, int], tuple[list[int], list[list[int]], list[list[int]]]]:
    if set(data) != {*LISTS, *NUMBERS}:
        raise CertificateError(f"node_prices has {', '.join(NUMBERS + LISTS)} and no more.")
    numbers = [value for name in NUMBERS if isinstance(value := data[name], int)]
    lists = [value for name in LISTS if isinstance(value := data[name], list)]
    if len(numbers) < len(NUMBERS) or len(lists) < len(LISTS):
        raise CertificateError("node_prices has a number where a list should be, or the reverse.")
    levels, on_slots, on_load = lists
    if min(numbers) < 1 or len(levels) != 2 or not 1 <= levels[0] < levels[1]:
        raise CertificateError("node_prices has a scale, a unit and two levels that ascend.")
    if len(on_slots) != len(on_load) or len(on_slots) % num_nodes:
        raise CertificateError("node_prices has two prices for each node.")
    if min([*on_load, 0]) < 0:
        raise CertificateError("prices of load are at least 0.")
    rows = [[row[i : i + num_nodes] for i in range(0, len(row), num_nodes)] for row in lists[1:]]
    return (numbers[0], numbers[1]), (levels, rows[0], rows[1])


class _Costs:
    """What experts cost at least, by the node whose prices their home has."""

    def __init__(self, of_expert: np.ndarray, constant: int) -> None:
        self.of_expert, self.constant = of_expert.tolist(), constant
        self.seen: dict[tuple[tuple[int, ...], int], int] = {}

    def of(self, places: list[tuple[tuple[int, ...], int]]) -> int:
        """What a choice of homes is worth at least: sets of experts, and whose prices they have."""
        for held in places:
            if held not in self.seen:
                members, place = held
                self.seen[held] = sum(self.of_expert[e][place] for e in members)
        return self.constant + sum(self.seen[held] for held in places)


class _Priced:
    """The layer in whole parts of a scale, and the objective in units of scale times unit."""

    def __init__(self, problem: Problem, scale: int, unit: int) -> None:
        if problem.topology is None:
            raise CertificateError("node_prices is of a problem with a topology.")
        self.problem, self.rules, self.scale, self.unit = problem, problem.topology, scale, unit
        loads = problem.load[0].tolist()
        self.loads = [w * scale // sum(loads) for w in loads]
        self.price = floor(self.rules.exact_price * unit)
        nodes = Layer(problem, scale).nodes
        self.slots = [node.slots for node in nodes]
        self.gpus = [node.rate // nodes[0].fastest for node in nodes]  # GPUs are alike

    def costs(
        self, first: int, last: int, on_slots: list[int], on_load: list[int]
    ) -> _Costs | None:
        """Costs with some prices; None where no plan has so little load."""
        fewest = [max(-(-w // last), 1) for w in self.loads]
        spare = sum(self.slots) - sum(fewest)
        if spare < 0:
            return None
        gain = self.problem.num_gpus * self.unit
        gain -= sum(y * g for y, g in zip(on_load, self.gpus, strict=True))
        filled = sum(m * s for m, s in zip(on_slots, self.slots, strict=True))
        # Sizes of an expert's replicas add up to its load, so that prices of load count once.
        largest = max(map(abs, on_slots)) * (max(fewest) + spare) * len(self.loads)
        if max(largest, (max(on_load) + self.price) * 2 * self.scale, 2 * last) >= INT64_ROOM // 2:
            raise CertificateError("the prices are too large for exact sums.")
        of_expert = np.zeros((len(self.loads), len(self.slots)), dtype=np.int64)
        base = np.array(on_slots, dtype=np.int64)[:, None]
        of_load = np.array(on_load, dtype=np.int64)[:, None]
        for expert, (load, low) in enumerate(zip(self.loads, fewest, strict=True)):
            spend(EXPERT_UNITS + CELL_UNITS * len(self.slots) * (spare + 1))
            count = np.arange(low, low + spare + 1)
            size = load // count
            there = base + of_load * size
            each = np.minimum(there, there.min(axis=0) + self.price * size)
            whole = there + (count - 1) * each if self.rules.anchored else count * each
            of_expert[expert] = whole.min(axis=1)
        return _Costs(of_expert, min(gain * first, gain * last) - filled)


def _choices(problem: Problem, scale: int) -> list[list[tuple[tuple[int, ...], int]]]:
    """The experts at home on each node, and whose prices it has, in every choice of homes."""
    rules, layer = problem.topology, Layer(problem, scale)
    experts, nodes = range(problem.num_experts), range(problem.num_nodes)
    if rules is not None and rules.homes is not None:
        home = rules.homes[0].tolist()
        return [_with_places(layer, [tuple(e for e in experts if home[e] == n) for n in nodes])]
    size = -(-problem.num_experts // problem.num_groups)
    groups = [[e for e in experts if e // size == g] for g in range(problem.num_groups)]
    found = list(islice(shared_out(layer, size), MAX_CHOICES + 1))
    if not 0 < len(found) <= MAX_CHOICES:
        raise CertificateError("node_prices is of choices of homes that can be looked at.")
    return [
        _with_places(layer, [tuple(e for g in held for e in groups[g]) for held in choice])
        for choice in found
    ]


def _with_places(layer: Layer, held: list[tuple[int, ...]]) -> list[tuple[tuple[int, ...], int]]:
    """Nodes that are alike in the order of their loads have the prices of each in its order."""
    place = [0] * len(held)
    loads = layer.problem.load[0].tolist()
    for kind in set(layer.nodes):
        alike = [n for n, node in enumerate(layer.nodes) if node == kind]
        order = sorted(alike, key=lambda n: (-sum(loads[e] for e in held[n]), n))
        for n, prices_of in zip(order, alike, strict=True):
            place[n] = prices_of
    return list(zip(held, place, strict=True))
