"""The decomposition of hierarchical layers by nodes as a solver of the schedule."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from eplb_opt.exact.nodes.group_set import NodesParams
from eplb_opt.exact.nodes.model import NodeDecomposition
from eplb_opt.exact.shared.model_calls import as_answer, deadline_after_imports
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: With three or more slots a GPU a layer is worked on where its gap is above these, by turn.
#: Below the last but one CP-SAT gains nothing in seconds.
NODES_GAPS = (Fraction(1, 1000), Fraction(5, 10_000), Fraction(2, 10_000))


class NodesSolver:
    """The decomposition of one hierarchical layer.

    Parameters
    ----------
    problem
        A problem of one layer whose partitions of groups can be enumerated.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.is_small = problem.slots_per_gpu <= 2
        self.work: NodeDecomposition | None = None

    def solve(self, task: Task) -> Answer:
        """Work for one turn, from where the last turn stopped."""
        turn = len(NODES_GAPS) - 1 if task.effort is not None else task.attempt
        gap = task.objective / task.lower_bound - 1 if task.lower_bound else math.inf
        if not self.is_small and gap <= NODES_GAPS[min(turn, len(NODES_GAPS) - 1)]:
            return Answer(verdict=Verdict.NOT_YET)
        # The configuration LP closes most heavy nodes; all layers get it before any gets CP-SAT.
        is_first = self.work is None and task.effort is None
        with_cpsat = self.is_small or (gap > NODES_GAPS[-2] and not is_first)
        deadline = deadline_after_imports(task) if with_cpsat else task.deadline
        if deadline is None:
            return Answer(verdict=Verdict.NOT_YET)
        if self.work is None:
            self.work = NodeDecomposition(self.problem, task.start, NodesParams(), task.seed)
        else:
            self.work.offer(task.start)
        answer = self.work.run(task.lower_bound, deadline, task.effort, with_cpsat=with_cpsat)
        return as_answer("nodes", answer)
