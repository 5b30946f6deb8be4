"""The engine for two slots a GPU as a solver of the schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.exact.pairs.model import PairsLayer, PairsParams
from eplb_opt.exact.shared.turns import deadline_with_solvers, turn_of

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Answer, Options, Task


class PairsSolver:
    """Two slots a GPU: the exact optimum of a layer, by bisection over load levels.

    Parameters
    ----------
    problem
        Of one layer.
    options
        Nothing of it matters here.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.layer = PairsLayer(problem, PairsParams())

    def solve(self, task: Task) -> Answer:
        """Another turn of the bisection; see `Solver`."""
        deadline = task.deadline
        if task.effort is None and self.layer.waits_for_solvers:
            deadline = deadline_with_solvers(task) or deadline
        return turn_of("k2", self.layer.run(task.start, task.lower_bound, deadline, task.effort))
