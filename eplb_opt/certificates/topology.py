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
every choice of a node for each group; where there are more than `home_layer.MAX_CHOICES`, every
group is taken as if alone on a node that is the best in all: what is kept of a group is no more for
the company of others.

Where links have costs, `_by_links` says what stands for them.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import TYPE_CHECKING

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.flat_layer import flat_bound, is_below_water
from eplb_opt.certificates.home_layer import Household, Layer, choices_of

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

#: No certificate needs more pieces.
MAX_LEVELS = 64


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
    rooms = list(choices_of(layer))
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
        One load with some tokens, of one layer.
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
    fastest = max(node.fastest for node in layer.nodes)
    if first * layer.rate > total * fastest and not is_below_water(problem, first):
        raise CertificateError("the first level is above the mean and the water level.")
    rooms = list(choices_of(layer))
    best: list[Fraction] = []
    ends = [level * layer.per_level // fastest for level in levels]
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


def _read(data: dict[str, int | list[int]]) -> tuple[list[int], int]:
    levels, scale = data.get("levels"), data.get("scale")
    if set(data) != {"levels", "scale"} or not isinstance(levels, list):
        raise CertificateError("topology has the list levels, the number scale and no more.")
    if not isinstance(scale, int) or scale < 1 or not 1 <= len(levels) <= MAX_LEVELS:
        raise CertificateError(f"topology has 1 to {MAX_LEVELS} levels and a scale above 0.")
    if levels[0] < 1 or any(low >= high for low, high in pairwise(levels)):
        raise CertificateError("levels must be above 0 and ascend.")
    return levels, scale
