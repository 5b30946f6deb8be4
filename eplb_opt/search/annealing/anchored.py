"""Annealing where every expert keeps a replica at home: choices of homes by prices, and starts.

Nodes are nearly full of what must be at home, so what the few other slots hold decides, and it is
long until the annealing finds that by itself. Prices of slots and of load on nodes say what every
choice of homes is worth at least (`bounds.priced_choices`), and how many replicas each expert has
where: the solution of the program whose dual values they are, rounded, is where runs begin.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.bounds import Bound
from eplb_opt.bounds.node_prices import PricedNodes
from eplb_opt.bounds.priced_choices import PricedChoices
from eplb_opt.certificates import Certificate
from eplb_opt.clock import core_wait
from eplb_opt.errors import PlanError
from eplb_opt.placement import checker
from eplb_opt.search.annealing.topology import TopologySolver, flat_bound_of_layer
from eplb_opt.search.rounded import rounded_plan

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.bounds.priced import PricedBound
    from eplb_opt.bounds.priced_choices import Solution
    from eplb_opt.problem.problem import Problem
    from eplb_opt.search.annealing.topology import TopologySearch
    from eplb_opt.solver import Answer, Options, Task

#: A first turn under a clock that is shorter, in seconds, anneals and proves nothing.
FIRST_PRICES = 0.05
#: The part of a turn for prices.
PRICES_SHARE = 0.5
#: What prices for one choice take: seconds for each expert and node, and effort.
SECONDS_OF_PRICES, EFFORT_OF_PRICES = 8e-6, 20
#: Choices that get prices in one turn, and slices from a rounded plan whatever the clock says: some
#: milliseconds, without which it is no better than what is known.
MAX_ROUNDS, FIRST_SLICES = 8, 160


class AnchoredSolver(TopologySolver):
    """The annealing for anchored experts as a solver of the schedule.

    Parameters
    ----------
    problem
        A problem of one layer and one load, on GPUs that are alike, whose experts are anchored.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        super().__init__(problem, options)
        self.choices: PricedChoices | None = None
        self.is_quick = False
        self.rounded: set[Solution] = set()  # those that runs have begun from

    def solve(self, task: Task) -> Answer:
        """Look for prices, and then anneal."""
        self.is_quick = self.search is None and task.deadline.remaining < FIRST_PRICES
        is_raised = not self.is_quick and self.problem.load.any() and self._find_prices(task)
        if self.search is not None:
            self._take_start(task)
        answer = super().solve(task)
        return self._with_proof(answer) if is_raised else answer

    def _take_start(self, task: Task) -> None:
        """Go on from the best plan that anybody has found."""
        if self.search is not None and float(task.objective) < self.search.best:
            self.search.restart(task.start)
            self.search.advance(0, 0.0, 1, float("inf"))

    def _find_prices(self, task: Task) -> bool:
        """Prices for some choices of homes; whether there are new ones."""
        choices = self.choices
        if choices is None:
            layer = PricedNodes(self.problem)
            first = layer.level_of(flat_bound_of_layer(self.problem))
            choices = self.choices = PricedChoices(layer, first, layer.units_of(task.objective))
        most = self._price_rounds(task)
        choices.lower_top(choices.layer.units_of(task.objective))
        deadline = task.deadline.part(PRICES_SHARE)
        done = 0
        while not choices.is_done and done < most and not (done and deadline.expired):
            if not choices.step(task.call_deadline):
                break
            done += 1
        return done > 0

    def _priced(self, task: Task) -> PricedBound | None:
        """The bound by the room of nodes, where prices do not say more as quickly."""
        rules = self.problem.topology
        has_prices = self.choices is not None and self.choices.layer.num_choices > 0
        is_limited = rules is not None and rules.max_off_home is not None
        wants_none = self.is_quick or (has_prices and not is_limited)
        return None if wants_none else super()._priced(task)

    def _price_rounds(self, task: Task) -> int:
        """How many choices may get prices; a clock stops them after the first one."""
        if task.effort is not None:
            return int(task.effort * PRICES_SHARE) // EFFORT_OF_PRICES
        # What is begun is finished, however many others want the cores.
        worked, waited = time.thread_time(), core_wait()
        share = worked / max(worked + waited, 1e-9)
        needed = SECONDS_OF_PRICES * self.problem.num_experts * self.problem.num_nodes
        return MAX_ROUNDS if task.deadline.remaining * share > needed else 0

    def _with_proof(self, answer: Answer) -> Answer:
        """The answer with what prices prove, where that is more."""
        choices = self.choices
        if choices is None or not choices.prices:
            return answer
        units, data = choices.certified(choices.first)
        value = choices.layer.as_ratio(units)
        if answer.bound is not None and answer.bound.value >= value:
            return answer
        certificate = Certificate("node_prices", value, data)
        return replace(answer, bound=Bound(value, "topology"), certificate=certificate)

    def _begin(self, search: TopologySearch, attempt: int, objective: Fraction) -> None:
        """Go on from the rounded solution of the next best choice of homes, or the best plan."""
        choices = self.choices
        if choices is None or not choices.solutions:
            super()._begin(search, attempt, objective)
            return
        left = [i for i, found in choices.solutions.items() if found not in self.rounded]
        left = [i for i in left if choices.worth[i] < choices.top]
        if not left:
            search.restart(search.placed())
            return
        choice = min(left, key=lambda i: int(choices.worth[i]))
        self.rounded.add(choices.solutions[choice])
        layer = choices.layer
        homes = np.ascontiguousarray(layer.homes[choice])
        placed = rounded_plan(self.problem, choices.solutions[choice], homes)
        if placed is None or not self._obeys(placed):
            search.restart(search.placed())
            return
        search.restart(placed, homes)
        search.run_slices(FIRST_SLICES)

    def _obeys(self, placed: np.ndarray) -> bool:
        """Whether a plan keeps all rules: a limit on what is off home is none of the prices'."""
        try:
            checker.check(self.problem, placed[None])
        except PlanError:
            return False
        return True
