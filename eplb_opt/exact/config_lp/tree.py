"""Branching on counts, where the configuration LP mixes the counts of a heavy expert.

The LP takes a heavy expert with 8 replicas in some patterns and with 9 in others; a plan has one
count. A node of the tree allows a range of counts, and its two children the lower and the higher
counts of one expert in that range. Every plan has its counts in one leaf, so the least bound of the
leaves is a bound of the layer; the leaf with that bound is split next (best-first search).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import inf, sqrt
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.config_lp import least_load
from eplb_opt.core import config_lp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.exact.config_lp.target import CountRange, TargetLp

#: The bisection ends when the gap above its lower end is at most this times the gap above the load
#: at which the LP is known to be feasible.
CLOSE = 1.25
#: The least load of mixed counts, in GPU loads, that is branched on; with less there is no gain.
MIN_MIXED = 0.01
#: `TreeNode.expert` of a leaf.
LEAF = -1


@dataclass(eq=False)
class TreeNode:
    """A node of the tree: the plans whose counts are in a range, and what is proven of them.

    Parameters
    ----------
    count_range
        The range of counts.
    bound
        A proven lower bound of these plans, in the problem's integer units.
    value
        The experts' values that prove the bound, [num_experts]; None where it is the mean, the
        water level, or a bound that the caller gave.
    open_at
        The least load at which the LP is known to be feasible; infinity before any is known.
    centre
        float64 [num_experts], the dual values to begin with, or None.
    taken
        float64 [num_experts, num_counts], how the LP mixes the counts of each expert at `open_at`.
    expert, count
        The split: `low` has at most that count of the expert, `high` more. The expert is LEAF in a
        leaf.
    low, high
        The two children, None in a leaf.
    """

    count_range: CountRange
    bound: Fraction
    value: list[int] | None = None
    open_at: float = inf
    centre: np.ndarray | None = None
    taken: np.ndarray | None = None
    expert: int = LEAF
    count: int = 0
    low: TreeNode | None = None
    high: TreeNode | None = None

    def split(self, expert: int, count: int) -> tuple[TreeNode, TreeNode]:
        """Make two children, which begin with what is proven here."""
        self.expert, self.count = expert, count
        count_ranges = self.count_range.below(expert, count), self.count_range.above(expert, count)
        self.low, self.high = (
            TreeNode(count_range, self.bound, self.value, centre=self.centre)
            for count_range in count_ranges
        )
        return self.low, self.high

    def preorder(self) -> Iterator[TreeNode]:
        """The node and all its descendants, parents first."""
        yield self
        if self.low is not None and self.high is not None:
            yield from self.low.preorder()
            yield from self.high.preorder()


@dataclass(eq=False)
class TargetBisection:
    """Raises the bound of one node by bisection between what is proven and what the LP allows.

    Parameters
    ----------
    targets
        The LP at one target load after the other.
    node
        The node whose bound is raised.
    lower, upper
        A proven bound that need not be proven again, and the largest GPU load of a plan.
    cap
        The load above which no bound is sought.
    tolerance
        The relative difference below which two loads count as equal.
    digits
        The bits of an average GPU's weight in the certificate.
    min_gain
        Where the LP is feasible this share above the bound, the node is left.
    begins_low
        Whether the first target is that one, just above the bound.
    """

    targets: TargetLp
    node: TreeNode
    lower: Fraction
    upper: Fraction
    cap: float
    tolerance: float
    digits: int
    min_gain: float
    begins_low: bool
    _has_asked_low: bool = False
    _low: float = 0.0
    _claims: list[tuple[float, list[int]]] = field(default_factory=list)

    def run(self) -> bool:
        """Bisect; False where the limits of time or work ended it."""
        self._low = float(max(self.node.bound, self.lower))
        while True:
            if self._is_done() and self._settle():
                return True
            target = self._next_target()
            verdict = self.targets.decide(target, self.node.count_range, self.node.centre)
            self.node.centre = self.targets.centre
            if verdict == config_lp.Verdict.OPEN:
                # The dual values prove something in any case, if less than the target.
                self._claim(target)
                self._settle()
                return False
            if verdict == config_lp.Verdict.FEASIBLE:
                self._open(target)
            else:
                self._claim(target)
                self._low = target

    def _is_done(self) -> bool:
        low, high = self._low, min(self.node.open_at, self.cap)
        if low >= self.cap * (1 - self.tolerance) or high - low <= self.tolerance * high:
            return True
        upper = float(self.upper)
        return upper - low <= CLOSE * (upper - high)

    def _next_target(self) -> float:
        low, upper = self._low, float(self.upper)
        top, near = self.cap * (1 - self.tolerance / 2), low * (1 + self.min_gain)
        is_first = self.node.open_at >= self.cap
        if is_first and (self._has_asked_low or not self.begins_low):
            # Most children hold no plan as good as the one that is known.
            return top
        if not self._has_asked_low and near < min(self.node.open_at, top):
            # Where the LP is feasible just above the bound, it cannot raise it.
            self._has_asked_low = True
            return near
        if is_first:
            return top
        return upper - sqrt((upper - low) * max(upper - self.node.open_at, 0.0))

    def _open(self, target: float) -> None:
        self.node.open_at = target
        self.node.taken = self.targets.counts()

    def _claim(self, target: float) -> None:
        digits, targets = self.digits, self.targets
        self._claims.append((target, rounded(targets.centre, targets.num_gpus, digits)))

    def _settle(self) -> bool:
        """Raise the bound to what the last claim proves; whether it proved all of it.

        Floats may have claimed more than integers can prove; then an earlier claim may hold.
        """
        targets, node = self.targets, self.node
        count_range = node.count_range.low.tolist(), node.count_range.high.tolist()
        is_first = True
        while self._claims:
            target, value = self._claims.pop()
            shape = targets.load, targets.num_slots, targets.num_gpus
            try:
                proven = least_load(*shape, value, Fraction(target), count_range)
            except CertificateError:
                proven = Fraction(0)
            if proven > node.bound:
                node.bound, node.value = proven, value
            if float(proven) >= target * (1 - self.tolerance):
                break
            is_first = False
        self._claims.clear()
        self._low = float(max(node.bound, self.lower))
        if not is_first:
            # Nothing is provable above it.
            self._open(min(node.open_at, self.cap, target))
        return is_first


def rounded(value: np.ndarray, num_gpus: int, digits: int) -> list[int]:
    """Dual values as integers, [num_experts]; an average GPU weighs about 2**digits."""
    scale = 2.0**digits * num_gpus / max(float(value.sum()), 1e-300)
    return [int(v) for v in np.floor(np.maximum(value, 0) * scale)]


def branching(load: np.ndarray, taken: np.ndarray, target: float) -> tuple[int, int] | None:
    """The expert and count to branch on, or None where the LP mixes no counts of enough load.

    The expert is the one whose replicas differ most from their mean size, taken together.

    Parameters
    ----------
    load
        int64 [num_experts], the loads in the problem's integer units.
    taken
        float64 [num_experts, num_counts], how the LP mixes the counts of each expert.
    target
        The load of a GPU.
    """
    share = taken / np.maximum(taken.sum(axis=1, keepdims=True), 1e-300)
    count = np.arange(taken.shape[1])
    mean = (share * count).sum(axis=1)
    mixed = load * (share * np.abs(count - mean[:, None])).sum(axis=1) / np.maximum(mean, 1)
    expert = int(mixed.argmax())
    return (expert, int(mean[expert])) if mixed[expert] > MIN_MIXED * target else None
