"""Two slots a GPU: the bisection over levels, and what it proves."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.certificate import Certificate
from eplb_opt.models.pairs_counts import exact_value, fill
from eplb_opt.models.pairs_cpsat import find_counts
from eplb_opt.models.pairs_lp import DIGITS
from eplb_opt.models.pairs_options import Layer, fewest, most_big
from eplb_opt.models.pairs_params import PairsParams
from eplb_opt.models.pairs_tree import Tree
from eplb_opt.water import water_levels

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.models.pairs_budget import Budget
    from eplb_opt.models.pairs_options import Options
    from eplb_opt.models.pairs_trace import Trace
    from eplb_opt.models.pairs_tree_compiled import CompiledTree

    AnyTree = Tree | CompiledTree


#: Turns in a row that may end within the same question to CP-SAT.
MAX_CUTS = 4


@dataclass(eq=False)
class Search:
    """The bisection on one list of loads; a node of a hierarchical problem can be one.

    A call of `run` goes on where the last one stopped.

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
    is_compiled
        Whether numba is there: nodes are bounded by ascents then, and counts searched by moves.
    with_solvers
        Whether CP-SAT may be asked, and linear programs.

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
    params: PairsParams = field(default_factory=PairsParams)
    seed: int = 0
    is_compiled: bool = False
    with_solvers: bool = True
    upper: Fraction = field(init=False)
    low: int = field(init=False)
    _proof: tuple[int, Trace] | None = None
    _uncertified: AnyTree | None = None
    _open_levels: list[int] = field(default_factory=list)
    _patience: int = 1
    _trees: dict[int, AnyTree] = field(default_factory=dict)
    _hint: tuple[np.ndarray, np.ndarray] | None = None
    _swept_to: int | None = None
    _passed: int = 0
    _asked: int = 0
    _question: tuple[int, int] | None = None
    _cuts: int = 0

    def __post_init__(self) -> None:
        num_slots = int(self.counts.sum())
        self.layer = Layer.of(self.load, num_slots)
        self.upper = exact_value(self.load, self.counts)
        water_level = water_levels(self.load[None, :], num_slots)[0]
        mean = Fraction(2 * int(self.load.sum()), num_slots)
        known_bound, self.known_bound, self.low = self.known_bound, Fraction(0), 0
        self.raise_bound(max(known_bound, water_level, mean))

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

    @property
    def is_done(self) -> bool:
        return self.low >= self.goal

    def raise_bound(self, bound: Fraction) -> None:
        """Take over a bound proven elsewhere."""
        self.known_bound = max(self.known_bound, bound)
        self.low = max(self.low, _ceil(self.known_bound * self.layer.scale) - 1)

    def offer(self, counts: np.ndarray) -> None:
        """Take over counts found elsewhere, where they are better."""
        value = exact_value(self.load, counts)
        if value < self.upper:
            self.upper, self.counts = value, counts

    def num_cells(self) -> int:
        """Options times rows at the highest level that is asked about; no level has more."""
        if self.low >= self.goal:
            return 0
        spare = self.layer.num_slots - int(fewest(self.layer, self.goal).sum())
        num_big = int(most_big(self.layer, self.goal).clip(0).sum())
        return len(self.load) * (spare + 1) * num_big

    def run(self) -> str:
        """Bisect until the bounds meet or the budget is spent; returns why it stopped."""
        is_fresh = self._question is not None
        if self.is_compiled:
            self._first_pass()
        while not self.is_done:
            if self.budget.is_spent:
                return "the budget is spent"
            level, number = self._question or (self._next_level(), 0)
            self._question = (level, number)
            step = self._steps()[number]
            if self._is_too_late_for(step, is_fresh):
                return "the budget is spent"
            answer = step(self._tree_at(level))
            if answer is None and self._pauses(step):
                return "the budget is spent"
            self._note(level, number, answer)
            is_fresh = False
            if answer and self.goal >= level:
                return "stopped: counts that reach a level are worth more"  # a bug, not a loop
        self._certify()
        return "the bounds meet"

    def _is_too_late_for(self, step: Callable[[AnyTree], bool | None], is_fresh: bool) -> bool:
        """Whether CP-SAT, which cannot go on where it stopped, had better wait for a turn."""
        if step not in (self._near, self._rest):
            return False
        if is_fresh:
            left = min(self.budget.seconds, self.budget.cpsat_time)
            return left < self.params.cpsat_seconds
        wanted = self.params.near_time if step == self._near else self.params.rest_time
        return self.budget.seconds < wanted * self._patience

    def _pauses(self, step: Callable[[AnyTree], bool | None]) -> bool:
        """Whether the next turn is to go on with this step.

        A tree goes on where it stopped. CP-SAT begins anew, but turns get longer.
        """
        if not self.budget.is_spent:
            return False
        if step in (self._near, self._rest):
            self._cuts += 1
            return self._cuts % MAX_CUTS != 0
        return True

    def _first_pass(self) -> None:
        """A bound from the roots of some levels, and counts that come close to it, by turns."""
        while self._passed < len(self.params.first_pass):
            coarse, aim = self.params.first_pass[self._passed]
            while not (self.is_done or self.budget.is_spent) and self._sweep(coarse):
                pass
            if self.is_done or self.budget.is_spent:
                return
            self._move(aim, self.params.first_moves)
            self._passed += 1

    def _sweep(self, coarse: float) -> bool:
        """Ask the root halfway between what is closed and what is open; whether there was need."""
        top = min(self._swept_to or self.goal, self.goal)
        if top - self.low <= coarse * top:
            return False
        tree = self._tree_at((self.low + top + 1) // 2)
        answer = tree.search(1)
        self._hint = getattr(tree, "prices", None) or self._hint
        if self._keep_proof(tree, answer) is False:
            self.low = tree.level
        elif not answer:
            self._swept_to = tree.level
        return True

    def _move(self, aim: float, moves: int) -> None:
        """Search on counts from the incumbent's, aiming at a level below it."""
        from eplb_opt.models.pairs_moves import move_replicas

        upper, low = float(self.upper), self.low / self.layer.scale
        num_slots = self.layer.num_slots
        least = fewest(self.layer, self.goal)
        most = np.full(len(least), num_slots)
        found, _ = move_replicas(
            self.load.astype(float),
            self.counts.copy(),
            least,
            most,
            num_slots,
            low + aim * (upper - low),
            moves,
        )
        self.budget.spend_moves(moves)
        self.offer(found)

    def _certify(self) -> None:
        """Spend some more work on a certificate where CP-SAT alone closed the last level."""
        tree = self._uncertified
        if tree is not None and tree.level >= self.goal:
            self._keep_proof(tree, tree.search(self._nodes(self.params.certify_nodes)))

    def _next_level(self) -> int:
        low, goal = self.low, self.goal
        self._asked += 1
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
        if is_narrow and self._asked % 2 == 0 and not self._open_levels:
            return goal
        return (low + goal + 1) // 2

    def _tree_at(self, level: int) -> AnyTree:
        """The level's tree, as far as it got."""
        self._trees = {at: tree for at, tree in self._trees.items() if self.low < at <= self.goal}
        if level not in self._trees:
            self._trees[level] = self._plant(level)
        return self._trees[level]

    def _plant(self, level: int) -> AnyTree:
        offer = partial(self._offer, level=level)
        if not self.is_compiled:
            return Tree(self.layer, level, self.budget, offer)
        from eplb_opt.models.pairs_tree_compiled import CompiledTree

        worth = float(self.upper)
        return CompiledTree(self.layer, level, self.budget, offer, worth, self._hint)

    def _steps(self) -> tuple[Callable[[AnyTree], bool | None], ...]:
        """What is tried on a level, one after the other."""
        if self.with_solvers:
            return self._root, self._twigs, self._near, self._rest, self._tree
        return self._root, self._twigs, self._tree

    def _note(self, level: int, number: int, answer: bool | None) -> None:
        """Keep what a step brought, and whether another one is next."""
        self._question = None
        if answer is False:
            self.low = level
        elif answer is None and level <= self.goal:
            if number + 1 < len(self._steps()):
                self._question = (level, number + 1)
            else:
                self._open_levels.append(level)

    def _nodes(self, nodes: int) -> int:
        """A limit of nodes, as the relaxation and the patience allow."""
        return self._patience * (
            nodes if self.is_compiled else max(nodes // self.params.lp_nodes, 1)
        )

    def _root(self, tree: AnyTree) -> bool | None:
        return self._keep_proof(tree, tree.search(1))

    def _twigs(self, tree: AnyTree) -> bool | None:
        """A few nodes: where they do, the level gets its certificate at once."""
        return self._keep_proof(tree, tree.search(self._nodes(self.params.first_nodes)))

    def _tree(self, tree: AnyTree) -> bool | None:
        return self._keep_proof(tree, tree.search(self._nodes(self.params.max_nodes)))

    def _near(self, tree: AnyTree) -> bool | None:
        """CP-SAT among the options that the root's prices like; finds counts, proves nothing."""
        root = tree.root
        if root is None or root.excess is None or root.weight is None:
            return None
        liked = (root.excess <= self.params.near_excess * DIGITS) | (root.weight > 0)
        near = root.keep(liked)
        if near is None or self.budget.is_spent:
            return None
        found = self._ask_cpsat(near.options, self.params.near_time)
        return True if isinstance(found, np.ndarray) and tree.reaches(found) else None

    def _rest(self, tree: AnyTree) -> bool | None:
        """CP-SAT decides among all that the root left: proven, but without a certificate."""
        if tree.root is None or self.budget.is_spent:
            return None
        found = self._ask_cpsat(tree.root.options, self.params.rest_time)
        if isinstance(found, np.ndarray):
            return tree.reaches(found) or None
        if found is False:
            self._uncertified = tree
        return found

    def _ask_cpsat(self, options: Options, seconds: float) -> np.ndarray | bool | None:
        limit = seconds * self._patience
        return find_counts(options, self.layer.num_slots, self.budget, limit, self.seed)

    def _keep_proof(self, tree: AnyTree, answer: bool | None) -> bool | None:
        if answer is False:
            self._proof = tree.level, tree.trace
        return answer

    def _offer(self, counts: np.ndarray, level: int) -> bool:
        """Keep counts that improve; whether they reach the level within the slots."""
        num_slots = self.layer.num_slots
        if counts.sum() > num_slots:
            return False
        if counts.sum() < num_slots:
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
