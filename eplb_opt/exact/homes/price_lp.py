"""Prices for the bound of `bounds.home_prices`, by linear programming.

At a level T, with h_ec and a_ec how many replicas of expert e stand at home and elsewhere when it
has c, and x_nk how many replicas of the kind k stand on node n that are not at home there; the kind
of a replica says whether it is big and which threshold is the last up to its key, and u_nt how many
more small ones than big ones there are on n from threshold t on:

    minimise price sum size_ec a_ec
    sum_c (h_ec + a_ec) / c = 1                          for every e
    sum_(ec of kind k) a_ec = sum_n x_nk                 for every k
    (replicas on n) = slots of n                         for every n
    u_nt = u_n,t+1 + (small of t) - (big of t) >= 0      for every n and threshold t
    a_ec <= (c - 1) h_ec                                 for every e, c where experts are anchored
    price sum size_ec a_ec <= limit                      where there is one, at a high price

Its dual values are prices, and any prices are a proof once they are evaluated exactly. Thresholds
and counts are chosen among those that there are, so that it is solved in some hundredths of a
second; that can only make the bound smaller.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.home_prices import NO_PLAN, NodePrices

if TYPE_CHECKING:
    from typing import Any

    from eplb_opt.bounds.home_prices import PricedLayer
    from eplb_opt.clock import Deadline

#: The part of the program's value that will do: it holds for the counts in the program alone.
NEARLY = 0.99
#: What being off home beyond the limit costs at most, times the mean load; and a small replica that
#: is lent to a node, so that there is a solution where no plan has so little load.
PRICE_OF_LIMIT, PRICE_OF_LENT = 4.0, 0.5


@dataclass
class _Rows:
    """Entries of a sparse matrix."""

    row: list[np.ndarray] = field(default_factory=list)
    column: list[np.ndarray] = field(default_factory=list)
    value: list[np.ndarray] = field(default_factory=list)

    def add(self, row: Any, column: Any, value: Any) -> None:
        parts = np.broadcast_arrays(row, column, value)
        for kept, part in zip((self.row, self.column, self.value), parts, strict=True):
            kept.append(part.ravel())

    def matrix(self, num_rows: int, num_columns: int) -> Any:
        from scipy.sparse import coo_matrix

        entries = (np.concatenate(self.row), np.concatenate(self.column))
        shape = (num_rows, num_columns)
        return coo_matrix((np.concatenate(self.value), entries), shape=shape).tocsc()


@dataclass(frozen=True)
class Fineness:
    """How much work the prices of one level are worth.

    Parameters
    ----------
    thresholds
        How many thresholds each node has; more prove more and take longer.
    rounds
        How often the program is solved, each time with the counts that were cheaper than all that
        it had.
    step
        The first piece of T, as a part of its beginning: the bound loses about half of it.
    """

    thresholds: int
    rounds: int
    step: float


class _Options:
    """The counts that experts may have in the program, with size and kind of a replica of each."""

    def __init__(self, layer: PricedLayer, level: int, chosen: np.ndarray, many: int) -> None:
        low = layer.fewest(level)
        self.expert, more = np.nonzero(chosen)
        self.count = low[self.expert] + more
        self.size = layer.load[self.expert] // self.count
        self.is_big = 2 * self.size > level
        key = np.where(self.is_big, self.size, level - self.size)
        usual = key[self.is_big & (more <= 1)]
        parts = np.linspace(0, 1, many)
        at = np.quantile(usual, parts, method="lower") if len(usual) else np.array([level])
        self.thresholds = np.unique(at).astype(np.int64)
        self.up_to = np.searchsorted(self.thresholds, key, side="right")
        self.home = layer.home[self.expert]
        self.num_nodes = len(layer.slots)
        self.kinds = 2 * (len(self.thresholds) + 1)

    @property
    def kind(self) -> np.ndarray:
        """The kind of each option's replicas: first the big ones, by thresholds up to the key."""
        return np.where(self.is_big, self.up_to, len(self.thresholds) + 1 + self.up_to)

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """The columns of h and of a."""
        num = len(self.count)
        return np.arange(num), num + np.arange(num)

    def on_node(self, node: Any, kind: Any) -> Any:
        """The columns of x."""
        return 2 * len(self.count) + node * self.kinds + kind

    def surplus(self, node: Any, threshold: Any) -> Any:
        """The columns of u; thresholds count from 1."""
        first = 2 * len(self.count) + self.num_nodes * self.kinds
        return first + node * len(self.thresholds) + threshold - 1

    @property
    def lent(self) -> np.ndarray:
        """The columns of small replicas that a node has from nowhere."""
        return int(self.surplus(self.num_nodes, 1)) + np.arange(self.num_nodes)

    @property
    def beyond(self) -> int:
        """The column of what is off home beyond the limit, the last one."""
        return int(self.lent[-1]) + 1


def node_prices(
    layer: PricedLayer, level: int, wanted: int, fineness: Fineness, deadline: Deadline
) -> tuple[NodePrices | None, int]:
    """Prices with which much is proven at a level, and how much; None where there is no time.

    Parameters
    ----------
    layer
        The layer in integers.
    level
        The level of T, in parts of the scale.
    wanted
        How much will do.
    fineness
        How much work they are worth.
    deadline
        When to stop; a program that is begun is solved.
    """
    low = layer.fewest(level)
    spare = int(layer.slots.sum()) - int(low.sum())
    if spare < 0:
        return NodePrices.none(len(layer.slots)), NO_PLAN
    # All counts that an expert may well have, and some others in between.
    usual = [0, 1, 2, *(2**i + 1 for i in range(1, spare.bit_length() + 1)), spare]
    chosen = np.zeros((len(low), spare + 1), dtype=bool)
    chosen[:, [more for more in usual if more <= spare]] = True
    best, proven = NodePrices.none(len(layer.slots)), 0
    for done in range(fineness.rounds):
        if deadline.expired:
            return (best, proven) if done else (None, 0)
        options = _Options(layer, level, chosen, fineness.thresholds)
        found = _solve(layer, options)
        if found is None:
            break
        prices, hoped_for = found
        away, cost = layer.away_by_count(level, prices)
        if away > proven:
            best, proven = prices, away
        cheapest, experts = cost.argmin(axis=1), np.arange(len(low))
        enough = min(wanted, hoped_for * NEARLY)
        if proven >= enough or chosen[experts, cheapest].all():
            break
        chosen[experts, cheapest] = True
    return best, proven


def _solve(layer: PricedLayer, options: _Options) -> tuple[NodePrices, int] | None:
    """The dual values of the program as prices, and its own value in units of the layer."""
    from scipy.optimize import linprog

    equal, right = _equalities(layer, options)
    below, limits = _inequalities(layer, options)
    cost = np.zeros(options.beyond + 1)
    cost[options.columns()[1]] = layer.price / layer.unit * options.size / layer.scale
    cost[options.lent], cost[-1] = PRICE_OF_LENT, PRICE_OF_LIMIT
    found = linprog(cost, below, limits, equal, right, method="highs-ds")
    if found.status != 0:
        return None
    units = float(layer.scale) * layer.unit
    nodes, many = options.num_nodes, len(options.thresholds)
    dual = -found.eqlin.marginals[len(layer.load) + options.kinds :]
    up_to = np.maximum.accumulate(np.maximum(dual[nodes:].reshape(nodes, many), 0), axis=1)
    limit = 0 if layer.most >= layer.scale else round(-found.ineqlin.marginals[0] * layer.unit)
    prices = NodePrices(
        options.thresholds,
        np.diff(np.rint(up_to * units).astype(np.int64), axis=1, prepend=0),
        np.rint(dual[:nodes] * units).astype(np.int64),
        max(limit, 0),
    )
    return prices, round(found.fun * units)


def _equalities(layer: PricedLayer, options: _Options) -> tuple[Any, np.ndarray]:
    """Experts, kinds, slots and surpluses."""
    rows, num_experts = _Rows(), len(layer.load)
    h, a = options.columns()
    many = len(options.thresholds)
    node, kind = np.indices((options.num_nodes, options.kinds))
    rows.add(options.expert, h, 1 / options.count)
    rows.add(options.expert, a, 1 / options.count)
    rows.add(num_experts + options.kind, a, 1.0)
    rows.add(num_experts + kind, options.on_node(node, kind), -1.0)
    first = num_experts + options.kinds
    rows.add(first + options.home, h, 1.0)
    rows.add(first + node, options.on_node(node, kind), 1.0)
    first += options.num_nodes
    # What is up to the last threshold before the first one counts for none.
    at = np.flatnonzero(options.up_to > 0)
    sign = np.where(options.is_big[at], 1.0, -1.0)
    rows.add(first + options.home[at] * many + options.up_to[at] - 1, h[at], sign)
    node, t = np.indices((options.num_nodes, many))
    row, t = first + node * many + t, t + 1
    rows.add(row, options.on_node(node, t), 1.0)
    rows.add(row, options.on_node(node, many + 1 + t), -1.0)
    rows.add(row, options.surplus(node, t), 1.0)
    rows.add(row[:, :-1], options.surplus(node, t)[:, 1:], -1.0)
    rows.add(row[:, -1], options.lent, -1.0)
    num_rows = first + options.num_nodes * many
    right = np.zeros(num_rows)
    right[:num_experts] = 1
    right[num_experts + options.kinds : first] = layer.slots
    return rows.matrix(num_rows, options.beyond + 1), right


def _inequalities(layer: PricedLayer, options: _Options) -> tuple[Any, np.ndarray]:
    """The limit on what is off home, and the anchors."""
    rows = _Rows()
    h, a = options.columns()
    rows.add(0, a, options.size / layer.scale)
    rows.add(0, options.beyond, -1.0)
    num_rows = 1 + (len(h) if layer.anchored else 0)
    if layer.anchored:
        rows.add(1 + h, h, 1.0 - options.count)
        rows.add(1 + h, a, 1.0)
    limits = np.zeros(num_rows)
    limits[0] = layer.most / layer.scale
    return rows.matrix(num_rows, options.beyond + 1), limits
