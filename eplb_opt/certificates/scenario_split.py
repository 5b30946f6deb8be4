"""Verification of kind "scenario_split": several loads whose experts are split over nodes alike.

A plan serves a part x_en of expert e on node n, the same in every scenario: its replicas there over
all of its replicas. Let w_se be an expert's part of a scenario's tokens, G the GPUs and g_n those
of a node, or what their speeds add up to, and t_s the scenario's largest over its mean GPU load.
Then for every scenario and node

    sum_e w_se x_en <= t_s g_n / G,    t_s >= 1,    sum_e x_en <= slots of n,    sum_n x_en = 1

for an expert has at least one replica. The layer is worth at least, for the weights l_s of the
scenarios, or where the worst counts for any l_s >= 0 that add up to 1 at most,

    sum_s l_s (t_s + price sum_e w_se (1 - x_e,home)).

For any u_sn >= 0 with sum_n u_sn g_n <= l_s G, any z_n >= 0 and, where there is a limit on the
weighted mean of what is off home, any m >= 0, Lagrange's bound of that is

    sum_e min_n [(price + m) sum_s l_s w_se (n is not home) + sum_s u_sn w_se + z_n]
    + sum_s (l_s - sum_n u_sn g_n / G) - sum_n z_n slots_n - m limit.

The data have such multipliers, in units of 1 / UNIT: `node` (u), `slot` (z), `limit` (m), and
`weight` (l) where the worst counts, one set after the other. Every choice of homes is worth the
most that any set proves for it, and the layer the least over the choices. Parts, prices and weights
are rounded down, which only lowers what is proven; a scenario without load is worth 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.home_layer import all_homes, nodes_of
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

#: Units of a multiplier, and of an expert's part: products of both, added up, fit int64.
UNIT, PARTS = 2**20, 2**32
#: Prices, and multipliers of the limit, above this would not fit; nor would prices of a slot above
#: this for all experts together, or more nodes than this.
MAX_PRICE, MAX_NODES = 200, 512
#: The most sets of multipliers.
MAX_SETS = 200

Data = dict[str, "int | list[int]"]


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again as the module describes.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    if problem.topology is None or not problem.has_scenarios:
        raise CertificateError("scenario_split is of several loads with a topology.")
    if proven(problem, certificate.data) < certificate.bound:
        raise CertificateError(f"a choice of homes is not proven {certificate.bound}.")
    return certificate.bound


def proven(problem: Problem, data: Data) -> Fraction:
    """What multipliers prove of a layer with several loads and a topology.

    Raises
    ------
    CertificateError
        When they are no multipliers, or there are too many choices of homes.
    """
    layer = _Layer.of(problem.without_lost_gpus() or problem)
    homes = all_homes(layer.problem)
    if homes is None:
        raise CertificateError("there are too many choices of homes.")
    sets = _read(layer, data)
    home = np.array(homes)
    best = np.max([layer.units_of(one, home) for one in sets], axis=0)
    # Every scenario is worth no less for the tokens that its loads lack than in this proportion.
    value = Fraction(int(best.min()), UNIT * PARTS) * layer.true
    return max(value, Fraction(0)) + layer.empty


@dataclass(frozen=True, eq=False)
class _Set:
    """Multipliers in units of 1 / UNIT."""

    node: np.ndarray  # int64 [scenarios, nodes]
    slot: np.ndarray  # int64 [nodes]
    weight: np.ndarray  # int64 [scenarios]
    limit: int


@dataclass(frozen=True, eq=False)
class _Layer:
    """What the layer's scenarios with load and weight have in common."""

    problem: Problem
    part: np.ndarray  # int64 [scenarios, experts], in units of 1 / PARTS
    weight: tuple[Fraction, ...]
    rates: np.ndarray  # of nodes, Python's integers of any size
    slots: np.ndarray
    true: Fraction
    empty: Fraction  # what scenarios without load are worth together, by their weights

    @staticmethod
    def of(problem: Problem) -> _Layer:
        rows = [[int(w) for w in row[0].tolist()] for row in problem.load]
        totals = [sum(row) for row in rows]
        used = [r for r, total in enumerate(totals) if total and problem.shares[r]]
        if not used:
            raise CertificateError("a layer without load is worth 1.")
        part = [[w * PARTS // totals[r] for w in rows[r]] for r in used]
        lacking = [int(row[0]) * problem.num_experts for row in problem.rounded]
        is_mean = problem.objective != "max"
        nodes = nodes_of(problem)
        empty = [s for s, total in zip(problem.shares, totals, strict=True) if not total]
        return _Layer(
            problem,
            np.array(part, dtype=np.int64),
            tuple(problem.shares[r] for r in used),
            np.array([node.rate for node in nodes], dtype=object),
            np.array([node.slots for node in nodes], dtype=np.int64),
            min(Fraction(totals[r], totals[r] + lacking[r]) for r in used),
            sum(empty, Fraction(0)) if is_mean else Fraction(0),
        )

    def units_of(self, one: _Set, home: np.ndarray) -> np.ndarray:
        """What multipliers prove of every choice [num_choices, experts], in 1 / (UNIT PARTS)."""
        spend(home.size // 4 + 20 * self.part.size)
        rules = self.problem.topology
        price = Fraction(0) if rules is None else rules.exact_price
        total = price + Fraction(one.limit, UNIT)
        away = np.array([floor(total * weight) for weight in one.weight.tolist()])
        off = self.part.T @ away  # of each expert, were all of it off home
        there = self.part.T @ one.node + one.slot * PARTS  # [experts, nodes]
        order = np.sort(there, axis=1)
        at_home = np.take_along_axis(there, home.T, axis=1)
        # The least elsewhere is the least of all, or at home the least anyhow.
        served = np.minimum(at_home, order[:, :1] + off[:, None]).sum(axis=0)
        carried = Fraction((one.node.sum(axis=0) * self.rates).sum(), self.rates.sum())
        left = int(one.weight.sum()) - carried - int(one.slot @ self.slots)
        if one.limit and rules is not None:
            left -= one.limit * rules.most_off_home
        return np.asarray(served + floor(left * PARTS))


def _read(layer: _Layer, data: Data) -> list[_Set]:
    is_max = layer.problem.objective == "max"
    names = ["node", "slot", "limit", *(["weight"] if is_max else [])]
    lists = [data.get(name) for name in names]
    if set(data) != set(names) or not all(isinstance(values, list) for values in lists):
        raise CertificateError(f"wanted are the lists {', '.join(names)} and no more.")
    tables = [np.array(values, dtype=object) for values in lists]
    scenarios, nodes = len(layer.part), len(layer.rates)
    num = len(tables[2])
    sizes = [num * scenarios * nodes, num * nodes, num, num * scenarios]
    if not 1 <= num <= MAX_SETS or any(len(t) != s for t, s in zip(tables, sizes, strict=False)):
        raise CertificateError(f"there are 1 to {MAX_SETS} sets of multipliers, all as long.")
    if any(v < 0 or v > MAX_PRICE * UNIT for table in tables for v in table):
        raise CertificateError(f"multipliers are 0 to {MAX_PRICE}.")
    rules = layer.problem.topology
    if rules is None or rules.exact_price > MAX_PRICE:
        raise CertificateError(f"the price is above {MAX_PRICE}.")
    whole = layer.rates.sum()
    if whole > MAX_NODES * layer.rates.min():
        raise CertificateError("a node has too small a part of all GPUs.")
    if any(v > MAX_PRICE * UNIT // layer.problem.num_experts for v in tables[1]):
        raise CertificateError("the price of a slot is too high.")
    shares = np.array([floor(share * UNIT) for share in layer.weight], dtype=np.int64)
    found = []
    for i in range(num):
        node = tables[0].reshape(num, scenarios, nodes)[i].astype(np.int64)
        slot = tables[1].reshape(num, nodes)[i].astype(np.int64)
        weight = tables[3].reshape(num, scenarios)[i].astype(np.int64) if is_max else shares
        one = _Set(node, slot, weight, int(tables[2][i]))
        carried = (node * layer.rates).sum(axis=1)
        if (carried > weight.astype(object) * whole).any() or weight.sum() > UNIT:
            raise CertificateError("multipliers of a scenario are above its weight.")
        if one.limit and (is_max or rules.max_off_home is None):
            raise CertificateError("there is no limit on the weighted mean of what is off home.")
        found.append(one)
    return found
