"""The joint level: a bound for several loads that share one vector of replica counts.

The value of a plan in scenario r is at least 1 and at least its largest replica w_re / c_e over the
mean load m_r. All scenarios share the counts, so the weighted mean is at least

    min_c  sum_r share_r max(1, max_e w_re / (c_e m_r))    with  sum_e c_e = slots.

It is above each scenario's own bound where experts that are heavy in different scenarios compete
for the same slots. In terms of levels t_r it is the least sum_r share_r t_r with
sum_e max_r ceil(w_re / (t_r m_r)) <= slots; the left side falls as the t rise. It is found by
branch and bound over boxes of levels, best first: in each box a level rises as far as the slots
force it to with the others at their highest. Some tens of boxes suffice for five recorded
workloads. The search computes in floats and only finds where to look; the certificate that is
returned has been verified in integers (`certificates.scenario_water`).

References
----------
A. H. Land and A. G. Doig, "An automatic method of solving discrete programming problems",
Econometrica 28, 1960.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import count
from math import floor
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates import verify
from eplb_opt.certificates.certificate import Certificate, CertificateError
from eplb_opt.certificates.scenario_water import LEVELS_PER_UNIT

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

#: Shares by which loads are taken smaller when replicas are counted, and by which levels are set
#: lower, so that floats err to the safe side and the exact check agrees.
DOUBT = 1e-11
LOWERED = 1e-9
#: The share by which the claim is below the value found.
CLAIM_LOWERED = 1e-8
#: The least relative rise of a level that makes an entry of the certificate.
PROGRESS = 1e-7


@dataclass(frozen=True)
class ScenarioWaterParams:
    """Settings of the search for the joint level.

    Parameters
    ----------
    max_boxes
        The most boxes that are divided; what the best-first search has reached by then is the
        claim.
    max_parts
        The most entries of the certificate.
    """

    max_boxes: int = 5_000
    max_parts: int = 50_000


@dataclass(frozen=True, eq=False)
class JointLevels:
    """The joint level as a problem in levels, computed in floats.

    Parameters
    ----------
    ratio
        float64 [num_scenarios, num_experts], loads over the mean GPU load, w_re / m_r.
    share, least
        float64 [num_scenarios], the weight and the smallest level of each scenario.
    num_slots
        The number of slots.
    fewest
        The fewest replicas of every expert.
    """

    ratio: np.ndarray
    share: np.ndarray
    least: np.ndarray
    num_slots: int
    fewest: int

    @cached_property
    def levels(self) -> list[np.ndarray]:
        """The levels that a scenario can have, ascending: its least and the replicas above it."""
        # More replicas of the heaviest are all below the least levels.
        most = min(self.num_slots, int(np.ceil(self.ratio.max() / self.least.min())))
        divided = self.ratio[:, :, None] / np.arange(1, most + 1)
        return [
            np.unique(np.append(values[values > least], least))
            for values, least in zip(divided.reshape(len(self.ratio), -1), self.least, strict=True)
        ]

    def fit(self, level: np.ndarray) -> bool:
        """Whether the slots suffice for replicas of at most these levels."""
        needed = np.ceil(self.ratio * ((1 - DOUBT) / level)[:, None]).max(axis=0)
        return bool(np.maximum(needed, self.fewest).sum() <= self.num_slots)

    def value(self, level: np.ndarray) -> float:
        """The weighted mean of the levels."""
        return float(self.share @ level)

    def common_level(self) -> tuple[float, float]:
        """A level for all scenarios that does not fit the slots, and one just above it that does.

        They are equal where the slots suffice at the largest of the least levels.
        """
        high = float(self.least.max())
        if self._fit_alike(high):
            return high, high
        low = high
        while not self._fit_alike(high):
            low, high = high, 2 * high
        while high - low > LOWERED / 10 * high:
            middle = (low + high) / 2
            low, high = (low, middle) if self._fit_alike(middle) else (middle, high)
        return low, high

    def _fit_alike(self, level: float) -> bool:
        return self.fit(np.full(len(self.share), level))

    def top(self, low: np.ndarray, high: np.ndarray, below: float) -> np.ndarray:
        """The highest level of each scenario in a box, with the weighted mean at most `below`."""
        return np.asarray(np.minimum(high, low + (below - self.value(low)) / self.share))

    def forced(self, low: np.ndarray, top: np.ndarray, r: int) -> float:
        """The least level of one scenario that fits with the others at the top."""
        values = self.levels[r]
        first, last = np.searchsorted(values, (low[r], top[r]))
        trial = top.copy()
        at_low, last = low[r], min(last, len(values))
        while first < last:
            middle = (first + last) // 2
            trial[r] = max(values[middle], at_low)
            if self.fit(trial):
                last = middle
            else:
                first = middle + 1
        forced = values[first] if first < len(values) else top[r]
        return float(min(max(forced, at_low), top[r]))

    def raised(self, low: np.ndarray, high: np.ndarray, below: float) -> np.ndarray | None:
        """The box's least levels as the slots force them; None for an empty box."""
        top = self.top(low, high, below)
        if (top < low).any() or not self.fit(top):
            return None
        return np.array([self.forced(low, top, r) for r in range(len(low))])

    def widest(self, low: np.ndarray, top: np.ndarray) -> tuple[int, float]:
        """The scenario whose levels change the weighted mean most, and the middle of them."""
        r = int((self.share * (top - low)).argmax())
        return r, float(low[r] + top[r]) / 2


def scenario_water(
    problem: Problem, deadline: Deadline, params: ScenarioWaterParams | None = None
) -> Certificate | None:
    """The certificate of the joint level of one layer; None where it proves no more than the least.

    Parameters
    ----------
    problem
        A problem of one layer, with scenarios.
    deadline
        The end of the search; a bound that is not verified by then is lost.
    params
        The settings of the model.
    """
    params = params or ScenarioWaterParams()
    joint, constant = joint_levels(problem)
    if joint is None:
        return None
    if problem.objective == "max":
        low, high = joint.common_level()
        return checked(problem, low, Fraction(0), [-1], [0]) if low < high else None
    value = _least_value(joint, deadline, params)
    claim = value * (1 - CLAIM_LOWERED)
    if claim <= joint.value(joint.least):
        return None
    tree = RefutationTree(joint, claim * (1 + LOWERED / 10), params.max_parts, deadline)
    if not tree.refute(joint.least, np.full(len(joint.share), np.inf)):
        return None
    return checked(problem, claim, constant, tree.scenario, tree.level)


def joint_levels(problem: Problem) -> tuple[JointLevels | None, Fraction]:
    """The problem in levels, None without load; and what scenarios without load add to a mean."""
    total = problem.load[:, 0].sum(axis=1)
    share = np.array([float(s) for s in problem.shares])
    empty = [s for s, w in zip(problem.shares, total.tolist(), strict=True) if not w]
    counted = (total > 0) & (share > 0)
    if not counted.any():
        return None, Fraction(0)
    lacking = np.where(problem.rounded[:, 0], problem.num_experts, 0)
    most = (total + lacking)[counted].astype(np.float64)
    used = zip(problem.speed, problem.open_slots.tolist(), strict=True)
    per_gpu = float(problem.capacity / max(speed for speed, slots in used if slots))
    joint = JointLevels(
        ratio=problem.load[counted, 0] / most[:, None] * per_gpu,
        share=share[counted],
        least=total[counted] / most,
        num_slots=int(problem.open_slots.sum()),
        fewest=1 if problem.spread is None else 2,
    )
    return joint, sum(empty, Fraction(0))


def _least_value(joint: JointLevels, deadline: Deadline, params: ScenarioWaterParams) -> float:
    """The least weighted mean of levels, or a lower bound of it when the search ends early."""
    common = joint.common_level()[1]
    below = joint.value(np.full(len(joint.share), common)) * (1 + PROGRESS)
    number = count()
    everything = np.full(len(joint.share), np.inf)
    first = joint.raised(joint.least, everything, below)
    if first is None:
        return below
    boxes = [(joint.value(first), next(number), first, everything)]
    while boxes:
        value, index, low, high = heapq.heappop(boxes)
        top = joint.top(low, high, below)
        fits = joint.fit(low * (1 + DOUBT))
        if fits or index > params.max_boxes or deadline.expired:
            return value
        r, middle = joint.widest(low, top)
        if joint.share[r] * (top[r] - low[r]) < LOWERED * value:
            return value
        lower, upper = top.copy(), low.copy()
        lower[r], upper[r] = middle, middle
        for part_low, part_high in ((low, lower), (upper, top)):
            raised = joint.raised(part_low, part_high, below)
            if raised is not None:
                box = (joint.value(raised), next(number), raised, part_high)
                heapq.heappush(boxes, box)
    return below


@dataclass(eq=False)
class RefutationTree:
    """A tree that divides the space of levels into parts none of which reaches a claim.

    Its entries are those of the certificate, in preorder (`certificates.scenario_water`).

    Parameters
    ----------
    joint
        The problem in levels.
    claim
        The weighted mean, or largest value, that every plan is to reach.
    max_parts
        The most entries.
    deadline
        The end of the work.
    scenario, level
        The entries so far: a scenario's number and a level in units of 1 / LEVELS_PER_UNIT.
    """

    joint: JointLevels
    claim: float
    max_parts: int
    deadline: Deadline
    scenario: list[int] = field(default_factory=list)
    level: list[int] = field(default_factory=list)

    def refute(self, low: np.ndarray, high: np.ndarray) -> bool:
        """Write the entries of a box; False when they grow too many or the time is over."""
        low = low.copy()
        while not self._is_refuted(low, high):
            if len(self.scenario) > self.max_parts or self.deadline.expired:
                return False
            top = self.joint.top(low, high, self.claim)
            if self._raise_one(low, high, top):
                continue
            leaf = self.other_refutation(top)
            if leaf is not None:
                self._note(leaf, 0.0)
                return True
            r, middle = self.joint.widest(low, top)
            level = _on_grid(middle)
            if not low[r] < level < top[r]:
                return False
            self._note(r, level)
            lower = high.copy()
            lower[r] = level
            if not self.refute(low, lower):
                return False
            low[r] = level
        self._note(-1, 0.0)
        return True

    def other_refutation(self, top: np.ndarray) -> int | None:
        """The entry of another proof that no plan stays below `top`; here there is none."""
        return None

    def _is_refuted(self, low: np.ndarray, high: np.ndarray) -> bool:
        top = self.joint.top(low, high, self.claim)
        return bool((top <= low).any()) or not self.joint.fit(top)

    def _raise_one(self, low: np.ndarray, high: np.ndarray, top: np.ndarray) -> bool:
        """Cut off the levels of each scenario that the slots forbid; whether there were any."""
        raised = False
        for r in range(len(low)):
            level = _on_grid(self.joint.forced(low, top, r) * (1 - LOWERED))
            lower = high.copy()
            lower[r] = level
            if level > low[r] * (1 + PROGRESS) and self._is_refuted(low, lower):
                self._note(r, level)
                self._note(-1, 0.0)
                low[r] = level
                top = self.joint.top(low, high, self.claim)
                raised = True
                if (top <= low).any():
                    break
        return raised

    def _note(self, r: int, level: float) -> None:
        self.scenario.append(r)
        self.level.append(floor(level * LEVELS_PER_UNIT))


def _on_grid(level: float) -> float:
    """The level as the certificate stores it, a multiple of 1 / LEVELS_PER_UNIT."""
    return floor(level * LEVELS_PER_UNIT) / LEVELS_PER_UNIT


def checked(
    problem: Problem,
    value: float,
    constant: Fraction,
    scenario: list[int],
    level: list[int],
    pairs: list[int] | None = None,
) -> Certificate | None:
    """The certificate of about that value, or None where the verifier refuses it."""
    claim = constant + Fraction(floor(value * LEVELS_PER_UNIT), LEVELS_PER_UNIT)
    data: dict[str, int | list[int]] = {"scenario": scenario, "level": level}
    kind = "scenario_water"
    if pairs is not None:
        kind, data["value"] = "scenario_pairs", pairs
    certificate = Certificate(kind, claim, data)
    try:
        verify(problem, certificate)
    except CertificateError:
        return None
    return certificate
