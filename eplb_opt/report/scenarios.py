"""Plans under the loads they were made for and under others, held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.planner.evaluate import evaluate
from eplb_opt.problem.arrays import as_numpy
from eplb_opt.report.gap import model_balancedness

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import numpy as np

    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class ScenarioTable:
    """Balancedness of the whole model, plan by plan and load by load.

    Parameters
    ----------
    loads
        Names: those planned for first.
    num_seen
        How many of them were planned for.
    rows
        Plan's name -> balancedness under each load.
    """

    loads: list[str]
    num_seen: int
    rows: dict[str, list[float]]


def scenario_table(
    problem: Problem, plans: Mapping[str, Any], held_out: Mapping[str, Any]
) -> ScenarioTable:
    """Score plans under every load of a problem and under loads that it has not seen.

    Parameters
    ----------
    problem
        The problem that was planned for, with or without scenarios.
    plans
        Name -> a Plan or [num_layers, num_slots] ids; those that break a rule are left out.
    held_out
        Name -> [num_layers, num_experts] loads.

    Raises
    ------
    ProblemError
        When a load has another shape.
    """
    seen = [problem.scenario(i) for i in range(problem.num_scenarios)]
    names = (
        [f"load {i + 1}" for i in range(len(seen))] if problem.has_scenarios else ["planned for"]
    )
    unseen = [_with_load(problem, name, load) for name, load in held_out.items()]
    rows = {}
    for name, plan in plans.items():
        try:
            rows[name] = [_balancedness(part, plan) for part in (*seen, *unseen)]
        except PlanError:
            continue
    return ScenarioTable([*names, *held_out], len(seen), rows)


def _with_load(problem: Problem, name: str, load: Any) -> Problem:
    values = as_numpy(load, name)
    check_held_out(name, values, (problem.num_layers, problem.num_experts))
    return problem.with_load(values)


def check_held_out(name: str, load: np.ndarray, wanted: tuple[int, int]) -> None:
    """Raise ProblemError where a load is not of that shape, [num_layers, num_experts]."""
    if load.shape != wanted:
        raise ProblemError(
            f"The held-out load {name} has shape {list(load.shape)}; the plan is for "
            f"{list(wanted)}, layers x experts."
        )


def _balancedness(problem: Problem, plan: Any) -> float:
    score = evaluate(problem, plan)
    return model_balancedness(score.balancedness, score.objective)
