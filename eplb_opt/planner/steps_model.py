"""What steps that ask an exact model share, and the step of the exact model itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import Bound
from eplb_opt.exact.forms import FORMS
from eplb_opt.exact.shared.loads import worth
from eplb_opt.exact.shared.solver_imports import load_solvers, solvers_are_loaded
from eplb_opt.solver import Outcome, Step, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.clock import Deadline
    from eplb_opt.exact.shared.answer import LayerModel, ModelAnswer

#: What a bound's source is called where the model's own name differs.
SOURCES = {"cpsat": "cp_sat"}
#: Whose version may decide what a model answers.
PACKAGES = {"cpsat": "ortools", "milp": "pulp"}
#: Columns of the count-and-assignment model from which the search is far ahead of any solver.
SEARCH_BEATS_MODEL = 10_000
#: Loading SciPy and OR-Tools takes about so many seconds.
SOLVER_IMPORT_SECONDS = 2.0


def model_step(name: str, solve: LayerModel, share: float = 1.0) -> Step:
    """An exact model; it starts anew at each turn, so its turns double.

    A large model gains nothing on the search in minutes, so it is left out.
    """

    def run(task: Task) -> Outcome:
        list_choices = FORMS[task.problem.dispatch].list_choices
        size = list_choices(task.problem, worth(task.problem, task.start)).num_columns
        if size > SEARCH_BEATS_MODEL:
            return Outcome(refused=True)
        answer = ask(solve, task, task.deadline)
        message = f"{name}: {answer.message}" if answer.refused else ""
        return replace(outcome_of(SOURCES.get(name, name), answer), message=message)

    return Step(name, run, share, package=PACKAGES.get(name))


def bound_alone(run: Callable[[Task], Outcome]) -> Callable[[Task], Outcome]:
    """The same work with its plan left out: what it proves holds all the same."""
    return lambda task: replace(run(task), placed=None)


def deadline_with_solvers(task: Task) -> Deadline | None:
    """The end of a turn that begins once the solvers are imported; None without time for that."""
    turn = task.deadline.remaining
    if not solvers_are_loaded():
        if task.effort is None and task.call_deadline.remaining < SOLVER_IMPORT_SECONDS:
            return None
        load_solvers()
    return task.call_deadline.sooner(turn)


def ask(solve: LayerModel, task: Task, deadline: Deadline) -> ModelAnswer:
    """An engine's answer to a task, within a deadline of its own."""
    return solve(
        task.problem, task.start, task.lower_bound, deadline, effort=task.effort, seed=task.seed
    )


def outcome_of(source: str, answer: ModelAnswer) -> Outcome:
    """An answer as the outcome of a turn, its bound under the name of what proved it."""
    return Outcome(
        answer.physical_to_logical,
        Bound(answer.lower_bound, source),
        certificate=answer.certificate,
        finished=answer.finished or answer.refused,
        refused=answer.refused,
    )
