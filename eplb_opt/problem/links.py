"""What an assignment costs on each GPU: the links that it takes from where its tokens are.

An expert's assignments come from its sources: the GPUs or nodes where its tokens are, or its home
node, evenly from that node's GPUs. On GPU g an assignment costs the mean, over its sources, of the
cost of the link from there to g. Without costs of links, a link costs 0 within a node and 1 between
two. GPUs that are lost send nothing.

Costs are taken as the decimal numbers that they are written as, and integer sources as they are;
float sources to 2**-32 of an expert's total. The mean is then exact, as integers of a unit of the
layer's, where a unit of 2**-30 or more will do, else rounded to the next multiple of 2**-30.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.problem import topology

if TYPE_CHECKING:
    from eplb_opt.problem.terms import Terms

#: The finest unit of costs, and the parts that an expert's float sources are taken in.
MAX_UNIT = 2**30
PARTS = 2**32
#: Products that are added up stay below this many bits in int64; larger ones are Python's.
SUM_BITS = 62
#: Sums below this many bits are exact in float64, and quotients of so many are nearly so.
FLOAT_BITS = 52
#: Rows whose quotients are looked at together for their common unit.
FEW_ROWS = 16
#: The largest number that int64 tokens of nodes are multiplied by.
MAX_GRAIN = 2**10


@dataclass(frozen=True, eq=False)
class LinkCosts:
    """What an assignment costs on each place: a node or, where it matters, a GPU.

    Parameters
    ----------
    table
        int64 [num_layers, num_rows, num_places], in parts of `unit`. Rows are home nodes, or
        experts where the topology has sources.
    unit
        [num_layers], what makes a cost of 1.
    place
        int64 [num_gpus], the place of each GPU, ascending from 0.
    by_home
        Whether rows are home nodes.
    """

    table: np.ndarray
    unit: tuple[int, ...]
    place: np.ndarray
    by_home: bool

    def of_layers(self, layers: Any) -> LinkCosts:
        """The costs of some of the layers."""
        unit = np.array(self.unit, dtype=np.int64)[layers].tolist()
        return LinkCosts(self.table[layers], tuple(unit), self.place, self.by_home)

    def of_experts(self, layer_idx: int, homes: np.ndarray) -> np.ndarray:
        """The row of each expert in one layer, int64 [num_experts, num_places].

        Parameters
        ----------
        layer_idx
            Place of the layer, from 0.
        homes
            int64 [num_experts], home nodes; not read where there are sources.
        """
        rows = self.table[layer_idx]
        return np.asarray(rows[homes] if self.by_home else rows)

    @property
    def num_places(self) -> int:
        """Nodes, or GPUs."""
        return int(self.place[-1]) + 1

    @property
    def tells_gpus_apart(self) -> bool:
        """Whether GPUs of a node differ in what an assignment costs there."""
        return self.num_places == len(self.place)


def link_costs(terms: Terms) -> LinkCosts:
    """The costs of a problem with a topology."""
    node = topology.node_of_gpus(terms)
    is_there = terms.open_slots > 0
    costs, bottom = _whole_costs(terms, node)
    sources = None if terms.topology is None else terms.topology.sources
    if sources is None:
        on_node = (np.arange(terms.num_nodes)[:, None] == node) & is_there
        tables = [_means(on_node.astype(np.int64), costs, bottom)] * terms.num_layers
    else:
        tables = _tables(_tokens(terms, sources, node, is_there), costs, bottom)
    by_gpu = np.stack([table for table, _ in tables])
    place, first = node, np.searchsorted(node, np.arange(terms.num_nodes))
    if (by_gpu != by_gpu[:, :, first[node]]).any():
        place, first = np.arange(terms.num_gpus), np.arange(terms.num_gpus)
    table = np.ascontiguousarray(by_gpu[:, :, first])
    table.flags.writeable = False
    return LinkCosts(table, tuple(unit for _, unit in tables), place, sources is None)


def _tables(
    tokens: list[np.ndarray], costs: np.ndarray, bottom: int
) -> list[tuple[np.ndarray, int]]:
    """`_means` of each layer; of equal layers in a row, such as sources for all of them, once."""
    found: list[tuple[np.ndarray, int]] = []
    for layer_idx, row in enumerate(tokens):
        is_same = layer_idx > 0 and np.array_equal(row, tokens[layer_idx - 1])
        found.append(found[-1] if is_same else _means(row, costs, bottom))
    return found


def _whole_costs(terms: Terms, node: np.ndarray) -> tuple[np.ndarray, int]:
    """Costs of links between GPUs as integers [num_gpus, num_gpus], and what makes a cost of 1."""
    given = None if terms.topology is None else terms.topology.rank_costs
    if given is None:
        return (node[:, None] != node).astype(np.int64), 1
    values, at = np.unique(given, return_inverse=True)
    exact = [Fraction(repr(value)) for value in values.tolist()]
    bottom = lcm(*(value.denominator for value in exact))
    whole = [value.numerator * (bottom // value.denominator) for value in exact]
    fits = max(whole).bit_length() < SUM_BITS
    costs = np.array(whole, dtype=np.int64 if fits else object)[at.reshape(given.shape)]
    if len(given) != terms.num_gpus:
        costs = costs[np.ix_(node, node)]
    return costs, bottom


def _tokens(
    terms: Terms, sources: np.ndarray, node: np.ndarray, is_there: np.ndarray
) -> list[np.ndarray]:
    """For each layer what comes from each GPU, integers [num_experts, num_gpus].

    What comes from a node comes evenly from its GPUs. An expert without tokens gets them as its
    layer does, and where that has none either, evenly from all GPUs.
    """
    if sources.dtype.kind == "f":
        whole = sources.sum(axis=1, keepdims=True)
        parts = np.divide(sources, whole, out=np.zeros_like(sources), where=whole > 0)
        sources = np.rint(parts * PARTS).astype(np.int64)
    if sources.shape[1] != terms.num_gpus:
        size = np.bincount(node[is_there], minlength=terms.num_nodes)
        grain = lcm(*size.tolist())
        wide = sources.astype(object) if grain > MAX_GRAIN else sources
        sources = (wide * (grain // size)[:, None])[:, node]
    found = []
    for layer in np.where(is_there[:, None], sources, 0):
        rows = layer.T
        empty = rows.sum(axis=1) == 0
        together = rows.sum(axis=0) if rows.any() else is_there.astype(np.int64)
        found.append(np.where(empty[:, None], together, rows))
    return found


def _means(tokens: np.ndarray, costs: np.ndarray, bottom: int) -> tuple[np.ndarray, int]:
    """Mean costs of rows of tokens, int64 [num_rows, num_gpus], and what makes a cost of 1."""
    bits = int(tokens.sum(axis=1).max()).bit_length() + int(costs.max()).bit_length()
    if costs.dtype == object or bits > SUM_BITS:
        sums = tokens.astype(object) @ costs.astype(object)
    elif bits <= FLOAT_BITS:  # which floats add up exactly, and many times faster
        sums = (tokens.astype(np.float64) @ costs.astype(np.float64)).astype(np.int64)
    else:
        sums = tokens @ costs
    tops = tokens.sum(axis=1, keepdims=True)
    if sums.dtype == object or int(tops.max()) * bottom >= 2**SUM_BITS:
        tops = tops.astype(object)
    tops = tops * bottom
    unit = _common_unit(sums, tops)
    return _rounded(sums, tops, unit).astype(np.int64), unit


def _common_unit(sums: np.ndarray, tops: np.ndarray) -> int:
    """The least unit in which all quotients sums / tops are whole, `MAX_UNIT` at most."""
    unit = 1
    for begin in range(0, len(sums), FEW_ROWS):  # hardly ever more than the first ones are read
        rows = slice(begin, begin + FEW_ROWS)
        common = np.gcd(np.gcd.reduce(sums[rows], axis=1), tops[rows, 0])
        unit = lcm(unit, *(tops[rows, 0] // common).tolist())
        if unit > MAX_UNIT:
            return MAX_UNIT
    return unit


def _rounded(sums: np.ndarray, tops: np.ndarray, unit: int) -> np.ndarray:
    """Quotients unit * sums / tops as the nearest integers, halves up; [num_rows, num_gpus]."""
    if tops.dtype == object:
        return np.asarray((2 * unit * sums + tops) // (2 * tops))
    # Floats miss by 1 at most. The products may wrap around, but what is left of them is small, so
    # that it is exact all the same.
    near = np.rint(sums.astype(np.float64) * unit / tops).astype(np.int64)
    left = unit * sums - near * tops
    return np.asarray(near + (2 * left >= tops) - (2 * left < -tops))
