"""The count-and-assignment model, or that of flows, as a solver of the schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eplb_opt.exact import get_model
from eplb_opt.exact.forms import FORMS
from eplb_opt.exact.shared.loads import worth
from eplb_opt.exact.shared.turns import ask, turn_of
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: What a bound's source is called where the model's own name differs.
SOURCES = {"cpsat": "cp_sat"}
#: Columns of the count-and-assignment model from which the search is far ahead of any solver: a
#: larger model gains nothing on it in minutes, and is left out.
SEARCH_BEATS_MODEL = 10_000


class ModelSolver:
    """The exact model that the call names; it starts anew at each turn.

    Parameters
    ----------
    problem
        Of one layer.
    options
        Where a plan is to withstand noise, the model's plan, best on the known loads alone, is
        left out; what it proves holds all the same.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.name = options.model
        self.solve_layer = get_model(options.model)
        self.proves_only = options.noise > 0
        self.list_choices = FORMS[problem.dispatch].list_choices

    def solve(self, task: Task) -> Answer:
        """One call of the model; see `Solver`."""
        size = self.list_choices(task.problem, worth(task.problem, task.start)).num_columns
        if size > SEARCH_BEATS_MODEL:
            return Answer(verdict=Verdict.REFUSED)
        answer = ask(self.solve_layer, task, task.deadline)
        message = f"{self.name}: {answer.message}" if answer.refused else ""
        turn = replace(turn_of(SOURCES.get(self.name, self.name), answer), message=message)
        return replace(turn, placed=None) if self.proves_only else turn
