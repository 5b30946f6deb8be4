"""From a turn of the schedule to a call of a model, and from a model's answer to a solver's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import Bound
from eplb_opt.exact.shared.backend_imports import backends_are_loaded, load_backends
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.exact.shared.answer import LayerModel, ModelAnswer

#: Seconds that importing SciPy and OR-Tools takes.
BACKEND_IMPORT_SECONDS = 2.0


def deadline_after_imports(task: Task) -> Deadline | None:
    """The end of the turn once backends are imported; None where the time is too short for that."""
    turn = task.deadline.remaining
    if not backends_are_loaded():
        if task.effort is None and task.call_deadline.remaining < BACKEND_IMPORT_SECONDS:
            return None
        load_backends()
    return task.call_deadline.sooner(turn)


def call_model(solve: LayerModel, task: Task, deadline: Deadline) -> ModelAnswer:
    """A model's answer to a task, within a deadline that may differ from the task's."""
    return solve(
        task.problem, task.start, task.lower_bound, deadline, effort=task.effort, seed=task.seed
    )


def as_answer(source: str, answer: ModelAnswer) -> Answer:
    """A model's answer as a solver's, with the name of the bound's source."""
    verdict = Verdict.FINISHED if answer.finished else Verdict.AGAIN
    return Answer(
        answer.physical_to_logical,
        Bound(answer.lower_bound, source),
        answer.certificate,
        Verdict.REFUSED if answer.refused else verdict,
        reason=answer.message if answer.refused else "",
    )
