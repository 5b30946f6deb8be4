"""The engine for hierarchical layers as a solver of the schedule."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from eplb_opt.exact.nodes.model import LayerNodes
from eplb_opt.exact.nodes.parts import NodesParams
from eplb_opt.exact.shared.turns import deadline_with_solvers, turn_of
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: With three slots a GPU or more nodes are worked on where the plan is further from the bound; turn
#: by turn. Below the last but one CP-SAT brings nothing in seconds.
NODES_GAPS = (Fraction(1, 1000), Fraction(5, 10_000), Fraction(2, 10_000))


class NodesSolver:
    """Hierarchical layers node by node.

    Parameters
    ----------
    problem
        Of one layer; the groups of a node can be enumerated.
    options
        Nothing of it matters here.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.is_small = problem.slots_per_gpu <= 2
        self.work: LayerNodes | None = None

    def solve(self, task: Task) -> Answer:
        """Goes on where the last turn stopped; see `Solver`."""
        turn = len(NODES_GAPS) - 1 if task.effort is not None else task.attempt
        gap = task.objective / task.lower_bound - 1 if task.lower_bound else math.inf
        if not self.is_small and gap <= NODES_GAPS[min(turn, len(NODES_GAPS) - 1)]:
            return Answer(verdict=Verdict.NOT_YET)
        # The configuration LP closes most heavy nodes; all layers get it before any gets CP-SAT.
        is_first = self.work is None and task.effort is None
        with_solver = self.is_small or (gap > NODES_GAPS[-2] and not is_first)
        deadline = deadline_with_solvers(task) if with_solver else task.deadline
        if deadline is None:
            return Answer(verdict=Verdict.NOT_YET)
        if self.work is None:
            self.work = LayerNodes(self.problem, task.start, NodesParams(), task.seed)
        else:
            self.work.offer(task.start)
        answer = self.work.run(task.lower_bound, deadline, task.effort, with_solver=with_solver)
        return turn_of("nodes", answer)
