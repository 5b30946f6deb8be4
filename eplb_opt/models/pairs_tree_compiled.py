"""Two slots a GPU: the tree of `pairs_tree`, its nodes worked on in compiled code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.models.pairs_grow import grow
from eplb_opt.models.pairs_options import list_options
from eplb_opt.models.pairs_trace import Trace
from eplb_opt.models.pairs_tree import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.models.pairs_budget import Budget
    from eplb_opt.models.pairs_options import Layer

#: Nodes between two looks at the clock.
NODES_AT_ONCE = 16
#: Waiting nodes that there is room for at first.
FIRST_CAPACITY = 16


@dataclass(eq=False)
class CompiledTree:
    """The search at one level.

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
    root
        What the root left; CP-SAT takes it from there.
    prices
        The running sums of the root's prices, as `hint` takes them.
    """

    layer: Layer
    level: int
    budget: Budget
    reaches: Callable[[np.ndarray], bool]
    best: float
    hint: tuple[np.ndarray, np.ndarray] | None = None
    trace: Trace = field(default_factory=Trace)
    root: Node | None = None
    prices: tuple[np.ndarray, np.ndarray] | None = None
    _top: int = 0

    def __post_init__(self) -> None:
        options = list_options(self.layer, self.level)
        if options is None:
            self.trace.open_node()  # the fewest replicas exceed the slots: closed by itself
            return
        self._options = options
        first = np.append(options.first, len(options))
        self._columns: Any = (
            first,
            options.count,
            options.change,
            options.rank,
            len(options.threshold),
        )
        self._load = self.layer.load.astype(float)
        self._masks = np.ones((FIRST_CAPACITY, len(options)), dtype=bool)
        self._runnings = np.zeros((FIRST_CAPACITY, len(options.threshold) + 1))
        self._at = (options.threshold / self.level).astype(float)
        if self.hint is not None and self.hint[0].size and self._at.size:
            self._runnings[0, 1:] = np.maximum.accumulate(np.interp(self._at, *self.hint))
        self._top = 1

    def search(self, max_nodes: int) -> bool | None:
        """True when counts of at most the level were found, False when there are none.

        None when the nodes or the budget ran out; a further call goes on.
        """
        while self._top > 0:
            left = max_nodes - len(self.trace.rounds)
            if self.budget.is_spent or left <= 0:
                return None
            if self._grow(min(left, NODES_AT_ONCE)):
                return True
        return None if self._top < 0 else False

    def _grow(self, nodes: int) -> bool:
        """Some nodes; whether counts were found."""
        is_root = not self.trace.rounds
        if is_root:
            nodes = 1
        counts = np.ones(len(self._load), dtype=np.int64)
        counts[0] = self.layer.num_slots - len(counts) + 1
        weight = np.zeros(len(self._options))
        excess = np.zeros(len(self._options), dtype=np.int64)
        self._make_room(nodes)
        self._top, best, log, prices = grow(
            self._columns,
            self._masks,
            self._runnings,
            self._top,
            self._load,
            counts,
            self.best,
            self.layer.num_slots,
            nodes,
            is_root,
            weight,
            excess,
        )
        self.budget.spend_ascents(len(prices))
        self._record(log, prices)
        if is_root:
            self._keep_root(weight, excess)
        if best < self.best or self._top < 0:
            self.best = best
            return self.reaches(counts)
        return False

    def _make_room(self, nodes: int) -> None:
        """Each node leaves at most one more waiting than before."""
        while self._top + nodes + 1 > len(self._masks):
            self._masks = np.concatenate([self._masks, np.ones_like(self._masks)])
            self._runnings = np.concatenate([self._runnings, np.zeros_like(self._runnings)])

    def _record(self, log: np.ndarray, prices: np.ndarray) -> None:
        at = 0
        for num_rounds, expert, count in log.tolist():
            node_idx = self.trace.open_node()
            for price in prices[at : at + num_rounds]:
                self.trace.add_round(node_idx, self._options.threshold, price)
            at += num_rounds
            self.trace.expert[node_idx], self.trace.count[node_idx] = expert, count

    def _keep_root(self, weight: np.ndarray, excess: np.ndarray) -> None:
        """What CP-SAT and the next level's tree are told."""
        self.prices = self._at, self._runnings[0, 1:].copy()
        if self._top <= 0:
            return
        options = self._options
        left = self._masks[0] | self._masks[1]
        node = Node(options, np.ones(len(options), dtype=bool), weight, excess)
        self.root = node.keep(left)
