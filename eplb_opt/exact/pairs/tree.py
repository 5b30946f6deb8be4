"""Branch and bound at one level, for two slots a GPU: the core's tree, within a work limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.pairs import MAX_CELLS, MAX_STEPS
from eplb_opt.core import pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.exact.pairs.fixed_point import ScaledLayer
    from eplb_opt.exact.pairs.work_limit import WorkLimit

#: Prices (dual values) are integers in units of 1 / DIGITS.
DIGITS = 2**24
#: The nodes between two looks at the counted work.
NODES_AT_ONCE = 16


class Tree:
    """The branch and bound at one level; it goes on where it stopped.

    Parameters
    ----------
    layer, level
        The layer in fixed point, and the level T in its units.
    work_limit
        The time or work that the current turn may take.
    reaches
        A function that is called with counts better than all before; it returns whether their value
        is at most the level.
    best
        The value of the best known counts; only better ones are looked for.
    hint
        The prices to begin with: thresholds as shares of another level, and running sums of the
        prices there.

    Attributes
    ----------
    prices
        The thresholds and running sums of the root's prices, as `hint` takes them; None before the
        root is done.
    reaches
        The function that was given.
    """

    def __init__(
        self,
        layer: ScaledLayer,
        level: int,
        work_limit: WorkLimit,
        reaches: Callable[[np.ndarray], bool],
        best: float,
        hint: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self.level = level
        self.prices: tuple[np.ndarray, np.ndarray] | None = None
        self._work_limit = work_limit
        self.reaches = reaches
        loads = pairs.Layer(layer.load, layer.scale_bits, layer.num_slots)
        self._tree = pairs.Tree(loads, level, best)
        threshold = np.array(self._tree.threshold, dtype=layer.scaled.dtype)
        self._at = (threshold / level).astype(float)
        if hint is not None and hint[0].size and self._at.size:
            self._tree.begin_at(np.maximum.accumulate(np.interp(self._at, *hint)))

    def search(self, max_nodes: int) -> bool | None:
        """True when counts of at most the level were found, False when there are none.

        None when the nodes or the work limit ran out; a further call goes on.
        """
        tree = self._tree
        while not (tree.is_closed or tree.is_stuck):
            left = max_nodes - tree.num_nodes if tree.is_root_done else 1
            if self._work_limit.is_spent or left <= 0:
                return None
            if self._grow(min(left, NODES_AT_ONCE)):
                return True
        return None if tree.is_stuck else False

    def decide(self) -> bool | None:
        """The same by dynamic programming over the options that the root left, without a proof."""
        tree = self._tree
        while not self._work_limit.is_spent:
            before = tree.num_labels
            answer = tree.decide(self._work_limit.seconds)
            self._work_limit.spend_labels(tree.num_labels - before)
            if answer:
                return self.reaches(tree.best_counts) or None
            if answer is False or tree.has_given_up or not tree.is_root_done:
                return answer
        return None

    @property
    def has_given_up(self) -> bool:
        """Whether dynamic programming will never decide the level."""
        return self._tree.has_given_up

    def options_left(self) -> pairs.Options:
        """The options that the root left, of which every plan that reaches the level is made."""
        return self._tree.options_left()

    @property
    def is_verifiable(self) -> bool:
        """Whether the proof is small enough for the verifier."""
        trace = self._tree.trace()
        steps = max(len(trace["rounds"]), len(trace["entries"]))
        return self._tree.most_cells <= MAX_CELLS and steps <= MAX_STEPS

    def _grow(self, nodes: int) -> bool:
        """Work on some nodes, at first on the root alone; whether counts were found."""
        tree = self._tree
        nodes = nodes if tree.is_root_done else 1
        self._work_limit.spend_ascents(tree.grow(nodes, self._work_limit.seconds))
        if self.prices is None and tree.is_root_done:
            self.prices = self._at, tree.root_running
        return bool(tree.has_found and self.reaches(tree.best_counts))

    def proof(self, scale: int) -> dict[str, int | list[int]]:
        """The integers of a certificate of kind "pairs" that no plan reaches the level."""
        trace = {name: numbers.tolist() for name, numbers in self._tree.trace().items()}
        threshold = self._tree.threshold
        at = [threshold[row] for row in trace.pop("row")]
        trace |= {"threshold": at, "multiplier": trace.pop("price")}
        return {"level": self.level, "scale": scale, "digits": DIGITS} | trace
