"""A turn of the schedule as a call of an exact model, and the model's answer as a turn's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import Bound
from eplb_opt.exact.shared.solver_imports import load_solvers, solvers_are_loaded
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.exact.shared.answer import LayerModel, ModelAnswer

#: Loading SciPy and OR-Tools takes about so many seconds.
SOLVER_IMPORT_SECONDS = 2.0


def deadline_with_solvers(task: Task) -> Deadline | None:
    """The end of a turn that begins once the solvers are imported; None without time for that."""
    turn = task.deadline.remaining
    if not solvers_are_loaded():
        if task.effort is None and task.call_deadline.remaining < SOLVER_IMPORT_SECONDS:
            return None
        load_solvers()
    return task.call_deadline.sooner(turn)


def ask(solve: LayerModel, task: Task, deadline: Deadline) -> ModelAnswer:
    """A model's answer to a task, within a deadline of its own."""
    return solve(
        task.problem, task.start, task.lower_bound, deadline, effort=task.effort, seed=task.seed
    )


def turn_of(source: str, answer: ModelAnswer) -> Answer:
    """A model's answer as that of a turn, its bound under the name of what proved it."""
    verdict = Verdict.FINISHED if answer.finished else Verdict.AGAIN
    return Answer(
        answer.physical_to_logical,
        Bound(answer.lower_bound, source),
        answer.certificate,
        Verdict.REFUSED if answer.refused else verdict,
    )
