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

from eplb_opt.bounds.topology import HomeBound, home_bound

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from eplb_opt.problem.problem import Problem


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
        [num_choices], their bounds.
    """

    value: Fraction
    parts: tuple[HomeBound, ...]
    choices: np.ndarray
    of_choice: tuple[Fraction, ...]


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
    # Each part has the choices in an order of its own; one without load is worth the same anyhow.
    known = [
        dict(zip(map(tuple, part.choices.tolist()), part.of_choice, strict=True)) for part in parts
    ]
    values = [
        together(layer, [k.get(row, p.value) for k, p in zip(known, parts, strict=True)])
        for row in map(tuple, choices.tolist())
    ]
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    return ScenarioHomeBound(min(values), parts, choices[order], tuple(values[i] for i in order))


def together(layer: Problem, values: Sequence[Fraction]) -> Fraction:
    """What the scenarios' values make together, as the problem's objective does."""
    pairs = zip(values, layer.shares, strict=True)
    if layer.objective == "max":
        return max(value for value, share in pairs if share)
    return sum((value * share for value, share in pairs), Fraction(0))
