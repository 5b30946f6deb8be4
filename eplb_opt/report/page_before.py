"""The plan that ours is held against: the one in force, or what engines would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb_opt.errors import PlanError
from eplb_opt.placement.plan import Plan
from eplb_opt.report.figures import heaviest_ratios
from eplb_opt.search.starts import first_plan

if TYPE_CHECKING:
    from typing import Any

    import numpy as np

    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Before:
    """A plan to compare with.

    Parameters
    ----------
    name
        The file's, or the heuristic's.
    placed
        int64 [num_layers, num_slots].
    ratios
        GPU load over mean, float64 [num_layers, num_gpus]; with several loads the heaviest.
    note
        A sentence that says where the plan comes from, and what is wrong with it, as a sentence.
    is_broken
        Whether it breaks a rule of the problem.
    is_greedy
        Whether it is the greedy that engines ship, and no plan that was given.
    """

    name: str
    placed: np.ndarray
    ratios: np.ndarray
    note: str
    is_broken: bool = False
    is_greedy: bool = False


def plan_before(problem: Problem, current: Any = None, name: str = "current plan") -> Before:
    """The plan in force, or the greedy that engines ship where none is given or it cannot be shown.

    Parameters
    ----------
    problem
        Loads and topology.
    current
        A Plan or [num_layers, num_slots] ids. One that breaks a rule is shown all the same, with
        the rule, as long as it has the problem's shape.
    name
        The plan's name on the page.
    """
    if current is None:
        return greedy_before(problem, "No plan was given as the one in force.")
    try:
        plan = current if isinstance(current, Plan) else Plan(current, problem.num_gpus)
        placed = plan.physical_to_logical
        shape = (problem.num_layers, problem.num_slots)
        if placed.shape != shape or placed.max() >= problem.num_experts:
            raise PlanError(
                f"it has shape {list(placed.shape)} and ids up to {placed.max()}; the problem has "
                f"{list(shape)} and {problem.num_experts} experts."
            )
    except PlanError as error:
        return greedy_before(problem, f"{name} cannot be shown: {error}")
    note, ratios = f"Before is {name}, the plan in force.", heaviest_ratios(problem, placed)
    try:
        plan.check(problem)
    except PlanError as error:
        return Before(name, placed, ratios, f"{note} It breaks a rule: {error}", is_broken=True)
    return Before(name, placed, ratios, note)


def greedy_before(problem: Problem, why: str = "") -> Before:
    """The greedy that engines ship, under its own name where it is the published one.

    Parameters
    ----------
    problem
        Loads and topology. The published one knows neither rules of GPUs nor of colocation.
    why
        A sentence on why it is shown.
    """
    is_published = not problem.has_gpu_rules and problem.colocation == "allow"
    name = "deepseek" if is_published else "greedy"
    placed = first_plan(problem)
    note = f"{why} Before is the greedy that engines ship ({name}).".strip()
    return Before(name, placed, heaviest_ratios(problem, placed), note, is_greedy=True)
