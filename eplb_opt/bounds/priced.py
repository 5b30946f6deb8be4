"""The best bound of a layer with a topology, and the data of the certificate that proves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb_opt.bounds.crossing import crossing_bound
from eplb_opt.bounds.links import FEW_STEPS, link_bound
from eplb_opt.bounds.topology import HomeBound, home_bound
from eplb_opt.problem.topology import has_unlike_gpus

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.bounds.scenario_homes import ScenarioHomeBound
    from eplb_opt.problem.problem import Problem


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

    `topology` counts what is off home, and looks at every choice of homes; `links` takes any costs,
    and homes or sources that are given. Where GPUs send it is `crossing`.

    Parameters
    ----------
    problem
        A problem of one layer with a topology.
    flat
        A lower bound of its largest GPU load, in integer units.
    steps
        Subgradient steps of `links`.
    """
    rules = problem.topology
    if rules is None:
        raise ValueError("priced_bound needs a problem with a topology.")
    if problem.splits_by_sender:
        crossing = crossing_bound(problem, flat)
        return PricedBound(crossing.value, "crossing", crossing.data, None)
    found = []
    if rules.counts_off_home:
        homes = home_bound(problem, flat)
        data: dict[str, int | list[int]] = {}
        if homes.levels:
            data = {"levels": list(homes.levels), "scale": homes.scale}
        found.append(PricedBound(homes.value, "topology", data, homes))
    # `links` takes the GPUs of a place as alike.
    if not (rules.counts_off_home and (rules.chooses_homes or has_unlike_gpus(problem))):
        links = link_bound(problem, flat, steps)
        found.append(PricedBound(links.value, "traffic", links.data, None))
    return max(found, key=lambda bound: bound.value)
