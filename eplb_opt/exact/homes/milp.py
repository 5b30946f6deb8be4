"""The exact model of a priced topology through PuLP, in a process of its own.

The sizes of all options add up to so little that values within 1e-6 of integers change the load of
no GPU by more than a quarter of a unit, and what all GPUs serve off home by no more than that each.
What this is worth of the minimised sum is taken off the backend's bound before it is rounded up:
the sum is an integer. As in `exact.milp` this is an argument about the backend's tolerances, and no
certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from importlib.util import find_spec
from math import ceil, isfinite, lcm
from typing import TYPE_CHECKING, Any

from eplb_opt.bounds.bounds import Bound
from eplb_opt.errors import MissingDependency, ProblemError
from eplb_opt.exact.homes import linear
from eplb_opt.exact.homes.columns import MAX_EXACT_COUNT, Columns
from eplb_opt.exact.homes.model import HomeModel
from eplb_opt.exact.milp import MilpParams
from eplb_opt.exact.milp_process import run_in_process
from eplb_opt.exact.shared.backend_log import read_log
from eplb_opt.solver import Answer, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from eplb_opt.exact.homes.linear import CpModel, Row
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Task

#: PuLP's codes for the sense of a constraint.
AT_MOST, EQUAL, AT_LEAST = -1, 0, 1


@dataclass(frozen=True)
class SmallColumns(Columns):
    """Columns whose sizes add up to no more than floats hold; the scale may be a fraction."""

    most: int = MilpParams().limits.total or 1

    @cached_property
    def scale(self) -> Any:
        """Q: units of a size per unit of load."""
        highest = max(counts[-1] for counts in self.counts if counts)
        exact = lcm(*range(1, highest + 1)) if highest <= MAX_EXACT_COUNT else self.most + 1
        exact *= self.grain
        loads = zip(self.load, self.counts, strict=True)
        together = sum((Fraction(w, c) for w, counts in loads for c in counts), Fraction(0))
        times = int(self.most / (exact * together))
        # As large as may be: what is taken off the bound counts in units.
        return exact * times if times else self.most / together


def solve_by_milp(
    problem: Problem,
    task: Task,
    make_model: Callable[[Any, Columns], HomeModel] = HomeModel,
    params: MilpParams | None = None,
) -> Answer:
    """A turn of the backend on a layer; it starts from the beginning.

    Parameters
    ----------
    problem
        The layer, with load.
    task
        The turn.
    make_model
        What makes the model from a backend's module and columns.
    params
        The settings of the backend; by default those of `MilpModel`.

    Raises
    ------
    MissingDependency
        When PuLP is not installed.
    ProblemError
        When PuLP does not know the backend.
    """
    if find_spec("pulp") is None:
        raise MissingDependency("pulp", "milp")
    params = params or MilpParams()
    columns = SmallColumns(problem, task.objective)
    left = task.deadline.remaining if task.effort is None else float("inf")
    if left < params.seconds_at_least + columns.num_columns * params.seconds_per_column:
        return Answer(verdict=Verdict.NOT_YET)
    model = make_model(linear, columns)
    model.hint(task.start)
    request = _request(model.model, params, task)
    left = task.deadline.remaining if task.effort is None else float("inf")
    result, log = run_in_process(request, left, params.seconds_to_return)
    if result is None:
        return Answer()  # it was ended at the deadline
    if "refused" in result:
        raise ProblemError(result["refused"])
    facts = read_log(result["solver"], log)
    bound = None
    # Where links have costs, what the tolerances are worth is not known: there is no bound then.
    if columns.rules.counts_off_home and facts.bound is not None and isfinite(facts.bound):
        away = columns.price_weight * problem.num_gpus
        weight = columns.load_weight * columns.slowness + away
        margin = params.bound_margin * weight
        bound = Bound(columns.value(max(ceil(facts.bound - margin), 0)), "milp")
    is_done = "Optimal" in facts.message
    return Answer(
        _plan(model, result["values"]),
        bound,
        verdict=Verdict.FINISHED if is_done else Verdict.AGAIN,
    )


def _request(program: CpModel, params: MilpParams, task: Task) -> dict[str, Any]:
    """The program as plain lists, as `milp_worker` reads it."""
    effort = task.effort
    return {
        "solver": params.solver,
        "objective": (list(program.minimised.terms), list(program.minimised.terms.values())),
        "lower": program.lower,
        "upper": program.upper,
        "continuous": [],
        "rows": [_signed(row) for row in program.rows],
        "hint": [],
        "max_nodes": None if effort is None else max(effort * params.effort_to_nodes, 1),
        "seed": task.seed % 2**31,
    }


def _signed(row: Row) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """A row with its limits as (sense, right-hand side)."""
    columns, coefficients, lower, upper = row
    if lower is not None and lower == upper:
        return columns, coefficients, [(EQUAL, lower)]
    limits = [(AT_LEAST, lower), (AT_MOST, upper)]
    return columns, coefficients, [(sense, one) for sense, one in limits if one is not None]


def _plan(model: HomeModel, values: list[float] | None) -> np.ndarray | None:
    """The plan of the backend's values, rounded; None where they are no plan."""
    if values is None:
        return None
    problem = model.problem
    on_gpus = {key: round(values[next(iter(one.terms))]) for key, one in model.placed.items()}
    if sum(on_gpus.values()) != int(problem.open_slots.sum()):
        return None  # rounded to something else
    return model.plan(lambda column: round(values[next(iter(column.terms))]))
