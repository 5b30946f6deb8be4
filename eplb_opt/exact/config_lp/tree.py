"""Branching on counts: where the configuration LP mixes counts of a heavy expert, it may not.

The LP takes a heavy expert with 8 copies in some patterns and with 9 in others. A node of the tree
allows some counts, its two children the lower and the higher ones among these. Every plan
has its counts in one leaf, so the least of the leaves' bounds is a bound; the leaf that has
it is split next.
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

    from eplb_opt.exact.config_lp.target import Targets, Window

#: Of what bound and LP leave to the plan; closer together they need not be.
CLOSE = 1.25
#: Load that counts are mixed of, in GPU loads; with less the LP only finds slots for crumbs.
MIN_MIXED = 0.01
#: `Node.expert` of a leaf.
LEAF = -1


@dataclass(eq=False)
class Node:
    """Plans with counts in a window, and what is proven of them.

    Parameters
    ----------
    window
        The counts.
    bound
        Proven of these plans.
    value
        What proves it, [num_experts]; None for mean, water level, and what the caller gave.
    open_at
        The least load known to leave the LP feasible; infinity before it is asked.
    centre
        Dual values to begin with, or None.
    taken
        How the LP divides each expert among its counts at `open_at`.
    expert, count
        What splits it: `low` has at most that count of the expert, `high` more.
    low, high
        The two parts, None for a leaf.
    """

    window: Window
    bound: Fraction
    value: list[int] | None = None
    open_at: float = inf
    centre: np.ndarray | None = None
    taken: np.ndarray | None = None
    expert: int = LEAF
    count: int = 0
    low: Node | None = None
    high: Node | None = None

    def split(self, expert: int, count: int) -> tuple[Node, Node]:
        """Two children, which begin with what is proven here."""
        self.expert, self.count = expert, count
        windows = self.window.below(expert, count), self.window.above(expert, count)
        self.low, self.high = (
            Node(window, self.bound, self.value, centre=self.centre) for window in windows
        )
        return self.low, self.high

    def preorder(self) -> Iterator[Node]:
        """The node and all below."""
        yield self
        if self.low is not None and self.high is not None:
            yield from self.low.preorder()
            yield from self.high.preorder()


@dataclass(eq=False)
class Climb:
    """Raises one node's bound: bisection between what is proven and what the LP allows.

    Parameters
    ----------
    targets
        The LP.
    node
        To be raised.
    lower, upper
        A proven bound that need not be proven again, and the largest load of a plan.
    cap
        No bound above it is sought.
    tolerance
        Relative; what is as close counts as equal.
    digits
        Bits of an average GPU's weight in the certificate.
    min_gain
        Where the LP is feasible so little above the bound, it is left.
    begins_low
        Whether to ask that first.
    """

    targets: Targets
    node: Node
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
        """Whether it came to an end; else the budget is spent."""
        self._low = float(max(self.node.bound, self.lower))
        while True:
            if self._is_done() and self._settle():
                return True
            target = self._next_target()
            verdict = self.targets.decide(target, self.node.window, self.node.centre)
            self.node.centre = self.targets.centre
            if verdict == config_lp.Verdict.OPEN:
                # The values prove something in any case, if less than the target.
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
            # Who is to blame? Where the LP is feasible just above the bound, it cannot help.
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

        Floats may have said more than integers can prove; then an earlier claim may serve.
        """
        targets, node = self.targets, self.node
        window = node.window.low.tolist(), node.window.high.tolist()
        is_first = True
        while self._claims:
            target, value = self._claims.pop()
            shape = targets.load, targets.num_slots, targets.num_gpus
            try:
                proven = least_load(*shape, value, Fraction(target), window)
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
            # Nothing is provable up there.
            self._open(min(node.open_at, self.cap, target))
        return is_first


def rounded(value: np.ndarray, num_gpus: int, digits: int) -> list[int]:
    """Dual values as integers; an average GPU weighs about 2**digits."""
    scale = 2.0**digits * num_gpus / max(float(value.sum()), 1e-300)
    return [int(v) for v in np.floor(np.maximum(value, 0) * scale)]


def branching(load: np.ndarray, taken: np.ndarray, target: float) -> tuple[int, int] | None:
    """The expert and count to split at, or None where the LP mixes no counts that matter.

    The expert is the one whose replicas differ most in size, all of them together.

    Parameters
    ----------
    load
        int64 [num_experts].
    taken
        float64 [num_experts, num_counts], how the LP divides each expert among its counts.
    target
        Load of a GPU.
    """
    share = taken / np.maximum(taken.sum(axis=1, keepdims=True), 1e-300)
    count = np.arange(taken.shape[1])
    mean = (share * count).sum(axis=1)
    mixed = load * (share * np.abs(count - mean[:, None])).sum(axis=1) / np.maximum(mean, 1)
    expert = int(mixed.argmax())
    return (expert, int(mean[expert])) if mixed[expert] > MIN_MIXED * target else None
