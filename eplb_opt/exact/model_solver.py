"""The general model, of counts or of flows, as a solver of the schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eplb_opt.exact import get_model
from eplb_opt.exact.formulations import FORMULATIONS
from eplb_opt.exact.shared.loads import plan_value
from eplb_opt.exact.shared.model_calls import as_answer, call_model
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: The names of the bounds' sources, where they differ from the names of the models.
SOURCES = {"cpsat": "cp_sat"}
#: With more columns than this the local search is far ahead of any backend: the model gains nothing
#: on it in minutes, and the layer is refused.
SEARCH_BEATS_MODEL = 10_000


class ModelSolver:
    """The general model that the call names; a backend starts again from the beginning each turn.

    Parameters
    ----------
    problem
        A problem of one layer.
    options
        The name of the model, and the noise that a plan is to withstand: where that is above 0,
        the model's plan, best on the known loads alone, is left out and only its bound is kept.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.name = options.model
        self.solve_layer = get_model(options.model)
        self.proves_only = options.noise > 0
        self.list_choices = FORMULATIONS[problem.dispatch].list_choices

    def solve(self, task: Task) -> Answer:
        """Call the model once for the turn."""
        size = self.list_choices(task.problem, plan_value(task.problem, task.start)).num_columns
        if size > SEARCH_BEATS_MODEL:
            reason = f"is too large: {size} columns, where {SEARCH_BEATS_MODEL} are the most"
            return Answer(verdict=Verdict.REFUSED, reason=reason)
        answer = call_model(self.solve_layer, task, task.deadline)
        message = f"{self.name}: {answer.message}" if answer.refused else ""
        turn = replace(as_answer(SOURCES.get(self.name, self.name), answer), message=message)
        return replace(turn, placed=None) if self.proves_only else turn
