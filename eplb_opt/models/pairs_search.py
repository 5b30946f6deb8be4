"""Two slots a GPU: the bisection over levels, and what it proves."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.certificate import Certificate
from eplb_opt.models.pairs_counts import exact_value, fill
from eplb_opt.models.pairs_cpsat import find_counts
from eplb_opt.models.pairs_lp import DIGITS
from eplb_opt.models.pairs_options import Layer, fewest, most_big
from eplb_opt.models.pairs_tree import Tree
from eplb_opt.water import water_levels

if TYPE_CHECKING:
    from eplb_opt.models.pairs_budget import Budget
    from eplb_opt.models.pairs_trace import Trace


@dataclass(frozen=True)
class PairsParams:
    """Settings of the search.

    Parameters
    ----------
    near_excess
        CP-SAT first looks among the options that cost at most this much more than the cheapest,
        in replicas.
    near_time, rest_time
        CP-SAT's deterministic time for that, and for deciding among all options. A level that
        stays open is left for others; when they are done, these times are doubled.
    first_nodes, max_nodes, certify_nodes
        Of a level's tree: before CP-SAT is asked to decide; when it did not; and in the end, of the
        last level's tree when CP-SAT decided it and a certificate would still be good to have.
    narrow
        Once the bounds are this close, relative to the upper one, every second question is
        whether anything is below the incumbent at all.
    max_cells
        A layer whose table of options and rows would be larger is refused: it takes gigabytes.
    seconds_per_cell
        For one pass over that table on a slow core; what cannot be done in time is refused.
    import_seconds
        For loading the solvers the first time; with less time left a layer is refused.
    """

    near_excess: float = 0.1
    near_time: float = 1.0
    rest_time: float = 2.0
    first_nodes: int = 10
    max_nodes: int = 60
    certify_nodes: int = 120
    narrow: float = 2e-3
    max_cells: int = 20_000_000
    seconds_per_cell: float = 5e-8
    import_seconds: float = 2.0


@dataclass(eq=False)
class Search:
    """The bisection on one list of loads; a node of a hierarchical problem can be one.

    Parameters
    ----------
    load
        int64 [num_experts].
    counts
        int64 [num_experts], of any plan; half their sum is the number of GPUs.
    known_bound
        A proven lower bound.
    budget, params, seed
        Of the search.

    Attributes
    ----------
    upper
        What `counts` are worth, the best so far.
    low
        The largest level that is known to be out of reach.
    """

    load: np.ndarray
    counts: np.ndarray
    known_bound: Fraction
    budget: Budget
    params: PairsParams = PairsParams()
    seed: int = 0
    upper: Fraction = field(init=False)
    low: int = field(init=False)
    _proof: tuple[int, Trace] | None = None
    _uncertified: Tree | None = None
    _open_levels: list[int] = field(default_factory=list)
    _patience: int = 1

    def __post_init__(self) -> None:
        num_slots = int(self.counts.sum())
        self.layer = Layer.of(self.load, num_slots)
        self.upper = exact_value(self.load, self.counts)
        water_level = water_levels(self.load[None, :], num_slots)[0]
        mean = Fraction(2 * int(self.load.sum()), num_slots)
        self.known_bound = max(self.known_bound, water_level, mean)
        self.low = _ceil(self.known_bound * self.layer.scale) - 1

    @property
    def goal(self) -> int:
        """The level that everything better than the incumbent reaches, and nothing else.

        Two pair sums differ by four units or more (`Layer`), and counts that reach a level in
        units are worth less than one unit more.
        """
        return _ceil(self.upper * self.layer.scale) - 2

    @property
    def lower_bound(self) -> Fraction:
        """What is proven."""
        if self.low >= self.goal:
            return self.upper
        return max(self.known_bound, Fraction(self.low, self.layer.scale))

    def num_cells(self) -> int:
        """Options times rows at the highest level that is asked about; no level has more."""
        if self.low >= self.goal:
            return 0
        spare = self.layer.num_slots - int(fewest(self.layer, self.goal).sum())
        num_big = int(most_big(self.layer, self.goal).clip(0).sum())
        return len(self.load) * (spare + 1) * num_big

    def run(self) -> str:
        """Bisect until the bounds meet or the budget is spent; returns why it stopped."""
        asked = 0
        while self.low < self.goal:
            if self.budget.is_spent:
                return "the budget is spent"
            level = self._next_level(asked)
            answer = self._ask(level)
            if answer is None:
                self._open_levels.append(level)
            if answer and self.goal >= level:
                return "stopped: counts that reach a level are worth more"  # a bug, not a loop
            asked += 1
        self._certify()
        return "the bounds meet"

    def _certify(self) -> None:
        """Spend some more work on a certificate where CP-SAT alone closed the last level."""
        tree = self._uncertified
        if tree is not None and tree.level >= self.goal:
            self._keep_proof(tree, tree.search(self.params.certify_nodes))

    def _next_level(self, asked: int) -> int:
        low, goal = self.low, self.goal
        self._open_levels = [level for level in self._open_levels if low < level <= goal]
        if self._open_levels:
            # Away from the optimum it is easier to tell.
            low, goal = max(
                (low, min(self._open_levels) - 1),
                (max(self._open_levels), goal),
                key=lambda ends: ends[1] - ends[0],
            )
            if (goal - low) * 8 < self.goal - self.low:
                self._open_levels.clear()
                self._patience *= 2
                low, goal = self.low, self.goal
        is_narrow = self.goal - self.low <= self.params.narrow * self.goal
        if is_narrow and asked % 2 and not self._open_levels:
            return goal
        return (low + goal + 1) // 2

    def _ask(self, level: int) -> bool | None:
        """Whether some counts reach the level; None when that stays open."""
        tree = Tree(self.layer, level, self.budget, lambda counts: self._offer(counts, level))
        for step in (self._root, self._near, self._twigs, self._rest, self._tree):
            answer = step(tree)
            if answer is not None:
                break
        if answer is False:
            self.low = level
        return answer

    def _root(self, tree: Tree) -> bool | None:
        return self._keep_proof(tree, tree.search(1))

    def _near(self, tree: Tree) -> bool | None:
        """CP-SAT among the options that the linear program likes; finds counts, proves nothing."""
        root = tree.root
        if root is None or root.excess is None or root.weight is None:
            return None
        liked = (root.excess <= self.params.near_excess * DIGITS) | (root.weight > 0)
        near = root.keep(liked)
        if near is None or self.budget.is_spent:
            return None
        found = find_counts(
            near.options,
            self.layer.num_slots,
            self.budget,
            self.params.near_time * self._patience,
            self.seed,
        )
        return True if isinstance(found, np.ndarray) and tree.reaches(found) else None

    def _twigs(self, tree: Tree) -> bool | None:
        """A few nodes: where they do, the level gets its certificate at once."""
        return self._keep_proof(tree, tree.search(self.params.first_nodes))

    def _tree(self, tree: Tree) -> bool | None:
        return self._keep_proof(tree, tree.search(self.params.max_nodes))

    def _rest(self, tree: Tree) -> bool | None:
        """CP-SAT decides among all that the root left: proven, but without a certificate."""
        if tree.root is None or self.budget.is_spent:
            return None
        found = find_counts(
            tree.root.options,
            self.layer.num_slots,
            self.budget,
            self.params.rest_time * self._patience,
            self.seed,
        )
        if isinstance(found, np.ndarray):
            return tree.reaches(found) or None
        if found is False:
            self._uncertified = tree
        return found

    def _keep_proof(self, tree: Tree, answer: bool | None) -> bool | None:
        if answer is False:
            self._proof = tree.level, tree.trace
        return answer

    def _offer(self, counts: np.ndarray, level: int) -> bool:
        """Keep counts that improve; whether they reach the level within the slots."""
        num_slots = self.layer.num_slots
        if counts.sum() > num_slots:
            return False
        counts = fill(self.load, counts, num_slots)
        value = exact_value(self.load, counts)
        if value < self.upper:
            self.upper, self.counts = value, counts
        return value * self.layer.scale < level + 1

    def certificate(self) -> Certificate | None:
        """What re-proves the highest level that a tree closed; None where none did."""
        if self._proof is None:
            return None
        level, trace = self._proof
        bound = self.upper if level >= self.goal else Fraction(level, self.layer.scale)
        return Certificate("k2", bound, trace.as_data(level, self.layer.scale, DIGITS))


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
