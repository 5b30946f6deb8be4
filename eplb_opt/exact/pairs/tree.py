"""Two slots a GPU: is there a plan of at most a level? The core's tree, within a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.pairs import MAX_CELLS, MAX_STEPS
from eplb_opt.core import pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.exact.pairs.budget import Budget
    from eplb_opt.exact.pairs.units import Layer

#: Prices are integers of 1 / DIGITS.
DIGITS = 2**24
#: Nodes between two looks at the counted work.
NODES_AT_ONCE = 16


class Tree:
    """The search at one level; it goes on where it stopped.

    Parameters
    ----------
    layer, level
        The layer and T in its units.
    budget
        Of time and work.
    reaches
        Called with the counts that come up and are better than all before; whether they are of
        at most the level.
    best
        A value of counts; only better ones are of interest.
    hint
        Where to begin: running sums of prices at another level, with their thresholds as shares
        of it.

    Attributes
    ----------
    prices
        The running sums of the root's prices, as `hint` takes them; None before the root is done.
    reaches
        As given.
    """

    def __init__(
        self,
        layer: Layer,
        level: int,
        budget: Budget,
        reaches: Callable[[np.ndarray], bool],
        best: float,
        hint: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self.level = level
        self.prices: tuple[np.ndarray, np.ndarray] | None = None
        self._budget = budget
        self.reaches = reaches
        loads = pairs.Layer(layer.load, layer.scale_bits, layer.num_slots)
        self._tree = pairs.Tree(loads, level, best)
        threshold = np.array(self._tree.threshold, dtype=layer.scaled.dtype)
        self._at = (threshold / level).astype(float)
        if hint is not None and hint[0].size and self._at.size:
            self._tree.begin_at(np.maximum.accumulate(np.interp(self._at, *hint)))

    def search(self, max_nodes: int) -> bool | None:
        """True when counts of at most the level were found, False when there are none.

        None when the nodes or the budget ran out; a further call goes on.
        """
        tree = self._tree
        while not (tree.is_closed or tree.is_stuck):
            left = max_nodes - tree.num_nodes if tree.is_root_done else 1
            if self._budget.is_spent or left <= 0:
                return None
            if self._grow(min(left, NODES_AT_ONCE)):
                return True
        return None if tree.is_stuck else False

    def decide(self) -> bool | None:
        """The same by dynamic programming over what the root left; it leaves no proof."""
        tree = self._tree
        while not self._budget.is_spent:
            before = tree.num_labels
            answer = tree.decide(self._budget.seconds)
            self._budget.spend_labels(tree.num_labels - before)
            if answer:
                return self.reaches(tree.best_counts) or None
            if answer is False or tree.has_given_up or not tree.is_root_done:
                return answer
        return None

    @property
    def has_given_up(self) -> bool:
        """Whether `decide` will never tell."""
        return self._tree.has_given_up

    def options_left(self) -> pairs.Options:
        """Options that are enough for every plan that reaches the level, once the root is done."""
        return self._tree.options_left()

    @property
    def is_verifiable(self) -> bool:
        """Whether a verifier takes the time and the memory for the proof."""
        trace = self._tree.trace()
        steps = max(len(trace["rounds"]), len(trace["entries"]))
        return self._tree.most_cells <= MAX_CELLS and steps <= MAX_STEPS

    def _grow(self, nodes: int) -> bool:
        """Some nodes, at first the root alone; whether counts were found."""
        tree = self._tree
        nodes = nodes if tree.is_root_done else 1
        self._budget.spend_ascents(tree.grow(nodes, self._budget.seconds))
        if self.prices is None and tree.is_root_done:
            self.prices = self._at, tree.root_running
        return bool(tree.has_found and self.reaches(tree.best_counts))

    def proof(self, scale: int) -> dict[str, int | list[int]]:
        """The integers of a certificate of kind "k2" that the level is out of reach."""
        trace = {name: numbers.tolist() for name, numbers in self._tree.trace().items()}
        threshold = self._tree.threshold
        at = [threshold[row] for row in trace.pop("row")]
        trace |= {"threshold": at, "multiplier": trace.pop("price")}
        return {"level": self.level, "scale": scale, "digits": DIGITS} | trace
