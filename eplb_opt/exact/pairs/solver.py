"""The exact model for two slots a GPU as a solver of the schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.exact.pairs.model import PairsLayer, PairsParams
from eplb_opt.exact.shared.model_calls import as_answer, deadline_after_imports

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Answer, Options, Task


class PairsSolver:
    """Two slots a GPU: the exact optimum of a layer, by bisection over load levels.

    Parameters
    ----------
    problem
        A problem of one layer.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.layer = PairsLayer(problem, PairsParams())

    def solve(self, task: Task) -> Answer:
        """Work on the bisection for one turn."""
        deadline = task.deadline
        if task.effort is None and self.layer.waits_for_backend:
            deadline = deadline_after_imports(task) or deadline
        return as_answer("k2", self.layer.run(task.start, task.lower_bound, deadline, task.effort))
