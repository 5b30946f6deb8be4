"""Bounds of the largest GPU cost by weights that no GPU holds much of.

`certificates.cost_packing` has the proof: for a number of parts and a shift, every replica weighs a
whole number, a GPU within T holds at most as much as there are parts, and the least weight of all
replicas that fill the slots is found exactly. Here parts and shifts are tried in turn, and for a
pair that refutes the best bound so far the largest T that it refutes is found by halving. On the
way the least weight is bounded by a price on the slots, in floats; the exact one has the last word.

References
----------
S. P. Fekete and J. Schepers, "New classes of fast lower bounds for bin packing problems",
Mathematical Programming 91, 2001: weights of this kind, "dual feasible functions".
"""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds import costs
from eplb_opt.bounds.bounds import Bound
from eplb_opt.certificates.certificate import Certificate
from eplb_opt.solver import Answer, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options, Task

#: The name of the bound, and the kind of its certificate.
SOURCE = "cost_packing"
#: Numbers of parts that are tried, and shifts in eighths of the least cost.
PARTS = range(1, 64)
SHIFTS = (8, 0, 4, 2, 6, 7)
#: Halvings that find the largest level which a pair refutes: to 1 / 4096 of what is in question.
HALVINGS = 12
#: Steps of the search for the price of a slot.
PRICE_STEPS = 12
#: A priced weight must exceed what GPUs hold by so much to be taken for more.
DOUBT = 1e-6
#: Weighings for one unit of effort; each takes about half a millisecond for 256 experts.
WEIGHINGS_PER_EFFORT = 2


class CostPackingSolver:
    """Raises the bound of one layer with costs, pair by pair.

    Parameters
    ----------
    problem
        A problem of one layer with costs.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.tried = 0
        self.weighed = 0

    @cached_property
    def cost(self) -> np.ndarray:
        """The cost of each of c = 1, 2, ... replicas of an expert, int64 [num_experts, most]."""
        return np.asarray(self.problem.replica_cost[0, :, 1:])

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Numbers of parts and shifts, few parts first."""
        least = int(self.cost.min())
        shifts = list(dict.fromkeys(least * eighths // 8 for eighths in SHIFTS))
        return list(product(PARTS, shifts))

    def solve(self, task: Task) -> Answer:
        """Try pairs until the turn ends; a later turn goes on with the next pair."""
        size = self.cost.size * self.cost.shape[1]
        if size > costs.MAX_SUMS // 100:
            return Answer(verdict=Verdict.REFUSED, reason=f"is too large: {size} sums a total")
        known, upper = int(task.lower_bound), int(task.objective)
        last = self.weighed + WEIGHINGS_PER_EFFORT * (task.effort or 0)
        found: Certificate | None = None
        while self.tried < len(self.pairs) and known < upper:
            if task.deadline.expired if task.effort is None else self.weighed >= last:
                return _answer(found, Verdict.AGAIN)
            parts, shift = self.pairs[self.tried]
            self.tried += 1
            if not self.may_refute(known, parts, shift):
                continue
            level = self._largest_refuted(known, upper, parts, shift)
            if self.refutes(level, parts, shift):
                known = level + 1
                data: dict[str, int | list[int]] = {"parts": parts, "shift": shift}
                found = Certificate(SOURCE, Fraction(known), data)
        return _answer(found, Verdict.FINISHED)

    def _largest_refuted(self, low: int, high: int, parts: int, shift: int) -> int:
        """A level that the pair may refute, from `low` on, which it may; `high` is reached."""
        for _ in range(HALVINGS):
            if high - low <= 1:
                break
            middle = (low + high) // 2
            if self.may_refute(middle, parts, shift):
                low = middle
            else:
                high = middle
        return low

    def may_refute(self, level: int, parts: int, shift: int) -> bool:
        """Whether the weights of a pair seem to show that no plan keeps every GPU at `level`."""
        self.weighed += 1
        together = self._weights(level, parts, shift)
        if together is None:
            return False
        weights = np.where(together < costs.NEVER - 1, together, np.inf)
        return _priced(weights, self.num_slots, parts * self.num_gpus) > 0

    def refutes(self, level: int, parts: int, shift: int) -> bool:
        """Whether no plan keeps every GPU at `level` or below, as the weights of a pair show.

        Parameters
        ----------
        level
            A largest GPU cost.
        parts, shift
            What a GPU's weight is limited to, and what is taken off every cost first.
        """
        together = self._weights(level, parts, shift)
        if together is None:
            return False
        total = int(costs.exact_totals(together[None])[-1][0, -1])
        return total > parts * self.num_gpus

    def _weights(self, level: int, parts: int, shift: int) -> np.ndarray | None:
        """What all of c replicas weigh together, int64 [num_experts, most]; None without room."""
        slots = self.problem.open_slots
        room = level - int(slots[slots > 0].min()) * shift
        if room <= 0:
            return None
        above = self.cost - shift
        weight = np.maximum(-(-(parts + 1) * above // room) - 1, 0)
        together = weight * np.arange(1, self.cost.shape[1] + 1)
        return np.where(above <= room, together, costs.NEVER - 1)

    @property
    def num_gpus(self) -> int:
        """GPUs that hold an expert."""
        return int((self.problem.open_slots > 0).sum())

    @property
    def num_slots(self) -> int:
        """Slots that hold an expert."""
        return int(self.problem.open_slots.sum())


def _priced(weights: np.ndarray, num_slots: int, held: int) -> float:
    """By how much the least weight of all slots exceeds what GPUs hold, at least; 0 for not at all.

    For any price p of a slot, all replicas weigh at least sum_e min_c (weight - p c) plus p times
    the slots. The price goes up while too few slots are taken, and down while too many are.
    """
    copies = np.arange(1, weights.shape[1] + 1)
    most = float(weights[np.isfinite(weights)].max(initial=0.0))
    low, high = -most, most
    for _ in range(PRICE_STEPS):
        price = (low + high) / 2
        reduced = weights - price * copies
        at = reduced.argmin(axis=1)
        least = float(reduced[np.arange(len(at)), at].sum()) + price * num_slots
        if least > held + DOUBT:
            return least - held
        taken = int(copies[at].sum())
        if taken == num_slots:
            break
        low, high = (price, high) if taken < num_slots else (low, price)
    return 0.0


def _answer(found: Certificate | None, verdict: Verdict) -> Answer:
    if found is None:
        return Answer(verdict=verdict)
    return Answer(bound=Bound(found.bound, SOURCE), certificate=found, verdict=verdict)
