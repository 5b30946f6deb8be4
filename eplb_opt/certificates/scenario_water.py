"""Verification of kind "scenario_water": one count vector cannot serve all scenarios that well.

Let t_r be a plan's largest GPU load of scenario r over the scenario's mean m_r. Some GPU carries
the mean, so t_r is at least 1; and some GPU carries the largest replica, so under t_r < h_r an
expert has more than w_re / (h_r m_r) replicas. One plan has one count of each expert: where

    sum_e max_r (floor(w_re / (h_r m_r)) + 1) > slots

no plan has t_r < h_r for all r together. A plan below the claim B has sum_r share_r t_r < B, or
with objective "max" every t_r < B.

The certificate divides the space of the t: in preorder each entry names a scenario r and a level v,
for the parts t_r < v and t_r >= v, in this order; -1 is a part that is left whole. Each of those
must be refuted: by the inequality above, or because its least weighted mean reaches B.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from eplb_opt.certificates.certificate import CertificateError

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem import Problem

#: Levels are multiples of one over it.
LEVELS_PER_UNIT = 2**40
#: Entries of a certificate; more are not worth the time.
MAX_PARTS = 200_000

#: What every t of a part is at least, and what it is below.
Part = tuple[tuple[Fraction, ...], tuple[Fraction, ...]]


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, re-proved in integers; see the module.

    Nodes, co-location and tied experts only forbid plans, so the bound holds for them too.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    if not problem.has_scenarios:
        raise CertificateError("scenario_water is of a problem with scenarios.")
    scenario, level = _read(certificate)
    space = _Space(problem, certificate.bound)
    parts = [space.whole()]
    for r, v in zip(scenario, level, strict=True):
        if not parts:
            raise CertificateError("entries follow the last part.")
        part = parts.pop()
        if r == -1:
            if not space.is_refuted(part):
                raise CertificateError(f"a part does not prove {certificate.bound}.")
            continue
        if not 0 <= r < len(space.share):
            raise CertificateError(f"there is no scenario {r} with weight and load.")
        below, above = _split(part, r, Fraction(v, LEVELS_PER_UNIT))
        parts += [above, below]
    if parts:
        raise CertificateError(f"{len(parts)} parts are not refuted.")
    return certificate.bound


class _Space:
    """What plans below the bound can be, scenario by scenario; those without weight or load not."""

    def __init__(self, problem: Problem, bound: Fraction) -> None:
        totals = [int(row[0].sum()) for row in problem.load]
        lacking = [problem.num_experts * int(row[0]) for row in problem.rounded]
        counted = [r for r, total in enumerate(totals) if total and problem.shares[r]]
        self.is_max = problem.objective == "max"
        empty = [s for s, total in zip(problem.shares, totals, strict=True) if not total]
        # A scenario without load is worth 1, whatever the plan.
        self.bound = bound if self.is_max else bound - sum(empty, Fraction(0))
        self.share = [problem.shares[r] for r in counted]
        self.least = [Fraction(totals[r], totals[r] + lacking[r]) for r in counted]
        slots = problem.open_slots.tolist()
        fastest = max(s for s, n in zip(problem.speed, slots, strict=True) if n)
        means = [(totals[r] + lacking[r]) / problem.capacity for r in counted]
        #: What w / c may be at most, over t.
        self.unit = [mean * fastest for mean in means]
        self.load = [problem.load[r, 0].tolist() for r in counted]
        self.num_slots = sum(slots)
        self.fewest = [1 if problem.spread is None else 2] * problem.num_experts
        self.known: dict[tuple[int, Fraction], list[int]] = {}

    def whole(self) -> Part:
        top = max(self.bound, Fraction(1)) / min(self.share, default=Fraction(1))
        return tuple(self.least), (top + 1,) * len(self.share)

    def is_refuted(self, part: Part) -> bool:
        """Whether no plan below the bound is in the part."""
        least, below = part
        if self.is_max:
            top = [min(v, self.bound) for v in below]
        else:
            mean = sum((s * v for s, v in zip(self.share, least, strict=True)), Fraction(0))
            spare = self.bound - mean
            triples = zip(self.share, least, below, strict=True)
            top = [min(v, low + spare / s) for s, low, v in triples]
            if spare <= 0:
                return True
        if any(t <= low for t, low in zip(top, least, strict=True)):
            return True
        needed = [self.fewest, *(self._needed(r, t) for r, t in enumerate(top))]
        total: int = sum(max(counts) for counts in zip(*needed, strict=True))
        return bool(total > self.num_slots)

    def _needed(self, r: int, below: Fraction) -> list[int]:
        """Fewest replicas of each expert with t_r below a level, positive."""
        if (r, below) not in self.known:
            most = below * self.unit[r]
            top, bottom = most.numerator, most.denominator
            self.known[r, below] = [w * bottom // top + 1 for w in self.load[r]]
        return self.known[r, below]


def _split(part: Part, r: int, level: Fraction) -> tuple[Part, Part]:
    """The parts below the level and from it on."""
    least, below = part
    smaller = (*below[:r], min(below[r], level), *below[r + 1 :])
    larger = (*least[:r], max(least[r], level), *least[r + 1 :])
    return (least, smaller), (larger, below)


def _read(certificate: Certificate) -> tuple[list[int], list[int]]:
    scenario, level = certificate.data.get("scenario"), certificate.data.get("level")
    is_pair = isinstance(scenario, list) and isinstance(level, list)
    if len(certificate.data) != 2 or not is_pair or len(scenario) != len(level):  # type: ignore[arg-type]
        raise CertificateError("scenario_water has two lists of one length, scenario and level.")
    if len(scenario) > MAX_PARTS:  # type: ignore[arg-type]
        raise CertificateError(f"more than {MAX_PARTS} entries are not looked at.")
    return scenario, level  # type: ignore[return-value]
