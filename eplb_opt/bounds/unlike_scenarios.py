"""Bounds of several loads where groups stay on nodes whose GPUs differ: one way serves them all."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.scenario_homes import least_together
from eplb_opt.bounds.topology import home_choices
from eplb_opt.bounds.unlike_nodes import ranked_choices
from eplb_opt.problem.node_kinds import at_home_alone

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


def least_of_choices(layer: Problem) -> Fraction | None:
    """The least, over all ways to give nodes their groups, of what the scenarios make together.

    In each scenario a way is worth the largest node's bound over the mean, see `unlike_nodes`; one
    plan gives the nodes their groups in one way.

    Parameters
    ----------
    layer
        A problem of one layer with scenarios whose groups stay on nodes.

    Returns
    -------
    None where there are too many ways to look at.
    """
    choices = home_choices(at_home_alone(layer))
    return None if choices is None else worth_of_choices(layer, choices)[0]


def worth_of_choices(layer: Problem, choices: np.ndarray) -> tuple[Fraction, np.ndarray]:
    """The least that any of the ways is worth, and about what each is, float64 [num_choices].

    Parameters
    ----------
    layer
        As in `least_of_choices`.
    choices
        int64 [num_choices, num_groups], the node of each group, equally many each.
    """
    values: list[list[Fraction]] = []
    places = np.zeros((layer.num_scenarios, len(choices)), dtype=np.int64)
    for r in range(layer.num_scenarios):
        alone = layer.scenario(r)
        total = int(alone.load.sum())
        if not total:
            values.append([Fraction(1)])
            continue
        # Where loads were rounded down, their mean counts with all that rounding may have taken.
        whole = total + int(alone.rounded[0]) * alone.num_experts
        bounds, places[r] = ranked_choices(alone, choices)
        values.append([value * alone.capacity / whole for value in bounds])
    about = [np.array([float(value) for value in row]) for row in values]
    rough = np.array([row[at] for row, at in zip(about, places, strict=True)])
    return least_together(layer, rough, lambda r, choice: values[r][places[r, choice]])
