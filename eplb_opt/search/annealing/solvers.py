"""Annealing of known loads, and the design for optimal dispatch, as solvers of the schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.search.annealing.design import DesignSearch
from eplb_opt.search.annealing.layer import AnnealSearch
from eplb_opt.search.annealing.starts import settle_from_starts
from eplb_opt.search.idle import IdleTurns
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: The slices of proposals for one unit of effort, of annealing and of the design.
SLICES_PER_EFFORT = 16
DESIGN_SLICES_PER_EFFORT = 8
#: The turns without a better plan that end the search on a layer in a call without limit.
IDLE_TURNS = 8
#: The seconds of a turn of the design in such a call.
OPEN_TURN_SECONDS = 1.0
#: The seconds before the end of its turn at which a run stops: a plan after the call is lost.
RESERVE_SECONDS = 0.1


class AnnealingSolver:
    """Annealing of a layer with several loads, or on GPUs that differ.

    Parameters
    ----------
    problem
        A problem of one layer.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.search: AnnealSearch | None = None
        self.idle = IdleTurns()

    def solve(self, task: Task) -> Answer:
        """Anneal from the best plan so far, in a run that cools to the end of the turn."""
        search = self.search
        if search is None:
            search = self.search = AnnealSearch(self.problem, task.start, task.seed)
            if search.is_trivial:
                return Answer(verdict=Verdict.FINISHED)
            settle_from_starts(search)
        before = search.best
        search.restart(search.placed())
        if task.effort is None:
            search.run_until(task.deadline)
        else:
            search.run_slices(task.effort * SLICES_PER_EFFORT)
        verdict = self.idle.verdict(search.best < before, IDLE_TURNS, task.call_deadline)
        return Answer(search.placed(), verdict=verdict)


class DesignSolver:
    """Annealing of a placement for optimal dispatch (the design); every turn is a new run.

    Parameters
    ----------
    problem
        A problem of one layer.
    options
        Where its noise is above 0, a plan replaces another when it is better on the known loads
        and their noisy copies together, though it may be worse on the known loads alone.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.noise = options.noise
        self.idle = IdleTurns()

    def solve(self, task: Task) -> Answer:
        """Anneal from the best plan so far, in a run that cools to the end of the turn."""
        search = DesignSearch(self.problem, task.start, task.seed, self.noise)
        if search.is_trivial:
            return Answer(verdict=Verdict.FINISHED)
        search.settle()
        self._run(search, task)
        found = search.best
        search.restart(task.start)
        search.look()  # on the same loads as what was found: the better one stays
        verdict = self.idle.verdict(search.best == found, IDLE_TURNS, task.call_deadline)
        return Answer(search.placed(), verdict=verdict, preferred=self.noise > 0)

    def _run(self, search: DesignSearch, task: Task) -> None:
        deadline = task.deadline
        if task.effort is not None:
            search.run_slices(task.effort * DESIGN_SLICES_PER_EFFORT)
        elif deadline.is_open:
            search.run_until(deadline.sooner(OPEN_TURN_SECONDS))
        else:
            search.run_until(deadline.earlier(min(RESERVE_SECONDS, deadline.remaining / 8)))
