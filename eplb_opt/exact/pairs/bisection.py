"""The bisection over load levels for two slots a GPU, and the certificate of what it proves."""

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
from eplb_opt.exact.pairs.fixed_point import ScaledLayer
from eplb_opt.exact.pairs.params import PairsParams
from eplb_opt.exact.pairs.tree import Tree
from eplb_opt.exact.shared.backend_imports import backends_are_loaded

if TYPE_CHECKING:
    from eplb_opt.exact.pairs.work_limit import WorkLimit

#: The methods by which a level is decided, each with more work than the one before: the root of the
#: tree, a few nodes, the labels of a dynamic program, many nodes, and CP-SAT where it may be asked.
ROOT, FEW_NODES, LABELS, MANY_NODES, CP_SAT = range(5)
#: The number of turns that may end within one question to CP-SAT.
MAX_CUTS = 4


@dataclass(eq=False)
class LevelBisection:
    """The bisection on the loads of one flat problem.

    A call of `run` goes on where the last one stopped.

    Parameters
    ----------
    load
        int64 [num_experts], the loads in the problem's integer units.
    counts
        int64 [num_experts], the replica counts of any plan; half their sum is the number of GPUs.
    known_bound
        A proven lower bound, in integer units.
    work_limit
        The time or work that the current turn may take.
    params
        The settings.
    asks_cpsat
        Whether CP-SAT may decide a level in the last place; its answer depends on its version.

    Attributes
    ----------
    upper
        The largest GPU load with `counts`, the best so far, in integer units.
    low
        The largest level, in fixed point, that no plan is known to reach.
    """

    load: np.ndarray
    counts: np.ndarray
    known_bound: Fraction
    work_limit: WorkLimit
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
        self.layer = ScaledLayer.of(self.load, num_slots)
        self.upper = exact_value(self.load, self.counts)
        water_level = water_levels(self.load[None, :], num_slots)[0]
        mean = Fraction(2 * int(self.load.sum()), num_slots)
        # Where no replica need be large, plans come close to the mean and no level is refuted.
        self._is_light = water_level <= self.params.light * mean and bool(self.params.first_pass)
        known_bound, self.known_bound, self.low = self.known_bound, Fraction(0), 0
        self.raise_bound(max(known_bound, water_level, mean))

    @property
    def goal(self) -> int:
        """The level that the plans better than the incumbent reach, and no others.

        Two different sums of two replicas are four units apart or more (`ScaledLayer`), and the
        true value of counts that reach a level in units is less than one unit above it.
        """
        return _ceil(self.upper * self.layer.scale) - 2

    @property
    def lower_bound(self) -> Fraction:
        """The proven lower bound, in integer units."""
        if self.low >= self.goal:
            return self.upper
        return max(self.known_bound, Fraction(self.low, self.layer.scale))

    @property
    def is_done(self) -> bool:
        """Whether the incumbent is proven optimal."""
        return self.low >= self.goal

    def raise_bound(self, bound: Fraction) -> None:
        """Take over a bound that was proven elsewhere."""
        self.known_bound = max(self.known_bound, bound)
        self.low = max(self.low, _ceil(self.known_bound * self.layer.scale) - 1)

    def offer(self, counts: np.ndarray) -> None:
        """Take over counts that were found elsewhere, where they are better."""
        value = exact_value(self.load, counts)
        if value < self.upper:
            self.upper, self.counts = value, counts

    def num_options(self) -> int:
        """The number of options (expert and count) at the highest level, which has the most."""
        if self.is_done:
            return 0
        spare = self.layer.num_slots - int(self._fewest(self.goal).sum())
        return len(self.load) * (spare + 1)

    def _fewest(self, level: int) -> np.ndarray:
        layer = self.layer
        core = pairs.Layer(layer.load, layer.scale_bits, layer.num_slots)
        return np.asarray(core.fewest(level))

    def run(self) -> str:
        """Bisect until the bounds meet or the work limit is reached; returns why it stopped."""
        is_fresh = self._question is not None
        self._first_pass()
        while not self.is_done:
            level, number = self._question or (self._next_level(), ROOT)
            self._question = (level, number)
            if self.work_limit.is_spent or self._is_too_late_for(number, is_fresh):
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
        """Whether CP-SAT, which cannot go on where it stopped, is better asked in a later turn."""
        if number != CP_SAT:
            return False
        least, usual = self.params.cpsat_seconds
        loading = 0.0 if backends_are_loaded() else self.params.import_seconds
        return self.work_limit.seconds < loading + (least if is_fresh else usual)

    def _certify(self) -> None:
        """Search a certificate where labels or CP-SAT, which leave none, closed the last level."""
        tree = self._unproven
        if tree is not None and tree.level >= self.goal and not self.work_limit.is_spent:
            self._ask(tree.level, self.params.certify_nodes)

    def _first_pass(self) -> None:
        """Alternate between bounds from the roots of some levels and searches of counts."""
        if self._is_light and not self._has_moved and not self.work_limit.is_spent:
            self._move(self.params.first_pass[0][1], self.params.light_moves)
            self._has_moved = True
        while self._passed < len(self.params.first_pass):
            coarse, aim = self.params.first_pass[self._passed]
            while not (self.is_done or self.work_limit.is_spent) and self._sweep(coarse):
                pass
            if self.is_done or self.work_limit.is_spent:
                return
            self._move(aim, self.params.first_moves)
            # What the end of the turn cut off is done again, from where it stopped.
            self._passed += self.work_limit.effort is not None or not self.work_limit.is_spent

    def _move_on(self) -> None:
        """Search better counts between two levels while the bounds are far from each other."""
        aims = [aim for _, aim in self.params.first_pass]
        is_between = self._question is None and not (self.is_done or self.work_limit.is_spent)
        if aims and is_between and not self._is_narrow:
            self._move(aims[self._asked % len(aims)], self.params.first_moves)

    def _sweep(self, coarse: float) -> bool:
        """Ask the root of the level midway between closed and open; False where none is left."""
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
        """Search better counts by moves of replicas, aiming at a level below the incumbent."""
        most = np.full(len(self.load), self.layer.num_slots)
        found, _ = pairs.search_counts(
            self.load.astype(float),
            self.counts,
            (self._fewest(self.goal), most),
            (self.low / self.layer.scale, aim),
            (moves, self.work_limit.seconds),
        )
        self.work_limit.spend_moves(moves)
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
        """The tree of a level, with the work that was done on it."""
        self._trees = {at: tree for at, tree in self._trees.items() if self.low < at <= self.goal}
        if level not in self._trees:
            offer = partial(self._offer, level=level)
            best = float(self.upper)
            self._trees[level] = Tree(self.layer, level, self.work_limit, offer, best, self._hint)
        return self._trees[level]

    def _ask(self, level: int, max_nodes: int) -> bool | None:
        """Whether counts reach the level, by branch and bound; None where nodes do not tell."""
        tree = self._tree_at(level)
        answer = tree.search(max_nodes)
        if answer is False:
            self._proof = tree
        return answer

    def _put(self, level: int, number: int) -> bool | None:
        """Ask whether counts reach the level, by the method of that number."""
        if number in (LABELS, CP_SAT):
            tree = self._tree_at(level)
            answer = self._ask_labels(tree) if number == LABELS else self._ask_cpsat(tree)
            if answer is False:
                self._unproven = tree
            return answer
        nodes = {ROOT: 1, FEW_NODES: self.params.first_nodes, MANY_NODES: self.params.max_nodes}
        return self._ask(level, nodes[number] * (1 if number == ROOT else self._patience))

    def _ask_labels(self, tree: Tree) -> bool | None:
        """Decide by dynamic programming; where it gives up, CP-SAT is tried earlier later on."""
        answer = tree.decide()
        if tree.has_given_up:
            self._prefers_cpsat = len(tree.options_left().count) <= self.params.cpsat_options
        return answer

    def _ask_cpsat(self, tree: Tree) -> bool | None:
        """Decide by CP-SAT among the options that the root left: proven, without a certificate."""
        # Unlike the turn before, this one may not ask; or a better plan made the question useless.
        if not self.asks_cpsat or tree.prices is None:
            return None
        options = tree.options_left()
        if len(options.count) > self.params.cpsat_options:
            return None
        from eplb_opt.exact.pairs.cpsat import find_counts

        most_time = self.params.cpsat_time * self._patience
        found = find_counts(options, self.layer.num_slots, most_time, self.work_limit.deadline)
        if isinstance(found, np.ndarray):
            return tree.reaches(found) or None
        return found

    def _note(self, level: int, number: int, answer: bool | None) -> None:
        """Note the answer to a question, and the next method where there was none."""
        if answer is None and self.work_limit.is_spent and self._goes_on(number):
            return  # the next turn continues this question
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
        """Whether the next turn continues the question that this one ended.

        CP-SAT starts from the beginning, but later turns are longer.
        """
        self._cuts += number == CP_SAT
        return number != CP_SAT or self._cuts % MAX_CUTS != 0

    def _offer(self, counts: np.ndarray, level: int) -> bool:
        """Keep counts that are better; whether they reach the level within the slots."""
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
        """The certificate of the highest level that a tree refuted.

        None where no tree did, or where the proof is larger than a verifier takes.
        """
        if self._proof is None or not self._proof.is_verifiable:
            return None
        scale, level = self.layer.scale, self._proof.level
        bound = self.upper if level >= self.goal else Fraction(level, scale)
        return Certificate("pairs", bound, self._proof.proof(scale))


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
