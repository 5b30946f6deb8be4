"""The exact model of a layer with a priced topology, as a solver of the schedule."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

from eplb_opt.bounds.bounds import Bound
from eplb_opt.errors import PlanError
from eplb_opt.exact.homes.columns import Columns
from eplb_opt.exact.homes.milp import solve_by_milp
from eplb_opt.exact.homes.model import HomeModel
from eplb_opt.exact.shared.model_calls import deadline_after_imports
from eplb_opt.exact.shared.ortools_backend import import_cp_model, make_solver
from eplb_opt.placement.checker import check
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    import numpy as np

    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: With more columns than this the annealing is far ahead, and the bound's own proof as good.
MAX_COLUMNS = 3000
#: CP-SAT gives its bound, an integer, as a float64: a difference below this is noise.
BOUND_NOISE = 1e-3
#: CP-SAT's deterministic time for one unit of effort.
EFFORT_TO_TIME = 1e-3


class HomeModelSolver:
    """CP-SAT, or a MILP backend, on a small layer; it starts from the beginning at each turn.

    Parameters
    ----------
    problem
        A problem of one layer with a topology.
    options
        The options of the call; `model` names the backend.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem, self.backend = problem, options.model

    def solve(self, task: Task) -> Answer:
        """Solve the model for a turn."""
        columns = Columns(self.problem, task.objective)
        if not columns.total or columns.num_columns > MAX_COLUMNS:
            return Answer(verdict=Verdict.REFUSED)
        if self.backend == "milp":
            answer = solve_by_milp(self.problem, task, self.make_model)
            placed = None if answer.placed is None else self._checked(answer.placed)
            return replace(answer, placed=placed)
        deadline = deadline_after_imports(task)
        if deadline is None:
            return Answer(verdict=Verdict.NOT_YET)
        cp_model = import_cp_model()
        model = self.make_model(cp_model, columns)
        model.hint(task.start)
        solver = make_solver(cp_model)
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = task.seed % 2**31
        if task.effort is not None:
            solver.parameters.max_deterministic_time = task.effort * EFFORT_TO_TIME
        elif isfinite(deadline.at):
            solver.parameters.max_time_in_seconds = max(deadline.remaining, 0.0)
        status = solver.solve(model.model)
        if status == cp_model.INFEASIBLE:
            # Only where the known plan's value, rounded, is the optimum already.
            return Answer(verdict=Verdict.FINISHED)
        units = max(ceil(solver.best_objective_bound - BOUND_NOISE), 0)
        found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
        return Answer(
            self._checked(model.plan(solver.value)) if found else None,
            Bound(columns.value(units), "cp_sat"),
            verdict=Verdict.FINISHED if status == cp_model.OPTIMAL else Verdict.AGAIN,
        )

    def make_model(self, cp_model: Any, columns: Columns) -> HomeModel:
        """The model of the layer."""
        return HomeModel(cp_model, columns)

    def checked_problem(self) -> Problem:
        """The problem whose rules a plan must keep."""
        return self.problem

    def _checked(self, placed: np.ndarray) -> np.ndarray | None:
        """The plan, if its limit on what is off home holds without rounding."""
        try:
            check(self.checked_problem(), placed[None])
        except PlanError:
            return None
        return placed
