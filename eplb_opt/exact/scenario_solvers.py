"""Bounds for layers that serve several loads at once, as solvers of the schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import (
    Bound,
    fast_bounds,
    mean_bound,
    scenario_bounds,
    waterfill_bound,
)
from eplb_opt.bounds.partitions import can_enumerate
from eplb_opt.exact import get_specialist
from eplb_opt.exact.joint_levels import scenario_water
from eplb_opt.exact.joint_pairs import scenario_pairs
from eplb_opt.exact.shared.model_calls import deadline_after_imports
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: Below this share of the mean load the water level leaves the configuration LP nothing to prove.
HEAVY_REGIME = 0.7
#: Seconds that a turn needs to prove something with the pairs of a recorded layer.
PAIRS_SECONDS = 5.0


class JointLevelsSolver:
    """The joint level (`joint_levels`) as a solver of the schedule.

    Parameters
    ----------
    problem
        A problem of one layer, with scenarios.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem

    def solve(self, task: Task) -> Answer:
        """Find the whole bound in this turn, or none where the time is too short."""
        found = scenario_water(self.problem, task.deadline)
        if found is None:
            late = task.deadline.expired
            return Answer(verdict=Verdict.NOT_YET if late else Verdict.FINISHED)
        return Answer(None, Bound(found.bound, found.kind), found, Verdict.FINISHED)


class JointPairsSolver:
    """The bound from pairs of replicas (`joint_pairs`) as a solver of the schedule.

    Parameters
    ----------
    problem
        A problem of one layer, with scenarios.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem

    def solve(self, task: Task) -> Answer:
        """Raise the bound until the turn ends; its work is ended by the clock alone."""
        if task.deadline.remaining < PAIRS_SECONDS:
            return Answer(verdict=Verdict.NOT_YET)
        found = scenario_pairs(self.problem, task.lower_bound, task.objective, task.deadline)
        return Answer() if found is None else Answer(None, Bound(found.bound, found.kind), found)


class ScenarioBoundsSolver:
    """Every scenario at the strongest bound that a specialist proves for it alone.

    One plan serves all scenarios, and in each its largest GPU load is at least what is proven for
    that scenario alone. The bound adds nothing where a plan reaches the mean in every scenario, and
    is below the joint level where slots are few, so this solver comes last.

    Parameters
    ----------
    problem
        A problem of one layer, with scenarios, on GPUs that are alike.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.specialist = _specialist(problem)

    def solve(self, task: Task) -> Answer:
        """Call the specialist on one scenario after the other."""
        specialist = self.specialist
        if specialist is None or (specialist == "config_lp" and not _is_heavy(self.problem)):
            return Answer(verdict=Verdict.REFUSED)
        turn = deadline_after_imports(task)
        if turn is None:
            return Answer(verdict=Verdict.NOT_YET)
        left = [number + 1 for number in range(self.problem.num_scenarios)]

        def strongest(alone: Problem) -> list[Bound]:
            known = fast_bounds(alone)[0]
            part = turn.sooner(turn.remaining / left.pop())
            deadline = part if task.effort is None else task.deadline
            answer = get_specialist(specialist)(
                alone, task.start, known.value, deadline, effort=task.effort, seed=task.seed
            )
            return [replace(known, value=max(known.value, answer.lower_bound))]

        bound = scenario_bounds(self.problem, strongest)[0]
        verdict = Verdict.AGAIN if task.effort is None else Verdict.FINISHED
        return Answer(bound=bound, verdict=verdict)


def _is_heavy(problem: Problem) -> bool:
    """Whether the configuration LP may prove more than mean and water level in some scenario."""
    alone = [problem.scenario(r) for r in range(problem.num_scenarios)]
    bounds = [(waterfill_bound(p)[0], mean_bound(p)[0]) for p in alone]
    return any(level > HEAVY_REGIME * mean for level, mean in bounds)


def _specialist(problem: Problem) -> str | None:
    """The specialist that proves bounds of one load of that shape, a key of `exact.SPECIALISTS`."""
    if problem.is_hierarchical:
        return "nodes" if can_enumerate(problem) else None
    if problem.slots_per_gpu == 1:
        return "enumeration"
    if problem.slots_per_gpu == 2 and problem.colocation == "allow":
        return "pairs"
    return "config_lp"
