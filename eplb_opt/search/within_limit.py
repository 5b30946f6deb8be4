"""Plans of layers with a tight limit on what is off home, crosses nodes, or links cost.

Where first plans break the limit, annealing for little of it and hardly anything else goes on from
them, with counted work. What it does not find is left to `exact.least_away`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eplb_opt.bounds.topology import home_choices
from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.placement import checker
from eplb_opt.placement.homes import off_home
from eplb_opt.problem import topology
from eplb_opt.problem.scenarios import blended
from eplb_opt.search.across_nodes import AIMS, plan_across
from eplb_opt.search.annealing.shares import ShareSearch
from eplb_opt.search.annealing.topology import TopologySearch
from eplb_opt.search.at_home import plan_at_home

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    import numpy as np

    from eplb_opt.problem.problem import Problem

#: Prices on what is off home, one after the other, at which a load hardly counts.
PRICES = (3.0, 100.0)
#: Slices of annealing at each price, from each of at most so many plans.
SLICES, MOST_STARTS = 200, 4


def within_limit(problem: Problem, placed: np.ndarray) -> np.ndarray:
    """The plan with other layers where its own break a rule on what is off home.

    Parameters
    ----------
    problem
        A problem with a topology.
    placed
        int64 [num_layers, num_slots], a plan that keeps all other rules.

    Raises
    ------
    ProblemError
        Where none is found for a layer.
    """
    rules = problem.topology
    if rules is None or not (rules.anchored or rules.max_off_home is not None):
        return placed  # a price forbids nothing, and the caller checks what it takes
    if not _offence(problem, placed):
        return placed
    rows = placed.copy()
    for layer_idx, row in enumerate(placed):
        layer = problem.layer(layer_idx)
        if _offence(layer, row[None]):
            rows[layer_idx] = kept_within(layer, [row, *_other_starts(layer)], layer_idx)
    return rows


def kept_within(layer: Problem, tried: Sequence[np.ndarray], layer_idx: int = 0) -> np.ndarray:
    """A plan of one layer that keeps all rules, int64 [num_slots].

    Parameters
    ----------
    layer
        A problem of one layer with a topology.
    tried
        int64 [num_slots] each, plans to start from.
    layer_idx
        The layer's place, for the message.

    Raises
    ------
    ProblemError
        Where none is found, with the least that was.
    """
    loose = loosened(layer)
    known = {row.tobytes(): row for row in tried if not _offence(loose, row[None])}
    starts = sorted(known.values(), key=lambda row: off_home(layer, row[None])[0])
    least, offence = None, ""
    for start in starts[:MOST_STARTS]:
        for price in (None, *PRICES):
            row = start if price is None else _annealed(loose, start, price)
            offence = _offence(layer, row[None])
            if not offence:
                return row
            share = off_home(layer, row[None])[0]
            least = share if least is None else min(share, least)
    raise NoPlanWithin(layer, layer_idx, least, offence)


class NoPlanWithin(ProblemError):
    """No plan of a layer was found that keeps the rules on what is off home.

    Parameters
    ----------
    layer, layer_idx
        The layer and its place.
    least
        The least off home that was found; None where nothing was.
    offence
        What the last plan breaks.
    """

    def __init__(
        self, layer: Problem, layer_idx: int, least: Fraction | None, offence: str = ""
    ) -> None:
        found = "" if least is None else f" {float(least):.6f} is the least that was found."
        super().__init__(
            f"layer {layer_idx}: no plan was found {limit_words(layer)}.{found} Allow more "
            "(max_off_home), take more slots, or other homes."
        )
        self.least, self.offence = least, offence


def limit_words(layer: Problem) -> str:
    """The rules on what is off home, as the end of a sentence."""
    rules = layer.topology
    if rules is None or rules.max_off_home is None:
        return "that keeps a replica of each expert at home"
    most = f"{rules.max_off_home:g}"
    if layer.splits_by_sender:
        return f"of which at most {most} of the assignments cross nodes"
    told = f"with at most {most} of the assignments off home"
    if not rules.counts_off_home:
        told = f"whose assignments cost at most {most} on average"
    return told + (" and a replica of each expert at home" if rules.anchored else "")


def loosened(problem: Problem, price: float = 0.0) -> Problem:
    """The same with a limit that no plan breaks, so that homes are chosen as with it."""
    rules = problem.topology
    if rules is None or rules.max_off_home is None:
        return problem
    links, most = problem.link_costs, 1.0
    if rules.rank_costs is not None:
        most += max(
            float(table.max() / unit) for table, unit in zip(links.table, links.unit, strict=True)
        )
    return problem.with_topology(replace(rules, price=price or rules.price, max_off_home=most))


def _offence(problem: Problem, placed: np.ndarray) -> str:
    """The rule that a plan breaks; "" for none."""
    try:
        checker.check(problem, placed)
    except PlanError as error:
        return str(error)
    return ""


def _other_starts(layer: Problem) -> list[np.ndarray]:
    """Plans across nodes for several aims; or for other homes, all that fits at home there."""
    if layer.splits_by_sender:
        return [plan_across(layer, aim) for aim in AIMS if layer.load.any()]
    rules = layer.topology
    choices = home_choices(layer) if rules is not None and rules.chooses_homes else None
    if choices is None:
        return []
    group, load = topology.group_of_experts(layer), blended(layer)
    step = max(len(choices) // (4 * MOST_STARTS), 1)
    return [plan_at_home(load, choice[group]) for choice in choices[::step]]


def _annealed(loose: Problem, start: np.ndarray, price: float) -> np.ndarray:
    """What annealing makes of a plan at a price; the same for the same plan."""
    kind = ShareSearch if loose.splits_by_sender else TopologySearch
    search = kind(loosened(loose, price), start, 0)
    if search.is_trivial:
        return start
    search.run_slices(SLICES)
    return search.placed()
