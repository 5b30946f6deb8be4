"""Verification of kind "traffic": load and price of what links cost, for one layer.

Let T be the largest GPU load of a plan, which serves a part f of expert e's load w on each place n,
a node or a GPU. A place with g GPUs and s slots carries at most g T. An expert of load w has at
least c = max(1, ceil(w / T)) replicas, each of which serves the same, so that a part f of its load
takes f c of a place's slots. Where GPUs have speeds, T is what the fastest GPU carries, g is what
the speeds of the place over the largest one add up to, and c is that of an expert with a replica on
the place, which carries at most T times the place's largest speed. With prices l_n of load and m_n
of slots that are not negative,

    links cost >= sum_e w cost[e, n] f + sum_n l_n (sum_e w f - g T) + m_n (sum_e c f - s)
               >= sum_e min_n (w (cost[e, n] + l_n) + m_n c) - T sum_n l_n g_n - sum_n m_n s_n,

and the objective is at least T over the mean plus the price of that over the total. The
certificate's levels, in parts of `scale` of the total, cut the range of T into pieces, each with
prices of its own: `load_prices` in parts of `unit`, `slot_prices` in parts of `unit` times `scale`
of the total. On a piece c is that of its end, where it is least, and what is left is linear in T:
it is at least the bound on all of the piece when it is at both ends. Where links cost no more than
some limit, T begins where they can cost as little. From the last level on load alone is worth the
bound. T begins at the mean, at the water level, or at what a certificate of kind "pairs" proves of
the flat layer; the data has that certificate's in entries that begin with "pairs_".

Where homes are chosen with the plan, an expert's cost at a place is the least over all homes.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from eplb_opt.certificates.certificate import Certificate, CertificateError
from eplb_opt.certificates.flat_layer import flat_bound, is_below_water
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: No certificate needs more pieces.
MAX_PIECES = 64
#: Units of work for an expert on a place.
EXPERT_UNITS = 12
LISTS = ("levels", "load_prices", "slot_prices")


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again as the module describes.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    problem = problem.without_lost_gpus() or problem
    total = sum(problem.load[0].tolist())
    proven, data = flat_bound(problem, certificate.data)
    if not total:
        if certificate.bound > 1:
            raise CertificateError("a layer without load is worth 1.")
        return certificate.bound
    layer = _Layer(problem, data)
    # What rounding of the loads may have taken lowers the bound in proportion at most.
    lacking = int(problem.rounded[0]) * problem.num_experts
    claim = certificate.bound * Fraction(total + lacking, total)
    first = Fraction(layer.levels[0] * total, layer.scale)
    is_proven = first * layer.capacity <= total or first <= proven
    if not is_proven and not is_below_water(problem, first):
        raise CertificateError("the first level is above the mean and the water level.")
    for piece, (begin, end) in enumerate(pairwise(layer.levels)):
        if not layer.is_worth(claim, piece, begin, end):
            raise CertificateError(f"piece {piece} is not proven {certificate.bound}.")
    if layer.capacity * layer.levels[-1] < claim * layer.scale:
        raise CertificateError("load alone is not worth the bound at the last level.")
    return certificate.bound


class _Layer:
    """Costs, prices and levels of a layer in integers."""

    def __init__(self, problem: Problem, data: dict[str, int | list[int]]) -> None:
        if problem.topology is None:
            raise CertificateError("traffic is of a problem with a topology.")
        self.problem, self.rules = problem, problem.topology
        links = problem.link_costs
        self.cost_unit = links.unit[0]
        self.rows = _rows(problem)
        self.places = _places(problem)
        self.capacity = sum((place.rate for place in self.places), Fraction(0))
        self.loads: list[int] = problem.load[0].tolist()
        self.total = sum(self.loads)
        self._read(data)

    def _read(self, data: dict[str, int | list[int]]) -> None:
        if set(data) != {"scale", "unit", *LISTS}:
            raise CertificateError(f"traffic has scale, unit and the lists {', '.join(LISTS)}.")
        scale, unit = data["scale"], data["unit"]
        levels, load, slot = (data[name] for name in LISTS)
        if not (isinstance(scale, int) and isinstance(unit, int) and min(scale, unit) > 0):
            raise CertificateError("scale and unit are numbers above 0.")
        if not (isinstance(levels, list) and isinstance(load, list) and isinstance(slot, list)):
            raise CertificateError(f"{', '.join(LISTS)} are lists.")
        if not 2 <= len(levels) <= MAX_PIECES + 1 or levels[0] < 1:
            raise CertificateError(f"traffic has 1 to {MAX_PIECES} pieces above 0.")
        if any(low >= high for low, high in pairwise(levels)):
            raise CertificateError("levels must ascend.")
        num = (len(levels) - 1) * len(self.places)
        if len(load) != num or len(slot) != num or min(*load, *slot) < 0:
            raise CertificateError(f"traffic has {num} prices of load and of slots, at least 0.")
        self.scale, self.unit, self.levels = scale, unit, levels
        self.load_prices, self.slot_prices = load, slot

    def is_worth(self, claim: Fraction, piece: int, begin: int, end: int) -> bool:
        """Whether no plan with a largest load on the piece is worth less than the claim."""
        fixed, slope = self._line(piece, end)
        first = Fraction(begin)
        if self.rules.max_off_home is not None:
            over = fixed - self.rules.most_off_home * self.total
            if over > slope * end:
                return True  # links cost more than allowed on all of the piece
            if over > slope * begin:
                first = over / slope
        for level in (first, Fraction(end)):
            links = (fixed - slope * level) / self.total
            value = level * self.capacity / self.scale + self.rules.exact_price * links
            if value < claim:
                return False
        return True

    def _line(self, piece: int, end: int) -> tuple[Fraction, Fraction]:
        """What links cost at least with T = 0, and how much that falls with each part of T."""
        num = len(self.places)
        load = self.load_prices[piece * num : (piece + 1) * num]
        slot = self.slot_prices[piece * num : (piece + 1) * num]
        spend(EXPERT_UNITS * num * len(self.loads))
        # In parts of the cost's unit times the prices' unit times the scale.
        by_load = [price * self.cost_unit for price in load]
        by_slot = [price * self.cost_unit * self.total for price in slot]
        speeds = sorted({place.fastest for place in self.places})
        kinds = [speeds.index(place.fastest) for place in self.places]
        at = [place.idx for place in self.places]
        fixed = 0
        for tokens, row in zip(self.loads, self.rows, strict=True):
            counts = [
                max(-(-tokens * self.scale * v.denominator // (end * self.total * v.numerator)), 1)
                for v in speeds
            ]
            each = tokens * self.scale
            fixed += min(
                each * (row[idx] * self.unit + more) + counts[kind] * held
                for idx, kind, more, held in zip(at, kinds, by_load, by_slot, strict=True)
            )
        pairs = zip(by_slot, self.places, strict=True)
        fixed -= sum(price * place.slots for price, place in pairs)
        parts = self.cost_unit * self.unit * self.scale
        rates = zip(load, self.places, strict=True)
        falls = sum((price * place.rate for price, place in rates), Fraction(0))
        return Fraction(fixed, parts), Fraction(falls * self.total, self.unit * self.scale)


class _Place(NamedTuple):
    """A place with GPUs: its column of costs, their speeds over the largest of all, their slots."""

    idx: int
    rate: Fraction
    fastest: Fraction
    slots: int


def _places(problem: Problem) -> list[_Place]:
    place, slots = problem.link_costs.place.tolist(), problem.open_slots.tolist()
    speeds = [Fraction(1)] * len(slots)
    if problem.gpu_speed is not None:
        speeds = [Fraction(float(speed)) for speed in problem.gpu_speed]
    best = max(speed for speed, n in zip(speeds, slots, strict=True) if n)
    found = []
    for idx in sorted(set(place)):
        gpus = [g for g, at in enumerate(place) if at == idx and slots[g]]
        if gpus:
            held = [speeds[g] / best for g in gpus]
            found.append(
                _Place(idx, sum(held, Fraction(0)), max(held), sum(slots[g] for g in gpus))
            )
    return found


def _rows(problem: Problem) -> list[list[int]]:
    """What an assignment of each expert costs on each place, in parts of the cost's unit."""
    links, rules = problem.link_costs, problem.topology
    table: list[list[int]] = links.table[0].tolist()
    if rules is None or not links.by_home:
        return table
    if rules.homes is not None:
        return [table[home] for home in rules.homes[0].tolist()]
    least = [min(column) for column in zip(*table, strict=True)]
    return [least] * problem.num_experts
