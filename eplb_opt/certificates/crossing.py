"""Verification of kind "crossing": load and price of what crosses nodes, where GPUs send.

Let T be the largest GPU load of a plan for G GPUs that send and s slots. It is at least the mean,
and at least any level below which the slots are too few; and, as a plan with a price is a plan
without one too, at least what a certificate of kind "sender_pairs" proves of the layer without it,
whose data begin with "pairs_". To a replica at most m = min(G, floor(G T / w)) GPUs may send their
part w / G of an expert's load w, so that the expert has at least c = ceil(G / m) replicas.

With n of them it is served on the senders' own nodes for at most g(n) GPUs. Under nearest copy only
a node with a replica serves its own, so that g(n) adds up the n largest nodes. Under rank modulo a
replica serves every n-th sender, and those of a node are neighbours: it has at most ceil(h / n) of
a node with h GPUs, and g(n) = n ceil(h / n) for the largest node, at most G.

As all replicas together fill the s slots, for any price d >= 0 of a slot what is served on its own
node is at most s d + sum of max over n >= c of (w g(n) - d n), in GPUs' parts of loads. So

    objective >= T / mean + price x (1 - that sum / (G x total)).

The levels, in parts of `scale` of the total, cut the range of T into pieces, each with a price d.
On a piece T counts as at its beginning and c as at its end. A piece holds no plan where the c are
more than the slots, or more crosses nodes than the topology allows.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from eplb_opt.certificates import sender_pairs
from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.flat_layer import apart_from_pairs
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

#: No certificate needs more pieces.
MAX_LEVELS = 128
#: More counts of an expert are not looked at: with more replicas it is served anywhere.
MOST_COUNTS = 1024
#: Units of work for an expert on one piece, and for a count of which it is seen if it matters.
COUNT_UNITS = 40


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again as the module describes.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    if problem.topology is None or not problem.splits_by_sender:
        raise CertificateError("crossing is of a problem with a topology whose GPUs send.")
    problem = problem.without_lost_gpus() or problem
    proven, data = _flat_bound(problem, certificate.data)
    levels, prices, scale = _read(data)
    total = sum(problem.load[0].tolist())
    if not total:
        if certificate.bound > 1:
            raise CertificateError("a layer without load is worth 1.")
        return certificate.bound
    # What rounding of the loads may have taken lowers the bound in proportion at most.
    lacking = int(problem.rounded[0]) * problem.num_experts
    claim = certificate.bound * Fraction(total + lacking, total)
    layer = _Layer(problem)
    first = Fraction(levels[0] * total, scale)
    is_proven = first * layer.gpus <= total or first <= proven
    if not is_proven and not layer.needs_more_slots(first):
        raise CertificateError("the first level is above what the load alone proves.")
    ends = [Fraction(level * total, scale) for level in levels]
    for i, (begin, end) in enumerate(zip(ends, [*ends[1:], None], strict=True)):
        alone = begin * layer.gpus / total
        if alone >= claim:
            return certificate.bound
        if i == len(prices):
            raise CertificateError("a piece has no price of a slot.")
        crossed = layer.least_crossing(end, prices[i], scale)
        if crossed is None or crossed > layer.limit:
            continue
        if alone + layer.price * crossed < claim:
            raise CertificateError(f"the piece from level {levels[i]} on is below the bound.")
    return certificate.bound


def _flat_bound(
    problem: Problem, data: dict[str, int | list[int]]
) -> tuple[Fraction, dict[str, int | list[int]]]:
    """What the data prove of the load alone, 0 for nothing; and the rest of the data."""
    of_pairs, rest = apart_from_pairs("sender_pairs", data)
    if of_pairs is None:
        return Fraction(0), rest
    if problem.topology is not None and problem.topology.nodes is not None:
        raise CertificateError("sender_pairs is for nodes that are alike.")
    return sender_pairs.verify(problem.flat(), of_pairs), rest


def _read(data: dict[str, int | list[int]]) -> tuple[list[int], list[int], int]:
    levels, prices, scale = data.get("levels"), data.get("prices"), data.get("scale")
    is_known = set(data) == {"levels", "prices", "scale"}
    if not (is_known and isinstance(levels, list) and isinstance(prices, list)):
        raise CertificateError("crossing has the lists levels and prices, and the number scale.")
    if not isinstance(scale, int) or scale < 1 or not 1 <= len(levels) <= MAX_LEVELS:
        raise CertificateError(f"crossing has 1 to {MAX_LEVELS} levels and a scale above 0.")
    if levels[0] < 1 or any(low >= high for low, high in pairwise(levels)):
        raise CertificateError("levels must be above 0 and ascend.")
    if len(prices) > len(levels) or min(prices, default=0) < 0:
        raise CertificateError("prices are at least 0, one a level at most.")
    return levels, prices, scale


class _Layer:
    """One layer: its loads, GPUs and slots."""

    def __init__(self, problem: Problem) -> None:
        if problem.topology is None:
            raise CertificateError("crossing is of a problem with a topology.")
        self.loads: list[int] = problem.load[0].tolist()
        self.total = sum(self.loads)
        self.gpus, self.slots = problem.num_gpus, problem.num_slots
        self.price = problem.topology.exact_price
        self.limit = problem.topology.most_off_home
        self.sizes = _sizes_of_nodes(problem)
        self.is_nearest = problem.dispatch == "nearest"
        self.served_by = self._served_by()
        self.corners: dict[int, list[int]] = {}

    def needs_more_slots(self, level: Fraction) -> bool:
        """Whether every plan's largest load is at least the level, as the slots are too few."""
        needed = 0
        for w in self.loads:
            # Below the level fewer than this may share a replica.
            shared = min(-(-level * self.gpus // w) - 1, self.gpus) if w else self.gpus
            if shared < 1:
                return True
            needed += -(-self.gpus // int(shared))
        return needed > self.slots

    def at_hand(self, count: int) -> int:
        """The most GPUs that a number of replicas serve on their own nodes."""
        if count > MOST_COUNTS:
            return self.gpus
        if self.is_nearest:
            return sum(self.sizes[:count])
        return min(count * -(-self.sizes[0] // count), self.gpus)

    def least_crossing(self, end: Fraction | None, price: int, scale: int) -> Fraction | None:
        """The least share that crosses for loads up to `end`; None where no plan has that load.

        The price of a slot is in parts of `scale` of the total.
        """
        spend(COUNT_UNITS * len(self.loads))
        fewest = self._fewest(end)
        if sum(fewest) > self.slots:
            return None
        slot, most = price * self.total, len(self.served_by)
        served = self.slots * slot
        for w, count in zip(self.loads, fewest, strict=True):
            # Beyond `most` a further replica serves nobody: its count costs slots alone.
            first, own = min(count, most), w * scale
            served += max(own * self.served_by[n - 1] - slot * n for n in self._corners(first))
            served -= slot * (count - first)
        return max(1 - Fraction(served, scale * self.gpus * self.total), Fraction(0))

    def _corners(self, first: int) -> list[int]:
        """Counts from one on of which one is best, whatever a slot costs: corners above g."""
        if first not in self.corners:
            spend(COUNT_UNITS * len(self.served_by))
            g, kept = self.served_by, [first]
            for n in range(first + 1, len(g) + 1):
                # The last one goes where it is not above the line between its neighbours.
                while len(kept) > 1 and (g[kept[-1] - 1] - g[kept[-2] - 1]) * (n - kept[-1]) <= (
                    g[n - 1] - g[kept[-1] - 1]
                ) * (kept[-1] - kept[-2]):
                    kept.pop()
                kept.append(n)
            self.corners[first] = kept
        return self.corners[first]

    def _served_by(self) -> list[int]:
        """The same of 1, 2, ... replicas, as many as an expert has, up to where all are served."""
        found: list[int] = []
        for count in range(1, self.slots - len(self.loads) + 2):
            found.append(self.at_hand(count))
            if found[-1] == self.gpus:
                break
        return found

    def _fewest(self, end: Fraction | None) -> list[int]:
        """The replicas that each expert has at least for loads up to `end`."""
        if end is None:
            return [1] * len(self.loads)
        top, bottom, gpus = end.numerator * self.gpus, end.denominator, self.gpus
        return [-(-gpus // min(max(top // (bottom * w), 1), gpus)) if w else 1 for w in self.loads]


def _sizes_of_nodes(problem: Problem) -> list[int]:
    """GPUs of each node, the largest first."""
    nodes = None if problem.topology is None else problem.topology.nodes
    if nodes is not None:
        return sorted((nodes.tolist().count(n) for n in range(problem.num_nodes)), reverse=True)
    size = -(-problem.num_gpus // problem.num_nodes)
    return [size] * (problem.num_nodes - 1) + [problem.num_gpus - size * (problem.num_nodes - 1)]
