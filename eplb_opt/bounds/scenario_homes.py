"""Lower bounds of a layer's load and price of what is off home, for several loads at once.

One plan serves all scenarios, and its homes are one choice for all of them. For every choice each
scenario is worth at least what `topology` proves for it alone with these homes; so the layer is
worth at least the weighted mean of that, or the largest, and no less than the least over the
choices. A scenario without load is worth 1.

A limit on what is off home holds for the weighted mean of the scenarios, in which one of them may
exceed it; so what is proven of a scenario alone leaves the limit out. Where the worst scenario
counts the limit holds for each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.topology import HomeBound, home_bound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eplb_opt.problem.problem import Problem


#: Far above the rounding of a float64 sum of some scenarios.
FLOAT_DOUBT = 1e-9


@dataclass(frozen=True)
class ScenarioHomeBound:
    """The bound of one layer.

    Parameters
    ----------
    value
        The bound, largest over mean load plus price, put together over the scenarios.
    parts
        What is proven of each scenario alone.
    choices
        int64 [num_choices, num_groups], the node of each group in each choice of homes, those with
        the least bounds first; empty where the problem has homes or there are too many choices.
    of_choice
        [num_choices], their bounds, for looking at.
    """

    value: Fraction
    parts: tuple[HomeBound, ...]
    choices: np.ndarray
    of_choice: tuple[float, ...]


def scenario_alone(layer: Problem, scenario_idx: int) -> Problem:
    """One scenario of a layer, with the rules that its plans keep for that scenario alone."""
    alone, rules = layer.scenario(scenario_idx), layer.topology
    if rules is None or rules.max_off_home is None or layer.objective == "max":
        return alone
    return alone.with_topology(replace(rules, max_off_home=None))


def scenario_home_bound(layer: Problem, flat: Sequence[Fraction]) -> ScenarioHomeBound:
    """The bound of the module's docstring.

    Parameters
    ----------
    layer
        A problem of one layer with scenarios and a topology.
    flat
        [num_scenarios], lower bounds of the largest GPU loads, in integer units.
    """
    parts = tuple(home_bound(scenario_alone(layer, r), least) for r, least in enumerate(flat))
    choices = max((part.choices for part in parts), key=len)
    if not len(choices):
        value = together(layer, [part.value for part in parts])
        return ScenarioHomeBound(value, parts, choices, ())
    choices = choices[np.lexsort(choices.T[::-1])]
    exact = [_of_each(part, len(choices)) for part in parts]
    nearly = np.array([[float(value) for value in row] for row in exact])
    value, rough = least_together(layer, nearly, lambda r, choice: exact[r][choice])
    order = np.argsort(rough, kind="stable")
    return ScenarioHomeBound(value, parts, choices[order], tuple(rough[order].tolist()))


def _of_each(part: HomeBound, num_choices: int) -> list[Fraction]:
    """What a scenario is worth by choices in ascending order; without load always the same."""
    if not part.of_choice:
        return [part.value] * num_choices
    return [part.of_choice[i] for i in np.lexsort(part.choices.T[::-1]).tolist()]


def least_together(
    layer: Problem, of_each: np.ndarray, exact: Callable[[int, int], Fraction]
) -> tuple[Fraction, np.ndarray]:
    """The least over choices of what the scenarios' values make together, and all of these.

    Parameters
    ----------
    layer
        A problem of one layer with scenarios.
    of_each
        float64 [num_scenarios, num_choices], about what each scenario is worth.
    exact
        What a scenario is worth under a choice, exactly.

    Returns
    -------
    The least, exactly, and float64 [num_choices], about what each choice is worth.
    """
    if layer.objective == "max":
        rough = of_each[[r for r, share in enumerate(layer.shares) if share]].max(axis=0)
    else:
        rough = np.array([float(share) for share in layer.shares]) @ of_each
    # Floats only say which choices may be the least; those are then put together exactly.
    nearly = np.flatnonzero(rough <= rough.min() * (1 + FLOAT_DOUBT)).tolist()
    scenarios = range(len(of_each))
    return min(together(layer, [exact(r, i) for r in scenarios]) for i in nearly), rough


def together(layer: Problem, values: Sequence[Fraction]) -> Fraction:
    """What the scenarios' values make together, as the problem's objective does."""
    pairs = zip(values, layer.shares, strict=True)
    if layer.objective == "max":
        return max(value for value, share in pairs if share)
    return sum((value * share for value, share in pairs), Fraction(0))
