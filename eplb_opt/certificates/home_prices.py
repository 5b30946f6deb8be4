"""Verification of kind "home_prices": load and price of what is off home, with two slots a GPU.

Let the largest GPU load of a plan be between two neighbouring `levels`, of which U is the upper
one. Call a replica of size s big when 2 s > U, with key s, and small otherwise, with key U - s. A
GPU has at most one big replica, and beside it a small one with a key of at least the big one's. So
for every node n and threshold t, (big ones on n with a key of at least t) - (small ones) <= 0, and
the replicas on n are as many as its slots. With prices y_nt >= 0 and m_n of these conditions, a
replica costs

    m_n + (sum of y_nt over t up to its key) where it is big, m_n - (that sum) where it is small,

and what is served off home costs the topology's price besides, plus `on_away`, whose conditions is
that no more is off home than allowed. An expert with c replicas costs at least c times the cheapest
way of all for one of them, and where experts are anchored one of the c is at home. So the sum over
the experts of the least over c, less the sum of m_n times slots and of `on_away` times the limit,
is at most what the plan pays for being off home; and the objective is at least that, and the lower
level over the mean. Beyond the last level load alone is worth the bound. The first level is at
most the mean, the water level, or what a certificate of kind "pairs" of the flat layer proves.

Sizes are whole parts of `scale`, rounded down: big ones have then no larger keys and small ones no
smaller ones than in truth, and a big one that counts as small makes a condition weaker. Homes have
to be known: given, or the same in all choices but for the names of nodes that are alike.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import islice, pairwise
from math import floor
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.flat_layer import flat_bound, is_below_water
from eplb_opt.certificates.home_layer import Layer, shared_out
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

LISTS = ("levels", "many", "thresholds", "at_threshold", "on_slots", "on_away")
NUMBERS = ("scale", "unit")
#: The most pieces and thresholds; and what all sums and products stay below.
MAX_PIECES, MAX_THRESHOLDS = 64, 4096
INT64_ROOM = 2**62
#: Units of work for an expert on a piece, and for a count of it on a node.
EXPERT_UNITS, CELL_UNITS = 800, 2


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again as the module describes.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    if problem.topology is None or problem.slots_per_gpu != 2:
        raise CertificateError("home_prices is of a topology with two slots a GPU.")
    if not problem.topology.counts_off_home:
        raise CertificateError("home_prices counts what is off home, not other costs or sources.")
    problem = problem.without_lost_gpus() or problem
    if problem.has_gpu_rules:
        raise CertificateError("home_prices is for GPUs that are alike.")
    proven, data = flat_bound(problem, certificate.data)
    numbers, lists = _read(data)
    total = sum(problem.load[0].tolist())
    if not total:
        raise CertificateError("a layer without load is worth 1.")
    layer = _Priced(problem, *numbers)
    first = Fraction(lists["levels"][0] * total, layer.scale)
    is_proven = first * problem.num_gpus <= total or first <= proven
    if not is_proven and not is_below_water(problem, first):
        raise CertificateError("the first level is above the mean and the water level.")
    lacking = int(problem.rounded[0]) * problem.num_experts
    claim = certificate.bound * Fraction(total + lacking, total) * layer.scale * layer.unit
    pieces = _Pieces(lists, len(layer.slots))
    for begin, end in pairwise(lists["levels"]):
        if layer.of_load(begin) + layer.away(end, *pieces.next()) < claim:
            raise CertificateError(f"a piece of the load does not prove {certificate.bound}.")
    if layer.of_load(lists["levels"][-1]) < claim:
        raise CertificateError("the levels end before load alone is worth the bound.")
    return certificate.bound


def _read(data: dict[str, int | list[int]]) -> tuple[list[int], dict[str, list[int]]]:
    if set(data) != {*LISTS, *NUMBERS}:
        raise CertificateError(f"home_prices has {', '.join(NUMBERS + LISTS)} and no more.")
    numbers = [value for name in NUMBERS if isinstance(value := data[name], int)]
    lists = {name: value for name in LISTS if isinstance(value := data[name], list)}
    if len(numbers) < len(NUMBERS) or len(lists) < len(LISTS):
        raise CertificateError("home_prices has a number where a list should be, or the reverse.")
    levels = lists["levels"]
    if min(numbers) < 1 or not 2 <= len(levels) <= MAX_PIECES + 1 or levels[0] < 1:
        raise CertificateError(f"home_prices has a scale, a unit and 1 to {MAX_PIECES} pieces.")
    if any(low >= high for low, high in pairwise(levels)):
        raise CertificateError("levels must be above 0 and ascend.")
    if len(lists["many"]) != len(levels) - 1 or min(lists["many"]) < 0:
        raise CertificateError("home_prices has a number of thresholds for every piece.")
    if sum(lists["many"]) > MAX_THRESHOLDS:
        raise CertificateError(f"home_prices has more than {MAX_THRESHOLDS} thresholds.")
    if min([*lists["at_threshold"], *lists["on_away"], 0]) < 0:
        raise CertificateError("prices of thresholds, and on_away, are at least 0.")
    return numbers, lists


class _Pieces:
    """Hands out the prices of one piece after the other."""

    def __init__(self, lists: dict[str, list[int]], num_nodes: int) -> None:
        self.lists, self.num_nodes, self.at = lists, num_nodes, 0
        many = sum(lists["many"])
        lengths = (many, many * num_nodes, len(lists["many"]) * num_nodes, len(lists["many"]))
        if lengths != tuple(len(lists[name]) for name in LISTS[2:]):
            raise CertificateError("home_prices has lists that are too long or too short.")

    def next(self) -> tuple[list[int], list[list[int]], list[int], int]:
        """Thresholds, their prices on each node, prices of slots, and of what is away."""
        many, before = self.lists["many"][self.at], sum(self.lists["many"][: self.at])
        first = before * self.num_nodes
        rows = [
            self.lists["at_threshold"][first + n * many : first + (n + 1) * many]
            for n in range(self.num_nodes)
        ]
        slots = self.lists["on_slots"][self.at * self.num_nodes :][: self.num_nodes]
        away = self.lists["on_away"][self.at]
        self.at += 1
        return self.lists["thresholds"][before : before + many], rows, slots, away


class _Priced:
    """The layer in whole parts of a scale, and the objective in units of scale times unit."""

    def __init__(self, problem: Problem, scale: int, unit: int) -> None:
        if problem.topology is None:
            raise CertificateError("home_prices is of a problem with a topology.")
        self.problem, self.rules, self.scale, self.unit = problem, problem.topology, scale, unit
        loads = problem.load[0].tolist()
        self.loads = [w * scale // sum(loads) for w in loads]
        self.price = floor(self.rules.exact_price * unit)
        self.home = _known_homes(problem, scale)
        self.slots = [node.slots for node in Layer(problem, scale).nodes]

    def of_load(self, level: int) -> int:
        """What a largest load is worth."""
        return self.problem.num_gpus * self.unit * level

    def away(
        self, level: int, thresholds: list[int], rows: list[list[int]], slots: list[int], away: int
    ) -> int:
        """The least that a plan of at most that level pays for being off home."""
        fewest = [max(-(-w // level), 1) for w in self.loads]
        spare = sum(self.slots) - sum(fewest)
        if spare < 0:
            return self.of_load(self.scale) + self.scale * self.price  # no plan is there
        paid = self.price + away
        dearest = max(sum(row) for row in rows) + max(abs(price) for price in slots) + 1
        # Sizes of an expert's replicas add up to its load, so that `paid` counts the scale once.
        largest = dearest * (max(fewest) + spare) * len(self.loads)
        if max(largest, 2 * paid * self.scale, 2 * level, *map(abs, thresholds)) >= INT64_ROOM:
            raise CertificateError("the prices are too large for exact sums.")
        at = np.array(thresholds, dtype=np.int64)
        if (np.diff(at) < 0).any():
            raise CertificateError("thresholds must ascend.")
        steps = np.array([[0, *row] for row in rows], dtype=np.int64).cumsum(axis=1)
        base = np.array(slots, dtype=np.int64)[:, None]
        least = 0
        for expert, (load, low) in enumerate(zip(self.loads, fewest, strict=True)):
            spend(EXPERT_UNITS + CELL_UNITS * len(rows) * (spare + 1))
            count = np.arange(low, low + spare + 1)
            size = load // count
            big = 2 * size > level
            step = steps[:, np.searchsorted(at, np.where(big, size, level - size), side="right")]
            cost = base + np.where(big, step, -step)
            there = cost[self.home[expert]]
            each = np.minimum(there, cost.min(axis=0) + paid * size)
            whole = there + (count - 1) * each if self.rules.anchored else count * each
            least += int(whole.min())
        filled = sum(price * num for price, num in zip(slots, self.slots, strict=True))
        limit = floor(self.rules.most_off_home * self.scale)
        return max(least - filled - away * limit, 0)


def _known_homes(problem: Problem, scale: int) -> list[int]:
    """The home of each expert, where there is no choice."""
    rules = problem.topology
    if rules is not None and rules.homes is not None:
        homes: list[int] = rules.homes[0].tolist()
        return homes
    size = -(-problem.num_experts // problem.num_groups)
    choices = list(islice(shared_out(Layer(problem, scale), size), 2))
    if len(choices) != 1:
        raise CertificateError("home_prices needs homes that are known.")
    node = {group: n for n, groups in enumerate(choices[0]) for group in groups}
    return [node[e // size] for e in range(problem.num_experts)]
