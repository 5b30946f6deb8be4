"""The exact model of a layer whose groups stay on nodes with GPUs that differ.

It is that of a topology of price 0 with nothing off home; objectives are loads.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eplb_opt.exact.homes.solver import HomeModelSolver
from eplb_opt.problem.node_kinds import at_home_alone
from eplb_opt.solver import Answer, Verdict

if TYPE_CHECKING:
    from eplb_opt.exact.homes.columns import Columns
    from eplb_opt.exact.homes.model import HomeModel
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options, Task


class UnlikeNodesModelSolver(HomeModelSolver):
    """CP-SAT on a small layer; it starts again from the beginning at each turn.

    Parameters
    ----------
    problem
        A problem of one layer whose groups stay on nodes with GPUs that differ.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        super().__init__(at_home_alone(problem), options)
        self.asked = problem

    def solve(self, task: Task) -> Answer:
        """Solve the model for a turn."""
        total = int(self.problem.load.sum())
        if not total:
            return Answer(verdict=Verdict.REFUSED)
        answer = super().solve(
            replace(task, objective=task.objective * self.problem.capacity / total)
        )
        if answer.bound is None:
            return answer
        lacking = int(self.problem.rounded[0]) * self.problem.num_experts
        load = answer.bound.value * (total + lacking) / self.problem.capacity
        return replace(answer, bound=replace(answer.bound, value=load))

    def make_model(self, cp_model: Any, columns: Columns) -> HomeModel:
        """The constraints, and that nothing is off home, be its load 0."""
        model = super().make_model(cp_model, columns)
        for replicas in model.away.values():
            model.model.add(replicas == 0)
        return model

    def checked_problem(self) -> Problem:
        """The problem whose rules a plan must keep."""
        return self.asked
