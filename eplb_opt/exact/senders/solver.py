"""The exact model of a layer with senders, as a solver of the schedule."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

from eplb_opt.bounds.bounds import Bound
from eplb_opt.errors import PlanError
from eplb_opt.exact.senders import columns
from eplb_opt.exact.senders.model import SenderModel, price_of, shift
from eplb_opt.exact.shared.model_calls import deadline_after_imports
from eplb_opt.exact.shared.ortools_backend import import_cp_model, make_solver
from eplb_opt.placement.checker import check
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    import numpy as np

    from eplb_opt.clock import Deadline
    from eplb_opt.exact.senders.columns import Shape
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: With more shapes than this CP-SAT proves nothing that the fast bounds do not.
MAX_SHAPES = 20_000
#: CP-SAT gives its bound, an integer, as a float64: a difference below this is noise.
BOUND_NOISE = 1e-3
#: CP-SAT's deterministic time for one unit of effort.
EFFORT_TO_TIME = 1e-3


class SenderModelSolver:
    """CP-SAT on a small layer; it starts again from the beginning at each turn.

    Where nothing is drawn one model gives plan and bound. Else one with the outcomes of draws gives
    the bound, and one with the most of all draws the plan.

    Parameters
    ----------
    problem
        A problem of one layer with senders, on GPUs of one speed, without scenarios.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self._listed: dict[bool, list[Shape]] = {}

    def solve(self, task: Task) -> Answer:
        """Solve the model, or the two of them, for a turn."""
        if columns.num_listed(self.problem) > columns.MAX_LISTED or not self.problem.load.any():
            return Answer(verdict=Verdict.REFUSED, reason="refused: too many ways to stand")
        drawn, most = (self._shapes(task, is_drawn) for is_drawn in (True, False))
        if sum(map(len, drawn)) > MAX_SHAPES:
            return Answer(verdict=Verdict.REFUSED, reason="refused: too many ways to stand")
        deadline = deadline_after_imports(task)
        if deadline is None:
            return Answer(verdict=Verdict.NOT_YET)
        if drawn == most:
            return self._solve(task, drawn, deadline)
        proven = self._solve(task, drawn, deadline.part(0.5))
        found = self._solve(task, most, deadline)
        is_done = found.verdict is proven.verdict is Verdict.FINISHED
        # A bound of the most of all draws is none of a draw.
        return Answer(
            found.placed if found.placed is not None else proven.placed,
            proven.bound,
            verdict=Verdict.FINISHED if is_done else Verdict.AGAIN,
        )

    def _shapes(self, task: Task, is_drawn: bool) -> list[list[Shape]]:
        if is_drawn not in self._listed:
            self._listed[is_drawn] = columns.shapes(self.problem, is_drawn)
        experts = range(self.problem.num_experts)
        known, most = self._listed[is_drawn], self._most_load(task)
        return [columns.of_expert(self.problem, known, e, most) for e in experts]

    def _most_load(self, task: Task) -> Fraction:
        """The largest GPU load of plans that are no worse than the known one."""
        if not self.problem.has_topology:
            return task.objective
        lacking = int(self.problem.rounded[0]) * self.problem.num_experts
        total = int(self.problem.load.sum()) + lacking
        return task.objective * total / self.problem.num_senders

    def _solve(self, task: Task, shapes: list[list[Shape]], deadline: Deadline) -> Answer:
        """The best plan of these shapes and what is proven of it."""
        cut, has_price = shift(self.problem), self.problem.has_topology
        unit = Fraction(2**cut, self.problem.num_senders)
        most = int(self._most_load(task) / unit)
        if cut == 0 and not has_price:
            most -= 1  # the value is an integer, and one like it is there
        cp_model = import_cp_model()
        model = SenderModel(cp_model, self.problem, shapes, 0, max(most, 0))
        model.hint(task.start)
        solver, status = self._run(cp_model, model, task, deadline)
        if status == cp_model.INFEASIBLE:
            bound = None if has_price else Bound(task.objective, "cp_sat")
            return Answer(None, bound, verdict=Verdict.FINISHED)
        units = max(ceil(solver.best_objective_bound - BOUND_NOISE), 0)
        found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
        return Answer(
            self._checked(model.plan(solver.value)) if found else None,
            Bound(units * unit * self._worth(), "cp_sat"),
            verdict=Verdict.FINISHED if status == cp_model.OPTIMAL else Verdict.AGAIN,
        )

    def _worth(self) -> Fraction:
        """What a load counts in the objective, where what the model minimises is not the load."""
        problem, price = self.problem, price_of(self.problem)
        if not problem.has_topology:
            return Fraction(1)
        lacking = int(problem.rounded[0]) * problem.num_experts
        ratio = Fraction(problem.num_senders, int(problem.load.sum()) + lacking)
        return ratio / (price.denominator * problem.num_senders) if price else ratio

    def _checked(self, placed: np.ndarray) -> np.ndarray | None:
        """The plan, if its limit on what crosses nodes holds without rounding."""
        try:
            check(self.problem, placed[None])
        except PlanError:
            return None
        return placed

    def _run(self, cp_model: Any, model: SenderModel, task: Task, deadline: Deadline) -> Any:
        solver = make_solver(cp_model)
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = task.seed % 2**31
        if task.effort is not None:
            solver.parameters.max_deterministic_time = task.effort * EFFORT_TO_TIME
        elif isfinite(deadline.at):
            solver.parameters.max_time_in_seconds = max(deadline.remaining, 0.0)
        return solver, solver.solve(model.model)
