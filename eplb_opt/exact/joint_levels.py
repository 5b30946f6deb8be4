"""The least that one count vector lets all scenarios be worth together, with its certificate.

A plan's worth in scenario r is at least 1 and at least its largest replica w_re / c_e over the mean
load m_r. All scenarios share the counts, so the objective is at least

    min_c  sum_r share_r max(1, max_e w_re / (c_e m_r))    with  sum_e c_e = slots.

It says more than each scenario's own bound: experts that are heavy in different scenarios
compete for the same slots. In terms of levels t_r it is the least sum_r share_r t_r with
sum_e max_r ceil(w_re / (t_r m_r)) <= slots, which falls as the t rise: boxes of levels are divided,
the one of the least sum first, and in each box a level rises as far as the slots force it to
with the others at their highest. Some tens of boxes suffice for five recorded workloads.
All of this is in floats and finds only where to look; what is returned has been verified in
integers (`certificates.scenario_water`).
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

#: Replicas are counted with a load that is smaller by this part, and levels set lower by the other,
#: so that floats err to the safe side and the exact check agrees.
DOUBT = 1e-11
LOWERED = 1e-9
#: What the claim is below the value found.
CLAIM_LOWERED = 1e-8
#: The least rise of a level that is worth an entry.
PROGRESS = 1e-7


@dataclass(frozen=True)
class ScenarioWaterParams:
    """Settings of the search for the joint level.

    Parameters
    ----------
    max_boxes
        Boxes divided at most; what the best-first search has reached by then is the claim.
    max_parts
        Entries of the certificate at most.
    """

    max_boxes: int = 5_000
    max_parts: int = 50_000


@dataclass(frozen=True, eq=False)
class JointLevels:
    """The relaxation in floats.

    Parameters
    ----------
    ratio
        float64 [num_scenarios, num_experts], w_re / m_r.
    share, least
        float64 [num_scenarios], weight and smallest level.
    num_slots
        To share out.
    fewest
        Replicas that every expert has.
    """

    ratio: np.ndarray
    share: np.ndarray
    least: np.ndarray
    num_slots: int
    fewest: int

    @cached_property
    def levels(self) -> list[np.ndarray]:
        """Where a scenario's level can lie, ascending: its least, and the replicas above it."""
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

    def worth(self, level: np.ndarray) -> float:
        """The weighted mean of the levels."""
        return float(self.share @ level)

    def common_level(self) -> tuple[float, float]:
        """A level for all scenarios that does not fit, and one close above it that does.

        They are equal where the largest of the least levels fits already.
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
        """The highest levels of a box at which the worth is not above `below`."""
        return np.asarray(np.minimum(high, low + (below - self.worth(low)) / self.share))

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
        """The scenario whose levels differ most in worth, and their middle."""
        r = int((self.share * (top - low)).argmax())
        return r, float(low[r] + top[r]) / 2


def scenario_water(
    problem: Problem, deadline: Deadline, params: ScenarioWaterParams | None = None
) -> Certificate | None:
    """A verified bound of one layer with scenarios, or None where there is none above the least.

    Parameters
    ----------
    problem
        Of one layer, with scenarios.
    deadline
        The search ends by then; a bound that it has not verified is lost.
    params
        Settings.
    """
    params = params or ScenarioWaterParams()
    joint, constant = joint_levels(problem)
    if joint is None:
        return None
    if problem.objective == "max":
        low, high = joint.common_level()
        return checked(problem, low, Fraction(0), [-1], [0]) if low < high else None
    value = _least_worth(joint, deadline, params)
    claim = value * (1 - CLAIM_LOWERED)
    if claim <= joint.worth(joint.least):
        return None
    tree = Division(joint, claim * (1 + LOWERED / 10), params.max_parts, deadline)
    if not tree.refute(joint.least, np.full(len(joint.share), np.inf)):
        return None
    return checked(problem, claim, constant, tree.scenario, tree.level)


def joint_levels(problem: Problem) -> tuple[JointLevels | None, Fraction]:
    """The relaxation, None without load; and what scenarios without load are worth in a mean."""
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


def _least_worth(joint: JointLevels, deadline: Deadline, params: ScenarioWaterParams) -> float:
    """The relaxation's least worth, or what no plan falls below when the search ends early."""
    common = joint.common_level()[1]
    below = joint.worth(np.full(len(joint.share), common)) * (1 + PROGRESS)
    number = count()
    everything = np.full(len(joint.share), np.inf)
    first = joint.raised(joint.least, everything, below)
    if first is None:
        return below
    boxes = [(joint.worth(first), next(number), first, everything)]
    while boxes:
        worth, index, low, high = heapq.heappop(boxes)
        top = joint.top(low, high, below)
        fits = joint.fit(low * (1 + DOUBT))
        if fits or index > params.max_boxes or deadline.expired:
            return worth
        r, middle = joint.widest(low, top)
        if joint.share[r] * (top[r] - low[r]) < LOWERED * worth:
            return worth
        lower, upper = top.copy(), low.copy()
        lower[r], upper[r] = middle, middle
        for part_low, part_high in ((low, lower), (upper, top)):
            raised = joint.raised(part_low, part_high, below)
            if raised is not None:
                box = (joint.worth(raised), next(number), raised, part_high)
                heapq.heappush(boxes, box)
    return below


@dataclass(eq=False)
class Division:
    """The division of the space that refutes a claim, in preorder; see the verifier."""

    joint: JointLevels
    claim: float
    max_parts: int
    deadline: Deadline
    scenario: list[int] = field(default_factory=list)
    level: list[int] = field(default_factory=list)

    def refute(self, low: np.ndarray, high: np.ndarray) -> bool:
        """Write the division of a box; False when it grows too large."""
        low = low.copy()
        while not self._is_refuted(low, high):
            if len(self.scenario) > self.max_parts or self.deadline.expired:
                return False
            top = self.joint.top(low, high, self.claim)
            if self._raise_one(low, high, top):
                continue
            leaf = self.refuted_otherwise(top)
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

    def refuted_otherwise(self, top: np.ndarray) -> int | None:
        """An entry that refutes a part with these highest levels, where there are other means."""
        return None

    def _is_refuted(self, low: np.ndarray, high: np.ndarray) -> bool:
        top = self.joint.top(low, high, self.claim)
        return bool((top <= low).any()) or not self.joint.fit(top)

    def _raise_one(self, low: np.ndarray, high: np.ndarray, top: np.ndarray) -> bool:
        """Cut off the levels of one scenario that the slots forbid; whether there are any."""
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
    """The level as the certificate holds it."""
    return floor(level * LEVELS_PER_UNIT) / LEVELS_PER_UNIT


def checked(
    problem: Problem,
    value: float,
    constant: Fraction,
    scenario: list[int],
    level: list[int],
    pairs: list[int] | None = None,
) -> Certificate | None:
    """The certificate of about that value, if it holds."""
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
