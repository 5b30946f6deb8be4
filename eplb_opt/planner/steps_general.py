"""Steps for layers with scenarios, or with GPUs that differ and experts tied to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import Bound, fast_bounds, mean_bound, scenario_bounds, waterfill_bound
from eplb_opt.bounds.partitions import can_enumerate
from eplb_opt.exact import get_model, get_specialist
from eplb_opt.planner.steps_model import SEARCH_BEATS_MODEL, deadline_with_solvers, model_step
from eplb_opt.solver import Outcome, Step, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.problem.problem import Problem

#: Columns times scenarios up to which the model is done at once, and comes first.
SMALL = 4000
#: Of a layer's share of the time, where the model is to have some.
SEARCH_SHARE = 0.7
#: The model's share of the time where GPUs differ and there is one load: it ends soon or never.
RULES_SHARE = 0.5
#: Below this share of the mean the water level leaves the configuration LP nothing to prove.
HEAVY_REGIME = 0.7
#: Shorter turns on the pairs of a recorded layer prove nothing.
PAIRS_SECONDS = 5.0


def general_steps(problem: Problem, model: str, search: Sequence[Step] = ()) -> list[Step]:
    """The steps of a problem that is not plain, in the order of their first turns.

    Parameters
    ----------
    problem
        What is planned.
    model
        Name of the exact model; a key of `models.MODELS`.
    search
        Steps that look for plans alone, a short one first. The last takes all the time that is
        left, so the joint level comes before it; and where the model has a chance, it leaves some.
    """
    if not problem.has_scenarios:
        return [*search[:1], model_step(model, get_model(model), RULES_SHARE), *search[1:]]
    spare = int(problem.open_slots.sum()) - problem.num_experts
    columns = problem.num_experts * (spare + 1) * (problem.num_gpus + 1)
    short, long = list(search[:1]), list(search[1:])
    if columns * problem.num_scenarios > SMALL and columns <= SEARCH_BEATS_MODEL:
        long = [replace(step, share=SEARCH_SHARE) for step in long]
    steps = [*short, scenario_water_step(), *long, own_bounds_step()]
    at = 0 if columns * problem.num_scenarios <= SMALL else len(steps)
    steps.insert(at, model_step(model, get_model(model)))
    return [*steps, scenario_pairs_step()] if problem.open_slots.max() <= 2 else steps


def scenario_water_step() -> Step:
    """What one count vector lets all scenarios be worth together; tenths of a second."""

    def run(task: Task) -> Outcome:
        from eplb_opt.exact.joint_levels import scenario_water

        certificate = scenario_water(task.problem, task.deadline)
        if certificate is None:
            return Outcome(finished=not task.deadline.expired, postponed=task.deadline.expired)
        bound = Bound(certificate.bound, certificate.kind)
        return Outcome(bound=bound, certificate=certificate, finished=True)

    return Step("scenario_water", run, share=0.3, min_seconds=0.1)


def scenario_pairs_step() -> Step:
    """Two slots a GPU: the pairs that fit in all scenarios at once; a bound for those who wait."""

    def run(task: Task) -> Outcome:
        from eplb_opt.exact.joint_pairs import scenario_pairs

        if task.effort is not None:  # its work is not counted
            return Outcome(refused=True)
        if task.deadline.remaining < PAIRS_SECONDS:
            return Outcome(postponed=True)
        found = scenario_pairs(task.problem, task.lower_bound, task.objective, task.deadline)
        if found is None:
            return Outcome()
        return Outcome(bound=Bound(found.bound, found.kind), certificate=found)

    return Step("scenario_pairs", run, share=0.3, min_seconds=0.5)


def own_bounds_step() -> Step:
    """Every scenario at the strongest bound that an engine proves for it alone.

    One plan serves all scenarios, and in each its largest GPU load is at least what is proven for
    that one alone. It says nothing where means are within reach, and less than the joint
    level where slots are few: so it comes last.
    """

    def run(task: Task) -> Outcome:
        problem = task.problem
        engine = _engine(problem)
        if engine is None or problem.has_gpu_rules:
            return Outcome(refused=True)
        if engine == "config_lp" and not _is_heavy(problem):
            return Outcome(refused=True)
        turn = deadline_with_solvers(task)
        if turn is None:
            return Outcome(postponed=True)
        left = [number + 1 for number in range(problem.num_scenarios)]

        def strongest(alone: Problem) -> list[Bound]:
            known = fast_bounds(alone)[0]
            part = turn.sooner(turn.remaining / left.pop())
            deadline = part if task.effort is None else task.deadline
            answer = get_specialist(engine)(
                alone, task.start, known.value, deadline, effort=task.effort, seed=task.seed
            )
            return [replace(known, value=max(known.value, answer.lower_bound))]

        bound = scenario_bounds(problem, strongest)[0]
        return Outcome(bound=bound, finished=task.effort is not None)

    return Step("own_bounds", run, share=0.2, min_seconds=0.1, max_attempts=4, package="ortools")


def _is_heavy(problem: Problem) -> bool:
    """Whether in some scenario the largest replicas keep mean and water level from the truth."""
    alone = [problem.scenario(r) for r in range(problem.num_scenarios)]
    pairs = [(waterfill_bound(p)[0], mean_bound(p)[0]) for p in alone]
    return any(level > HEAVY_REGIME * mean for level, mean in pairs)


def _engine(problem: Problem) -> str | None:
    """The specialist for bounds of one load of that shape."""
    if problem.is_hierarchical:
        return "nodes" if can_enumerate(problem) else None
    if problem.slots_per_gpu == 1:
        return "enumeration"
    if problem.slots_per_gpu == 2 and problem.colocation == "allow":
        return "pairs"
    return "config_lp"
