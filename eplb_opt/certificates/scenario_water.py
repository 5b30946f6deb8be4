"""Verification of kinds "scenario_water" and "scenario_pairs": no plan serves all loads that well.

Let t_r be a plan's largest GPU load of scenario r over the scenario's mean m_r. Some GPU carries
the mean, so t_r is at least 1; and some GPU carries the largest replica, so under t_r < h_r an
expert has more than w_re / (h_r m_r) replicas. One plan has one count of each expert: where

    sum_e max_r (floor(w_re / (h_r m_r)) + 1) > slots

no plan has t_r < h_r for all r together. A plan below the claim B has sum_r share_r t_r < B, or
with objective "max" every t_r < B.

The certificate divides the space of the t: in preorder each entry names a scenario r and a level v,
for the parts t_r < v and t_r >= v, in this order; -1 is a part that is left whole. Each of those
must be refuted: by the inequality above, or because its least weighted mean reaches B.

With at most two slots a GPU a part can also be refuted by values v_e >= 0, one list of them for
all experts; -2 - i names the i-th list. Let a replica of e weigh ceil(v_e / c) when e has c: then
some GPU carries at least W = ceil(sum_e v_e / GPUs). Where no one or two replicas that stay below
every h_r m_r together weigh W, no plan is in the part. Counts range from the fewest above to
what the others' fewest leave of the slots.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

#: Levels are multiples of 1 over this.
LEVELS_PER_UNIT = 2**40
#: The most entries of a certificate, for the time that they take.
MAX_PARTS = 200_000
#: The most replicas to choose from (experts times counts), for their memory.
MAX_CHOICES = 100_000
#: Sizes are rounded down to multiples of 1 over this of what a GPU may carry.
SIZES_PER_LEVEL = 2**50
#: The cost of a part, and of an expert in a scenario, in units of work.
PART_UNITS, EXPERT_UNITS = 2_000, 5
#: The values of a list add up to less than this.
MAX_VALUES = 2**60

#: The least value of every t_r in a part, and the value that it stays below.
Part = tuple[tuple[Fraction, ...], tuple[Fraction, ...]]


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again in integers as the module describes.

    Rules of nodes, co-location and single GPUs only forbid plans, so the bound holds under them
    too. However tokens are split, some replica carries at least w / c: so a certificate without
    lists of values holds under any dispatch.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    if not problem.has_scenarios:
        raise CertificateError("scenario_water is of a problem with scenarios.")
    scenario, level, lists = _read(certificate, problem.num_experts)
    if lists and problem.dispatch != "uniform":
        raise CertificateError("lists of values hold for the uniform split alone.")
    space = _Space(problem, certificate.bound)
    parts = [space.whole()]
    for r, v in zip(scenario, level, strict=True):
        if not parts:
            raise CertificateError("entries follow the last part.")
        part = parts.pop()
        spend(PART_UNITS + EXPERT_UNITS * problem.num_experts * len(space.share))
        if -len(lists) - 2 < r < 0:
            if not (
                space.is_refuted(part) or (r < -1 and space.pairs_weigh_less(part, lists[-2 - r]))
            ):
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
    """The space of the t_r of plans below the bound, over the scenarios with weight and load."""

    def __init__(self, problem: Problem, bound: Fraction) -> None:
        totals = [int(row[0].sum()) for row in problem.load]
        lacking = [problem.num_experts * int(row[0]) for row in problem.rounded]
        counted = [r for r, total in enumerate(totals) if total and problem.shares[r]]
        self.is_max = problem.objective == "max"
        empty = [s for s, total in zip(problem.shares, totals, strict=True) if not total]
        # The value of a scenario without load is 1, whatever the plan.
        self.bound = bound if self.is_max else bound - sum(empty, Fraction(0))
        self.share = [problem.shares[r] for r in counted]
        self.least = [Fraction(totals[r], totals[r] + lacking[r]) for r in counted]
        slots = problem.open_slots.tolist()
        fastest = max(s for s, n in zip(problem.speed, slots, strict=True) if n)
        means = [(totals[r] + lacking[r]) / problem.capacity for r in counted]
        #: A replica may be at most t_r times this.
        self.unit = [mean * fastest for mean in means]
        self.load = [problem.load[r, 0].tolist() for r in counted]
        self.num_slots = sum(slots)
        self.fewest = [1 if problem.spread is None else 2] * problem.num_experts
        self.gpu_slots = slots
        self.known: dict[tuple[int, Fraction], list[int]] = {}

    def whole(self) -> Part:
        top = max(self.bound, Fraction(1)) / min(self.share, default=Fraction(1))
        return tuple(self.least), (top + 1,) * len(self.share)

    def is_refuted(self, part: Part) -> bool:
        """Whether no plan below the bound is in the part."""
        top = self._top(part)
        if any(t <= low for t, low in zip(top, part[0], strict=True)):
            return True
        return bool(sum(self._fewest(top)) > self.num_slots)

    def pairs_weigh_less(self, part: Part, value: list[int]) -> bool:
        """Whether no GPU of a plan in the part can weigh what some GPU of every plan weighs."""
        if max(self.gpu_slots) > 2:
            raise CertificateError("lists of values are for two slots a GPU.")
        needed = -(-sum(value) // sum(1 for slots in self.gpu_slots if slots))
        top = self._top(part)
        fewest = np.array(self._fewest(top))
        spare = self.num_slots - int(fewest.sum())
        if len(fewest) * (spare + 1) > MAX_CHOICES:
            raise CertificateError(f"{len(fewest)} experts with {spare} spare slots are too many.")
        count = (fewest[:, None] + np.arange(spare + 1)).ravel()
        weight = -(-np.repeat(np.array(value, dtype=np.int64), spare + 1) // count)
        size = np.stack([self._sizes(r, t, spare) // count for r, t in enumerate(top)])
        order = np.argsort(-weight)
        return not _some_weigh(size[:, order], weight[order], needed)

    def _sizes(self, r: int, below: Fraction, spare: int) -> np.ndarray:
        """Loads as shares of what a GPU may carry, rounded down, repeated for every count."""
        most = below * self.unit[r]
        top, bottom = most.numerator, most.denominator
        sizes = [w * bottom * SIZES_PER_LEVEL // top for w in self.load[r]]
        return np.repeat(np.array(sizes, dtype=object), spare + 1)

    def _top(self, part: Part) -> list[Fraction]:
        """The value that each t_r of a plan in the part stays below."""
        least, below = part
        if self.is_max:
            return [min(v, self.bound) for v in below]
        mean = sum((s * v for s, v in zip(self.share, least, strict=True)), Fraction(0))
        triples = zip(self.share, least, below, strict=True)
        return [min(v, low + (self.bound - mean) / s) for s, low, v in triples]

    def _fewest(self, top: list[Fraction]) -> list[int]:
        needed = [self.fewest, *(self._needed(r, t) for r, t in enumerate(top))]
        return [max(counts) for counts in zip(*needed, strict=True)]

    def _needed(self, r: int, below: Fraction) -> list[int]:
        """The fewest replicas of each expert in a plan with t_r below a positive level."""
        if (r, below) not in self.known:
            most = below * self.unit[r]
            top, bottom = most.numerator, most.denominator
            self.known[r, below] = [w * bottom // top + 1 for w in self.load[r]]
        return self.known[r, below]


def _some_weigh(size: np.ndarray, weight: np.ndarray, needed: int) -> bool:
    """Whether one replica, or two that fit on a GPU together, weigh at least `needed`.

    Parameters
    ----------
    size
        [num_scenarios, num_choices], in units of 1 / SIZES_PER_LEVEL of what a GPU may carry.
    weight
        int64 [num_choices], the weight of each replica, descending.
    needed
        The weight to reach, in the same unit.
    """
    if weight[0] >= needed:
        return True
    size = np.minimum(size, SIZES_PER_LEVEL).astype(np.int64)
    for i in range(len(weight)):
        # Partners that are heavy enough come first, and none is looked at twice.
        last = int(np.searchsorted(-weight, weight[i] - needed, side="right"))
        if last <= i:
            return False
        if ((size[:, i : i + 1] + size[:, i:last]) < SIZES_PER_LEVEL).all(axis=0).any():
            return True
    return False


def _split(part: Part, r: int, level: Fraction) -> tuple[Part, Part]:
    """The two parts with t_r below the level, and at least at it."""
    least, below = part
    smaller = (*below[:r], min(below[r], level), *below[r + 1 :])
    larger = (*least[:r], max(least[r], level), *least[r + 1 :])
    return (least, smaller), (larger, below)


def _read(
    certificate: Certificate, num_experts: int
) -> tuple[list[int], list[int], list[list[int]]]:
    """The scenarios, the levels and the lists of values."""
    data = {"value": [], **certificate.data}
    if set(data) != {"scenario", "level", "value"}:
        raise CertificateError("wanted are the lists scenario and level, perhaps value, alone.")
    scenario, level, value = (data[name] for name in ("scenario", "level", "value"))
    if not (isinstance(scenario, list) and isinstance(level, list) and isinstance(value, list)):
        raise CertificateError("scenario, level and value are lists.")
    if len(scenario) != len(level) or len(scenario) > MAX_PARTS:
        raise CertificateError(f"scenario and level are of one length, at most {MAX_PARTS}.")
    lists = [value[first : first + num_experts] for first in range(0, len(value), num_experts)]
    if any(len(v) < num_experts or min(v) < 0 or sum(v) >= MAX_VALUES for v in lists):
        raise CertificateError(
            f"values are lists of {num_experts} integers from 0 on, not too large."
        )
    return scenario, level, lists
