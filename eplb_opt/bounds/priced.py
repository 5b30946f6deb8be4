"""The best bound of a layer with a topology, and the data of the certificate that proves it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.crossing import crossing_bound
from eplb_opt.bounds.links import FEW_STEPS, link_bound
from eplb_opt.bounds.topology import HomeBound, home_bound
from eplb_opt.problem.topology import MAX_PRICE, node_of_gpus

if TYPE_CHECKING:
    from eplb_opt.bounds.scenario_homes import ScenarioHomeBound
    from eplb_opt.problem.problem import Problem


#: Prices and limits of off-home shares that stand for costs of links are multiples of this part.
PARTS = 10**6


@dataclass(frozen=True)
class PricedBound:
    """A bound of largest over mean load plus price.

    Parameters
    ----------
    value
        The bound.
    source
        "topology", "traffic", "crossing" or, of several loads, "scenario_topology": its argument,
        and the kind of its certificate.
    data
        The data of the certificate; empty where there is nothing to prove.
    homes
        The bounds of the choices of homes, where homes are chosen with the plan.
    """

    value: Fraction
    source: str
    data: dict[str, int | list[int]]
    homes: HomeBound | ScenarioHomeBound | None


def priced_bound(problem: Problem, flat: Fraction, steps: int = FEW_STEPS) -> PricedBound:
    """The best bound for a problem of one layer.

    `topology` counts what is off home, and looks at every choice of homes; `links` takes any costs
    and sources, for homes that are given. Where GPUs send it is `crossing`.

    Parameters
    ----------
    problem
        A problem of one layer with a topology.
    flat
        A lower bound of its largest GPU load, in integer units.
    steps
        Newton steps of `links`.
    """
    rules = problem.topology
    if rules is None:
        raise ValueError("priced_bound needs a problem with a topology.")
    if problem.splits_by_sender:
        crossing = crossing_bound(problem, flat)
        return PricedBound(crossing.value, "crossing", crossing.data, None)
    found = []
    if rules.counts_off_home or rules.chooses_homes:
        asked, base = off_home_instead(problem)
        homes = home_bound(asked, flat)
        data: dict[str, int | list[int]] = {}
        if homes.levels:
            data = {"levels": list(homes.levels), "scale": homes.scale}
        of_homes = homes if rules.counts_off_home else None
        found.append(PricedBound(homes.value + base, "topology", data, of_homes))
    if not rules.chooses_homes:
        links = link_bound(problem, flat, steps)
        found.append(PricedBound(links.value, "traffic", links.data, None))
    return max(found, key=lambda bound: bound.value)


def off_home_instead(problem: Problem) -> tuple[Problem, Fraction]:
    """A problem of what is off home whose bound, plus a constant, holds for costs of links.

    An assignment at home costs at least the cheapest link from a home to its own node, and one off
    home the cheapest to another node. So links cost at least the less of both, plus what the latter
    is above the former times the off-home share.

    Parameters
    ----------
    problem
        A problem of one layer whose homes are chosen with the plan, or count alone.
    """
    rules, links = problem.topology, problem.link_costs
    if rules is None or rules.counts_off_home or not problem.load.any():
        return problem, Fraction(0)
    node = node_of_gpus(problem)
    node_of_place = node[np.searchsorted(links.place, np.arange(links.num_places))]
    is_home = node_of_place == np.arange(problem.num_nodes)[:, None]
    near, far = (int(links.table[0][mask].min()) for mask in (is_home, ~is_home))
    base = Fraction(min(near, far), links.unit[0])
    more = Fraction(max(far - near, 0), links.unit[0])
    most = rules.max_off_home
    if most is not None:
        share = (rules.most_off_home - base) / more if more else Fraction(1)
        most = ceil(min(max(share, Fraction(0)), Fraction(1)) * PARTS) / PARTS
    price = min(floor(rules.exact_price * more * PARTS) / PARTS, MAX_PRICE)
    plain = replace(rules, price=price, max_off_home=most, rank_costs=None)
    return problem.with_topology(plain), rules.exact_price * base
