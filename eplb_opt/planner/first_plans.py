"""The first plan of a call, also where a limit on what is off home is tight."""

from __future__ import annotations

from math import floor, inf
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import MissingDependency, PlanError, ProblemError
from eplb_opt.placement import checker
from eplb_opt.search import starts
from eplb_opt.search.within_limit import NoPlanWithin, limit_words

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.problem.problem import Problem

#: A share that is proven is told in parts of it, rounded down.
TOLD_PARTS = 10**6


def first_plan(problem: Problem, seconds: float = inf) -> np.ndarray:
    """The plan of `search.starts.first_plan`, or one that an exact model finds within a limit.

    Parameters
    ----------
    problem
        The problem, without lost GPUs.
    seconds
        What the plan may take, where something less good takes less.

    Returns
    -------
    int64 [num_layers, num_slots].

    Raises
    ------
    ProblemError
        Where there is no plan, which then is proven, or none was found.
    """
    try:
        return starts.first_plan(problem, seconds)
    except NoPlanWithin:
        layers = [problem.layer(layer_idx) for layer_idx in range(problem.num_layers)]
        return np.array([_of_layer(layer, i) for i, layer in enumerate(layers)])


def _of_layer(layer: Problem, layer_idx: int) -> np.ndarray:
    try:
        return np.asarray(starts.first_plan(layer)[0])
    except NoPlanWithin as error:
        found = error
    from eplb_opt.exact.least_away.call import least_off_home

    try:
        least = least_off_home(layer)
    except MissingDependency:
        least = None
    rules = layer.topology
    if least is None or rules is None:
        raise NoPlanWithin(layer, layer_idx, found.least)
    if least.placed is not None:
        try:
            checker.check(layer, least.placed[None])
        except PlanError:
            pass
        else:
            return least.placed
    if rules.max_off_home is None or least.bound <= rules.most_off_home:
        raise NoPlanWithin(layer, layer_idx, found.least)
    raise ProblemError(
        f"layer {layer_idx}: there is no plan {limit_words(layer)}. {_told(layer, least.bound)} "
        "That is proven. Allow more (max_off_home), take more slots, or other homes."
    )


def _told(layer: Problem, bound: Fraction) -> str:
    """What every plan has, rounded down."""
    rules = layer.topology
    if bound > 1 and rules is not None and rules.rank_costs is None:
        return "Its other rules allow none either."
    share = f"{floor(bound * TOLD_PARTS) / TOLD_PARTS:.6f}"
    if layer.splits_by_sender:
        return f"At least {share} of the assignments cross nodes in any."
    if rules is not None and rules.counts_off_home:
        return f"At least {share} of the assignments are off home in any."
    return f"They cost at least {share} on average in any."
