"""Annealing where groups stay on nodes whose GPUs differ: which node a group gets is searched too.

It is the annealing for a priced topology, with proposals that leave no node; see
`eplb_opt.problem.node_kinds.at_home_alone`.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.priced import PricedBound
from eplb_opt.bounds.topology import HomeBound, home_choices
from eplb_opt.bounds.unlike_nodes import choice_bounds, unlike_node_bounds
from eplb_opt.bounds.unlike_scenarios import worth_of_choices
from eplb_opt.certificates import Certificate
from eplb_opt.problem import topology
from eplb_opt.problem.node_kinds import at_home_alone
from eplb_opt.problem.scenarios import blended
from eplb_opt.search.annealing.topology import (
    TopologyParams,
    TopologySearch,
    TopologySolver,
    params_for,
)
from eplb_opt.search.at_home import level_choices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Answer, Options, Task

#: All proposals are within a node, where all is at home.
PARAMS = TopologyParams(near=1024, settling=1024)
#: Where there are too many choices of homes, two groups trade nodes at most so many times.
MAX_EXCHANGES = 20
#: A value and a bound that differ by no more are the same.
NOISE = 1e-12


def nodes_params(problem: Problem) -> TopologyParams:
    """The settings for a layer: several loads cool in another way."""
    return replace(PARAMS, cooling=params_for(problem).cooling) if problem.has_scenarios else PARAMS


class NodesSearch(TopologySearch):
    """Anytime search on one layer, all of whose groups are at home where the start has them."""

    def homes(self, placed: np.ndarray) -> np.ndarray:
        """The node of each expert in a plan whose groups stay on nodes, int64 [num_experts]."""
        node = np.zeros(self.problem.num_experts, dtype=np.int64)
        is_open = self.problem.is_open
        node[placed[is_open]] = topology.node_of_slots(self.problem)[is_open]
        return node


class UnlikeNodesSolver(TopologySolver):
    """The annealing as a solver of the schedule; turns go through the choices as a topology's do.

    Parameters
    ----------
    problem
        A problem of one layer whose groups stay on nodes with GPUs that differ.
    options
        The options of the call; this solver reads none of them.
    """

    #: Shorter, for every choice of homes is a run of its own.
    part_slices = 32

    def __init__(self, problem: Problem, options: Options) -> None:
        super().__init__(problem, options)
        self.asked = problem

    def solve(self, task: Task) -> Answer:
        """Anneal in a run that cools to the end of the turn."""
        if self.search is None:
            self.problem = at_home_alone(self.asked)
        return super().solve(task)

    def make_search(self, start: np.ndarray, seed: int) -> TopologySearch:
        """The search from a plan."""
        return NodesSearch(self.problem, start, seed, nodes_params(self.problem))

    def leads_elsewhere(
        self, search: TopologySearch, better: list[np.ndarray], objective: Fraction
    ) -> bool:
        """The same; a plan may reach what its choice is worth, which is then not among them."""
        if len(better) != 1:
            return len(better) > 1
        first = np.unique(topology.group_of_experts(self.problem), return_index=True)[1]
        choice = search.homes(search.placed())[first]
        return float(_worth(self.asked, choice[None])[0]) >= float(objective) * (1 - NOISE)

    def prove(self) -> PricedBound:
        """The choices by their bounds, in loads, and what holds for all of them."""
        choices, value = home_choices(self.problem), None
        if choices is not None:
            value = _least(self.asked, choices)
        else:
            if not self.asked.has_scenarios:
                value = unlike_node_bounds(self.asked)[0]
            choices = _choices_near(self.asked, level_choices(blended(self.problem))[0])
        bounds = _worth(self.asked, choices)
        order = sorted(range(len(bounds)), key=lambda i: (bounds[i], i))
        of_choice = tuple(Fraction(bounds[i]) for i in order)
        homes = HomeBound(Fraction(0), (), 1, choices[order], of_choice)
        return PricedBound(value or Fraction(0), "unlike_nodes", {}, homes)

    def certificate_of(self, priced: PricedBound) -> Certificate | None:
        """It needs no data; there are loads without any bound."""
        return Certificate(priced.source, priced.value, {}) if priced.value else None


def _least(problem: Problem, choices: np.ndarray) -> Fraction:
    """The least that any of the choices is worth, exactly."""
    if problem.has_scenarios:
        return worth_of_choices(problem, choices)[0]
    return min(choice_bounds(problem, choices))


def _worth(problem: Problem, choices: np.ndarray) -> Sequence[Fraction | float]:
    """What each choice is worth: the largest load, or about what several loads make together."""
    if problem.has_scenarios:
        worth: list[float] = worth_of_choices(problem, choices)[1].tolist()
        return worth
    return choice_bounds(problem, choices)


def _choices_near(problem: Problem, choice: np.ndarray) -> np.ndarray:
    """A choice of homes after exchanges that lower its bound, and those one exchange from it."""
    best = _worth(problem, choice[None])[0]
    near = _exchanged(choice)
    for _ in range(MAX_EXCHANGES):
        bounds = _worth(problem, near)
        least = min(range(len(bounds)), key=lambda i: (bounds[i], i))
        if bounds[least] >= best:
            break
        choice, best = near[least], bounds[least]
        near = _exchanged(choice)
    return np.concatenate([choice[None], near])


def _exchanged(choice: np.ndarray) -> np.ndarray:
    """The choices in which two groups have traded nodes, int64 [num, num_groups]."""
    found = [choice]
    for g in range(len(choice)):
        for h in (np.flatnonzero(choice[g + 1 :] != choice[g]) + g + 1).tolist():
            other = choice.copy()
            other[[g, h]] = other[[h, g]]
            found.append(other)
    return np.array(found)
