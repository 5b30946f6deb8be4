"""Two slots a GPU: the bisection over levels, and what it proves."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.water_level import water_levels
from eplb_opt.certificates.certificate import Certificate
from eplb_opt.core import pairs
from eplb_opt.exact.pairs.counts import exact_value, fill
from eplb_opt.exact.pairs.params import PairsParams
from eplb_opt.exact.pairs.tree import Tree
from eplb_opt.exact.pairs.units import Layer
from eplb_opt.exact.shared.solver_imports import solvers_are_loaded

if TYPE_CHECKING:
    from eplb_opt.exact.pairs.budget import Budget

#: A level is asked about up to five times: the tree's root, a few nodes, the labels, many nodes,
#: and CP-SAT where it may be asked.
ROOT, FEW_NODES, LABELS, MANY_NODES, CP_SAT = range(5)
#: Turns that may end within one question to CP-SAT.
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
    budget, params
        Of the search.
    asks_cpsat
        Whether CP-SAT gets the last word on a level; what it says depends on its version.

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
    asks_cpsat: bool = False
    upper: Fraction = field(init=False)
    low: int = field(init=False)
    _proof: Tree | None = None
    _unproven: Tree | None = None
    _open_levels: list[int] = field(default_factory=list)
    _patience: int = 1
    _trees: dict[int, Tree] = field(default_factory=dict)
    _hint: tuple[np.ndarray, np.ndarray] | None = None
    _swept_to: int | None = None
    _is_light: bool = field(init=False)
    _has_moved: bool = False
    _passed: int = 0
    _asked: int = 0
    _question: tuple[int, int] | None = None
    _cuts: int = 0
    _prefers_cpsat: bool = False

    def __post_init__(self) -> None:
        num_slots = int(self.counts.sum())
        self.layer = Layer.of(self.load, num_slots)
        self.upper = exact_value(self.load, self.counts)
        water_level = water_levels(self.load[None, :], num_slots)[0]
        mean = Fraction(2 * int(self.load.sum()), num_slots)
        # Where no replica need be large the mean is nearly reached, and levels are asked in vain.
        self._is_light = water_level <= self.params.light * mean and bool(self.params.first_pass)
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
        """Whether the incumbent is proven optimal."""
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

    def num_options(self) -> int:
        """Experts and counts at the highest level that is asked about; no level has more."""
        if self.is_done:
            return 0
        spare = self.layer.num_slots - int(self._fewest(self.goal).sum())
        return len(self.load) * (spare + 1)

    def _fewest(self, level: int) -> np.ndarray:
        layer = self.layer
        core = pairs.Layer(layer.load, layer.scale_bits, layer.num_slots)
        return np.asarray(core.fewest(level))

    def run(self) -> str:
        """Bisect until the bounds meet or the budget is spent; returns why it stopped."""
        is_fresh = self._question is not None
        self._first_pass()
        while not self.is_done:
            level, number = self._question or (self._next_level(), ROOT)
            self._question = (level, number)
            if self.budget.is_spent or self._is_too_late_for(number, is_fresh):
                return "the budget is spent"
            is_fresh = False
            answer = self._put(level, number)
            self._note(level, number, answer)
            if answer and self.goal >= level:
                return "stopped: counts that reach a level are worth more"  # a bug, not a loop
            self._move_on()
        self._certify()
        return "the bounds meet"

    @property
    def _is_narrow(self) -> bool:
        return self.goal - self.low <= self.params.narrow * self.goal

    @property
    def waits_for_cpsat(self) -> bool:
        """Whether the next question is one to CP-SAT."""
        return self._question is not None and self._question[1] == CP_SAT

    def _is_too_late_for(self, number: int, is_fresh: bool) -> bool:
        """Whether CP-SAT, which cannot go on where it stopped, had better wait for a turn."""
        if number != CP_SAT:
            return False
        least, usual = self.params.cpsat_seconds
        loading = 0.0 if solvers_are_loaded() else self.params.import_seconds
        return self.budget.seconds < loading + (least if is_fresh else usual)

    def _certify(self) -> None:
        """Spend some more work on a proof where labels or CP-SAT alone closed the last level."""
        tree = self._unproven
        if tree is not None and tree.level >= self.goal and not self.budget.is_spent:
            self._ask(tree.level, self.params.certify_nodes)

    def _first_pass(self) -> None:
        """A bound from the roots of some levels, and counts that come close to it, by turns."""
        if self._is_light and not self._has_moved and not self.budget.is_spent:
            self._move(self.params.first_pass[0][1], self.params.light_moves)
            self._has_moved = True
        while self._passed < len(self.params.first_pass):
            coarse, aim = self.params.first_pass[self._passed]
            while not (self.is_done or self.budget.is_spent) and self._sweep(coarse):
                pass
            if self.is_done or self.budget.is_spent:
                return
            self._move(aim, self.params.first_moves)
            # What a turn's end cut off is done again, from where it got.
            self._passed += self.budget.effort is not None or not self.budget.is_spent

    def _move_on(self) -> None:
        """Search on counts between two levels while the bounds are far apart."""
        aims = [aim for _, aim in self.params.first_pass]
        is_between = self._question is None and not (self.is_done or self.budget.is_spent)
        if aims and is_between and not self._is_narrow:
            self._move(aims[self._asked % len(aims)], self.params.first_moves)

    def _sweep(self, coarse: float) -> bool:
        """Ask the root halfway between what is closed and what is open; whether there was need."""
        top = min(self._swept_to or self.goal, self.goal)
        if top - self.low <= coarse * top:
            return False
        level = (self.low + top + 1) // 2
        answer = self._ask(level, 1)
        self._hint = self._trees[level].prices or self._hint
        if answer is False:
            self.low = level
        elif not answer:
            self._swept_to = level
        return True

    def _move(self, aim: float, moves: int) -> None:
        """Search on counts from the incumbent's, aiming at a level below it."""
        most = np.full(len(self.load), self.layer.num_slots)
        found, _ = pairs.search_counts(
            self.load.astype(float),
            self.counts,
            (self._fewest(self.goal), most),
            (self.low / self.layer.scale, aim),
            (moves, self.budget.seconds),
        )
        self.budget.spend_moves(moves)
        self.offer(found)

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
        if self._is_narrow and self._asked % 2 == 0 and not self._open_levels:
            return goal
        return (low + goal + 1) // 2

    def _tree_at(self, level: int) -> Tree:
        """The level's tree, as far as it got."""
        self._trees = {at: tree for at, tree in self._trees.items() if self.low < at <= self.goal}
        if level not in self._trees:
            offer = partial(self._offer, level=level)
            worth = float(self.upper)
            self._trees[level] = Tree(self.layer, level, self.budget, offer, worth, self._hint)
        return self._trees[level]

    def _ask(self, level: int, max_nodes: int) -> bool | None:
        """Whether counts of at most the level are there; None where the nodes do not tell."""
        tree = self._tree_at(level)
        answer = tree.search(max_nodes)
        if answer is False:
            self._proof = tree
        return answer

    def _put(self, level: int, number: int) -> bool | None:
        """Ask about a level for the first time and so on, each time with more work."""
        if number in (LABELS, CP_SAT):
            tree = self._tree_at(level)
            answer = self._ask_labels(tree) if number == LABELS else self._ask_cpsat(tree)
            if answer is False:
                self._unproven = tree
            return answer
        nodes = {ROOT: 1, FEW_NODES: self.params.first_nodes, MANY_NODES: self.params.max_nodes}
        return self._ask(level, nodes[number] * (1 if number == ROOT else self._patience))

    def _ask_labels(self, tree: Tree) -> bool | None:
        """Dynamic programming; a level that is too wide for it tells of the layer's others."""
        answer = tree.decide()
        if tree.has_given_up:
            self._prefers_cpsat = len(tree.options_left().count) <= self.params.cpsat_options
        return answer

    def _ask_cpsat(self, tree: Tree) -> bool | None:
        """CP-SAT decides among what the root left: proven, but without a certificate."""
        # This turn may not, unlike the one before; or a better plan made the question pointless.
        if not self.asks_cpsat or tree.prices is None:
            return None
        options = tree.options_left()
        if len(options.count) > self.params.cpsat_options:
            return None
        from eplb_opt.exact.pairs.cpsat import find_counts

        most_time = self.params.cpsat_time * self._patience
        found = find_counts(options, self.layer.num_slots, most_time, self.budget.deadline)
        if isinstance(found, np.ndarray):
            return tree.reaches(found) or None
        return found

    def _note(self, level: int, number: int, answer: bool | None) -> None:
        """Keep what a question brought, and whether it is put again, for more nodes."""
        if answer is None and self.budget.is_spent and self._goes_on(number):
            return  # the next turn goes on within the question
        self._question = None
        if answer is False:
            self.low = level
        elif answer is None and level <= self.goal:
            if number < (CP_SAT if self.asks_cpsat else MANY_NODES):
                at_once = number == FEW_NODES and self.asks_cpsat and self._prefers_cpsat
                self._question = (level, CP_SAT if at_once else number + 1)
            else:
                self._open_levels.append(level)

    def _goes_on(self, number: int) -> bool:
        """Whether a turn's end leaves the question to the next one.

        CP-SAT begins anew, but turns get longer.
        """
        self._cuts += number == CP_SAT
        return number != CP_SAT or self._cuts % MAX_CUTS != 0

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
        """What re-proves the highest level that a tree closed.

        None where none did, or where the proof is larger than a verifier takes.
        """
        if self._proof is None or not self._proof.is_verifiable:
            return None
        scale, level = self.layer.scale, self._proof.level
        bound = self.upper if level >= self.goal else Fraction(level, scale)
        return Certificate("k2", bound, self._proof.proof(scale))


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
