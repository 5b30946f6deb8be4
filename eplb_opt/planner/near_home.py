"""The least that is off home with a load close to the best, of plans that were compared."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.placement import homes, scoring
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.arrays import as_number
from eplb_opt.problem.rounding import round_down, round_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.planner.topologies import TopologyRow


@dataclass(frozen=True, eq=False)
class NearHome:
    """A plan with little off home whose loads are close to the best ones.

    Parameters
    ----------
    plan
        The plan, layer by layer one of those that were compared.
    load
        float64 [num_layers], largest over mean GPU load, rounded up.
    off_home
        float64 [num_layers], the share of assignments served off home, rounded up.
    off_home_bound
        float64 [num_layers]: every plan with a load that is allowed has at least so much off home.
    """

    plan: Plan
    load: np.ndarray
    off_home: np.ndarray
    off_home_bound: np.ndarray


def near_home(rows: Sequence[TopologyRow], tolerance: float) -> NearHome:
    """For each layer the plan with the least off home among those with nearly the least load.

    A plan with a load of L has at least (bound - L) / price off home, by the bound that each price
    proves of load and price together.

    Parameters
    ----------
    rows
        The plans, of which some were made for a price above 0.
    tolerance
        How far a layer's load may be above the least one among the rows, in parts of it.

    Returns
    -------
    NearHome
        The plan, its loads and shares, and what share no such plan is below.

    Raises
    ------
    ProblemError
        When the tolerance cannot be used, or no row has a price.
    """
    allowed = 1 + Fraction(repr(as_number(tolerance, "tolerance")))
    priced = [row for row in rows if row.kind == "priced" and row.price]
    if not priced:
        raise ProblemError("No plan was made for a price; compare plans with a price above 0.")
    judge = priced[0].result.problem
    placed = np.array([row.result.plan.physical_to_logical for row in rows])
    loads = [scoring.load_ratios(judge, plan) for plan in placed]
    away = [homes.off_home(judge, plan) for plan in placed]
    chosen, bounds = [], []
    for layer_idx in range(judge.num_layers):
        limit = allowed * min(row[layer_idx] for row in loads)
        fits = [
            (away[i][layer_idx], row[layer_idx], i)
            for i, row in enumerate(loads)
            if row[layer_idx] <= limit
        ]
        chosen.append(min(fits)[2])
        proven = [
            (row.result.bounds[layer_idx].lower - limit) / Fraction(repr(row.price))
            for row in priced
        ]
        bounds.append(round_down(max(Fraction(0), *proven)))
    layers = range(judge.num_layers)
    return NearHome(
        Plan(placed[chosen, layers], judge.num_gpus, judge.num_experts),
        np.array([round_up(loads[i][at]) for at, i in enumerate(chosen)]),
        np.array([round_up(away[i][at]) for at, i in enumerate(chosen)]),
        np.array(bounds),
    )
