"""What a call can do to a layer, as steps of the portfolio."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING

from eplb_opt.bounds import Bound
from eplb_opt.models import get_model
from eplb_opt.models.formulation import list_choices
from eplb_opt.turns import Outcome, Step, Task

if TYPE_CHECKING:
    from eplb_opt.models.answer import LayerModel
    from eplb_opt.search.layer import LayerSearch

#: Columns of the count-and-assignment model from which the search is far ahead of any solver.
SEARCH_BEATS_MODEL = 10_000
#: Search steps for one unit of effort.
STEPS_PER_EFFORT = 10


def make_steps(model: str) -> list[Step]:
    """The steps of one call, in the order in which they get their first turn.

    Parameters
    ----------
    model
        Name of the exact model.

    Raises
    ------
    ProblemError
        When no model has that name.
    """
    return [search_step(), model_step(model, get_model(model))]


def search_step() -> Step:
    """Local search; a layer's search goes on where its last turn stopped."""
    searches: dict[int, LayerSearch] = {}
    lock = threading.Lock()

    def run(task: Task) -> Outcome:
        with lock:  # the first turn of a process loads or compiles the kernels, once
            from eplb_opt.search.layer import LayerSearch
        search = searches.get(task.layer_idx)
        if search is None:
            search = LayerSearch(task.problem, task.start, task.lower_bound, task.seed)
            searches[task.layer_idx] = search
        if task.effort is None:
            search.run_until(task.deadline)
        else:
            search.run_steps(task.effort * STEPS_PER_EFFORT)
        return Outcome(search.placed(), finished=search.is_done)

    # Short turns: all layers get a first one before any gets many.
    return Step(
        "search", run, share=0.1, min_seconds=0.004, max_seconds=0.5, turns=6, max_attempts=10**9
    )


def model_step(name: str, solve: LayerModel) -> Step:
    """An exact model; it starts anew at each turn, so its turns double.

    A large model gains nothing on the search in minutes, so it is left out where numba is there.
    """

    def run(task: Task) -> Outcome:
        size = list_choices(task.problem, task.objective).num_columns
        if size > SEARCH_BEATS_MODEL and find_spec("numba") is not None:
            return Outcome(refused=True)
        answer = solve(
            task.problem,
            task.start,
            task.lower_bound,
            task.deadline,
            effort=task.effort,
            seed=task.seed,
        )
        return Outcome(
            answer.physical_to_logical,
            Bound(answer.lower_bound, name),
            finished=answer.refused,
            refused=answer.refused,
            message=f"{name}: {answer.message}" if answer.refused else "",
        )

    return Step(name, run)
