"""Verification of kind "pairs": no plan with two slots a GPU has a largest load of at most T.

Older files call the kind "k2".

Call a replica s = w/c big when 2 s > T, with key s, and small otherwise, with key T - s. In a plan
of at most T no two big replicas share a GPU, and the small one that stands with a big one of key s
has a key of at least s. So, for any threshold, among the replicas with a key of at least it

    (number of small ones) - (number of big ones) >= 0.

An option is an expert with a count c; it adds a = +c or -c to this sum where its key is among
them, else 0. An expert needs c >= ceil(w/T), and has at most what the others' fewest leave.

Of the options that are left let m_e be the least a of expert e, and need = -sum_e m_e. Then
sum_e (a_e - m_e) >= need, all terms at least 0. This still holds after each term is cut to
gain_e = min(a_e - m_e, need): either nothing was cut, or one term alone is the need. For prices
y >= 0 of such rows, the replicas of any plan made of these options number at least

    V = sum_rows y need + sum_e min_options (c - sum_rows y gain),

and at least V + excess with an option that costs `excess` more than its expert's cheapest. So V
above the slots closes a node; otherwise options with V + excess above the slots are struck off. A
node that stays open splits one expert's counts in two. All leaves closed, no plan of at most T is
left.

A plan's largest load is w/c + v/d with counts c, d of at most M = slots - experts + 1. Were it
above T and below p/q, then p/q - T would exceed 1/(q M^2); so where it does not, p/q is a bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

LISTS = ("rounds", "expert", "count", "entries", "threshold", "multiplier")
NUMBERS = ("level", "scale", "digits")
#: Prices times replicas, added up over thresholds and experts as int64, stay below this.
INT64_ROOM = 2**62
#: The most nodes, and the most rounds, of a certificate, for the time that they take.
MAX_STEPS = 100_000
#: The most options times thresholds of a round, for their memory.
MAX_CELLS = 20_000_000
#: The cost of a round, and of an option at a threshold, in units of work.
ROUND_UNITS, CELL_UNITS = 2_000, 5


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again in integers as the module describes.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    if problem.slots_per_gpu != 2:
        raise CertificateError(f"pairs is for 2 slots a GPU, not {problem.slots_per_gpu}.")
    numbers, lists = _read(certificate)
    load = [int(w) for w in problem.load[0]]
    level, scale, digits = numbers
    tree = _TreeCheck(load, problem.num_slots, level, scale, digits, _rounds(lists))
    tree.close(iter(zip(lists["rounds"], lists["expert"], lists["count"], strict=True)))
    return _claim(problem, certificate.bound, Fraction(level, scale))


def _claim(problem: Problem, bound: Fraction, level: Fraction) -> Fraction:
    most = problem.num_slots - problem.num_experts + 1
    if bound - level > Fraction(1, bound.denominator * most**2):
        raise CertificateError(f"the tree proves more than {level}, but not {bound}.")
    return bound


def _read(certificate: Certificate) -> tuple[list[int], dict[str, list[int]]]:
    data = certificate.data
    if set(data) != {*LISTS, *NUMBERS}:
        raise CertificateError(f"pairs has {', '.join(NUMBERS + LISTS)}; found {', '.join(data)}.")
    numbers = [value for name in NUMBERS if isinstance(value := data[name], int)]
    lists = {name: value for name in LISTS if isinstance(value := data[name], list)}
    if len(numbers) < len(NUMBERS) or len(lists) < len(LISTS):
        raise CertificateError("pairs has a number where a list should be, or the reverse.")
    if min(numbers) < 1 or min([*lists["multiplier"], *lists["entries"], *lists["rounds"], 0]) < 0:
        raise CertificateError("pairs has a level, scale, price or length that is too small.")
    if max(len(lists["rounds"]), len(lists["entries"])) > MAX_STEPS:
        raise CertificateError(f"pairs has more than {MAX_STEPS} nodes or rounds.")
    if len({len(lists[name]) for name in ("rounds", "expert", "count")}) > 1:
        raise CertificateError("pairs has lists of nodes that differ in length.")
    if len(lists["threshold"]) != len(lists["multiplier"]):
        raise CertificateError("pairs has not as many thresholds as multipliers.")
    return numbers, lists


def _rounds(lists: dict[str, list[int]]) -> Iterator[tuple[list[int], list[int]]]:
    """The thresholds and prices of each round."""
    begin = 0
    for entries in lists["entries"]:
        end = begin + entries
        if end > len(lists["threshold"]):
            break
        yield lists["threshold"][begin:end], lists["multiplier"][begin:end]
        begin = end


@dataclass(eq=False)
class _Options:
    """The options that are left, sorted by expert.

    Parameters
    ----------
    expert, count, change
        int64 [num_options], the expert, its count, and what it adds to a sum (+count or -count).
    key
        int64 or object [num_options], in units of 1 / scale, rounded so that no plan is lost.
    """

    expert: np.ndarray
    count: np.ndarray
    change: np.ndarray
    key: np.ndarray

    def keep(self, mask: np.ndarray) -> _Options:
        return _Options(self.expert[mask], self.count[mask], self.change[mask], self.key[mask])


@dataclass(eq=False)
class _TreeCheck:
    """Checks the tree node by node, for T = level / scale and prices in units of 1 / digits."""

    load: list[int]
    num_slots: int
    level: int
    scale: int
    digits: int
    rounds: Iterator[tuple[list[int], list[int]]]

    def close(self, nodes: Iterator[tuple[int, int, int]]) -> None:
        """Walk the tree in preorder; raises where a leaf is open or the lists are too short."""
        root = self._options()
        stack = [] if root is None else [root]
        while stack:
            num_rounds, expert, count = next(nodes, (0, -2, 0))
            if expert == -2:
                raise CertificateError("the tree ends before all of its branches are closed.")
            left = self._after_rounds(stack.pop(), num_rounds)
            if left is None:
                continue
            if not 0 <= expert < len(self.load):
                raise CertificateError(f"a leaf of the tree is open: at most {self.level} units.")
            above = (left.expert == expert) & (left.count > count)
            below = (left.expert == expert) & (left.count <= count)
            if not above.any() or not below.any():
                raise CertificateError(f"a branch on expert {expert} at {count} splits nothing.")
            stack += [left.keep(~below), left.keep(~above)]

    def _options(self) -> _Options | None:
        """All options, or None when already the fewest replicas exceed the slots."""
        scaled = [w * self.scale for w in self.load]
        fewest = [max(-(-w // self.level), 1) for w in scaled]
        spare = self.num_slots - sum(fewest)
        if spare < 0:
            return None
        # 2 w / c > T up to this count; keys of big replicas rounded down, T - w / c rounded down.
        last_big = np.array([(2 * w - 1) // self.level for w in scaled], dtype=object)
        is_wide = 2 * max(*scaled, self.level) >= INT64_ROOM
        size = np.array(scaled, dtype=object if is_wide else np.int64)
        expert = np.repeat(np.arange(len(scaled)), spare + 1)
        count = (np.array(fewest)[:, None] + np.arange(spare + 1)).ravel()
        is_big = (count <= last_big[expert]).astype(bool)
        share = size[expert] // count
        key = np.where(is_big, share, self.level + (-size[expert]) // count)
        return _Options(expert, count, np.where(is_big, -count, count), key)

    def _after_rounds(self, options: _Options, num_rounds: int) -> _Options | None:
        """The options that the node's rounds leave; None when one of them closes the node."""
        for _ in range(num_rounds):
            thresholds, prices = next(self.rounds, (None, None))
            if thresholds is None or prices is None:
                raise CertificateError("the certificate has fewer rounds than its nodes.")
            value, excess = self._bound(options, thresholds, prices)
            room = self.num_slots * self.digits - value
            if room < 0:
                return None
            options = options.keep(excess <= room)
        return options

    def _bound(
        self, options: _Options, thresholds: list[int], prices: list[int]
    ) -> tuple[int, np.ndarray]:
        """V and the excess of every option, both in units of 1 / digits."""
        first = np.searchsorted(options.expert, np.arange(len(self.load)))
        if len(options.key) * (len(prices) + 1) > MAX_CELLS:
            raise CertificateError(f"{len(prices)} rows are too many for {len(first)} experts.")
        # Every threshold gives a true inequality, so one beyond int64 is replaced by int64's last.
        spend(ROUND_UNITS + CELL_UNITS * len(options.key) * (len(prices) + 1))
        limit = INT64_ROOM if options.key.dtype != object else max(map(abs, thresholds), default=0)
        at = np.array([max(min(t, limit), -limit) for t in thresholds], dtype=options.key.dtype)
        counts = (options.key[:, None] >= at).astype(bool)
        change = np.where(counts, options.change[:, None], 0)
        least = np.minimum.reduceat(change, first, axis=0)
        need = np.maximum(-least.sum(axis=0), 0)
        gain = np.minimum(change - least[options.expert], need)
        most = max([*(int(n) for n in need), int(options.count.max()), 1])
        if (sum(prices) + self.digits) * most * len(first) >= INT64_ROOM:
            raise CertificateError("the prices are too large for exact sums.")
        price = np.array(prices, dtype=np.int64)
        cost = options.count * self.digits - gain @ price
        cheapest = np.minimum.reduceat(cost, first)
        return int(need @ price) + int(cheapest.sum()), cost - cheapest[options.expert]
