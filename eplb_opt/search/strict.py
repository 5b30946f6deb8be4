"""Plans with all of a group on one node, for problems where experts may stand elsewhere too.

Every such plan keeps a replica of each expert at home and serves nothing off home. Where anchors
leave little room beside it, it is hard to beat in a short time, so the local search for it has
turns beside the annealing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import FLAT_BOUNDS
from eplb_opt.problem.node_kinds import strict_problem
from eplb_opt.search.local import LocalSolver
from eplb_opt.solver import Answer, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options, Task


class StrictSolver:
    """The local search with groups on their nodes as a solver of a topology's schedule.

    Parameters
    ----------
    problem
        A problem of one layer with a topology, on GPUs that are alike.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.strict = strict_problem(problem)
        self.local = None if self.strict is None else LocalSolver(self.strict, options)

    def solve(self, task: Task) -> Answer:
        """Search for one turn."""
        if self.strict is None or self.local is None or not self.strict.load.any():
            return Answer(verdict=Verdict.REFUSED)
        lower = max(method(self.strict)[0] for method in FLAT_BOUNDS.values())
        return self.local.solve(replace(task, problem=self.strict, lower_bound=lower))
