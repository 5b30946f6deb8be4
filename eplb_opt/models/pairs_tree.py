"""Two slots a GPU: is there a plan of at most T? A branch and bound that leaves a proof."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.models.pairs_lp import DIGITS, solve_lp, tightened
from eplb_opt.models.pairs_options import chosen_counts, list_options
from eplb_opt.models.pairs_trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.models.pairs_budget import Budget
    from eplb_opt.models.pairs_lp import LpSolution
    from eplb_opt.models.pairs_options import Layer, Options

#: Weights this close to 0 or 1 are whole.
WHOLE = 1e-6
#: What an expert's options have to differ by to count as undecided.
UNDECIDED = 1e-3
#: Linear programs of a node.
MAX_ROUNDS = 8
#: Share of its options that a round has to strike off to be worth another.
LEAST_STRUCK = 0.03


@dataclass(frozen=True, eq=False)
class Node:
    """A part of the search: the options that are left, and what the last program said of them.

    Parameters
    ----------
    options
        What the branches leave.
    active
        bool [num_options], the columns to begin with.
    weight, excess
        [num_options], of the last linear program; None before the first.
    """

    options: Options
    active: np.ndarray
    weight: np.ndarray | None = None
    excess: np.ndarray | None = None

    def keep(self, mask: np.ndarray) -> Node | None:
        """The node with the options under the mask; None when an expert has none left."""
        options = self.options.keep(mask)
        if options is None:
            return None
        active = self.active[mask]
        active[options.first] = True  # at least one an expert
        weight, excess = (v if v is None else v[mask] for v in (self.weight, self.excess))
        return Node(options, active, weight, excess)


@dataclass(eq=False)
class Tree:
    """The search at one level, a node at a time.

    Parameters
    ----------
    layer, level
        The layer and T in its units.
    budget
        Of time and work.
    reaches
        Called with the counts that solutions suggest; whether they are of at most the level.

    Attributes
    ----------
    root
        What the root's programs left; CP-SAT takes it from there.
    """

    layer: Layer
    level: int
    budget: Budget
    reaches: Callable[[np.ndarray], bool]
    trace: Trace = field(default_factory=Trace)
    root: Node | None = None
    _stack: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        options = list_options(self.layer, self.level)
        if options is None:
            self.trace.open_node()  # the fewest replicas exceed the slots: closed by itself
        else:
            self._stack.append(Node(options, _first_active(options)))

    def search(self, max_nodes: int) -> bool | None:
        """True when counts of at most the level were found, False when there are none.

        None when the nodes or the budget ran out; a further call goes on.
        """
        while self._stack:
            if self.budget.is_spent or len(self.trace.rounds) >= max_nodes:
                return None
            mark = self.trace.mark()
            begun = self._stack.pop()
            node_idx = self.trace.open_node()
            found, node = self._work(node_idx, begun)
            if found is None:  # a program was cut off: as if it had not begun
                self.trace.rewind(mark)
                self._stack.append(begun)
                return None
            if found:
                return True
            if self.root is None:
                self.root = node
            if node is not None:
                self._stack.extend(self._branch(node_idx, node))
        return False

    def _work(self, node_idx: int, node: Node) -> tuple[bool | None, Node | None]:
        """Whether counts were found (None: budget spent), and what is left of an open node.

        Striking options off lowers the needs of the rows, which tightens them: so several rounds.
        """
        for _ in range(MAX_ROUNDS):
            size = len(node.options)
            solved = self._round(node_idx, node)
            if solved is None:
                return None, None
            if solved.proof.value > self.layer.num_slots * DIGITS:
                return False, None
            if self.reaches(chosen_counts(node.options, solved.weight)):
                return True, node
            room = self.layer.num_slots * DIGITS - solved.proof.value
            solved_node = Node(node.options, node.active, solved.weight, solved.proof.excess)
            left = solved_node.keep(solved.proof.excess <= room)
            if left is None:  # cannot be: an expert's cheapest option has no excess
                return None, None
            node = left
            if len(node.options) >= size * (1 - LEAST_STRUCK):
                break
        return False, node

    def _round(self, node_idx: int, node: Node) -> LpSolution | None:
        options = node.options
        rows = tightened(options, np.arange(len(options.threshold)))
        solved = solve_lp(options, rows, node.active, self.layer.num_slots, self.budget)
        if solved is not None:
            threshold = options.threshold[rows.threshold_idx]
            self.trace.add_round(node_idx, threshold, solved.multiplier)
        return solved

    def _branch(self, node_idx: int, node: Node) -> list[Node]:
        """The two halves of the most undecided expert's counts, the lower one last."""
        options = node.options
        expert = _most_undecided(node)
        is_own = options.expert == expert
        split = _split(options.count[is_own], _weight(node)[is_own])
        self.trace.expert[node_idx], self.trace.count[node_idx] = expert, split
        halves = [~is_own | (options.count > split), ~is_own | (options.count <= split)]
        return [child for half in halves if (child := node.keep(half)) is not None]


def _weight(node: Node) -> np.ndarray:
    return np.zeros(len(node.options)) if node.weight is None else node.weight


def _most_undecided(node: Node) -> int:
    """The expert to branch on.

    First one that is torn between big options, or big and small: they are few, and decide what the
    small ones have to match. Small ones are many and alike: while one is branched on the next
    takes its place. Among them, the one whose options differ in the most rows.
    """
    options, weight = node.options, _weight(node)
    num_left = np.diff(np.append(options.first, len(options)))
    torn = np.add.reduceat(weight * (1 - weight) * (options.change < 0), options.first)
    if torn.max() < UNDECIDED:
        mean = np.add.reduceat(weight * options.rank, options.first)
        spread = weight * abs(options.rank - mean[options.expert])
        torn = np.add.reduceat(spread, options.first)
    if torn.max() < UNDECIDED:
        torn = num_left.astype(float)
    return int(np.where(num_left > 1, torn, -1.0).argmax())


def _split(count: np.ndarray, weight: np.ndarray) -> int:
    """The largest count below or at the mean that leaves one above it."""
    mean = float(weight @ count) / max(float(weight.sum()), WHOLE)
    num_below = int((count <= mean + WHOLE).sum())
    return int(count[min(max(num_below, 1), len(count) - 1) - 1])


def _first_active(options: Options) -> np.ndarray:
    """An expert's fewest replicas and its fewest small ones; each with one more."""
    is_small = options.change > 0
    number = np.arange(len(options)) - options.first[options.expert]
    begins = is_small & (np.append(False, ~is_small[:-1]) | (number == 0))
    follows = np.append(False, begins[:-1])
    return np.asarray((number < 2) | begins | follows)
