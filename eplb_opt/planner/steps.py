"""What a call can do to a layer, as steps of the portfolio."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import waterfill_bound
from eplb_opt.bounds.partitions import can_enumerate
from eplb_opt.exact import get_model, get_specialist
from eplb_opt.planner.steps_design import design_steps
from eplb_opt.planner.steps_general import general_steps, scenario_water_step
from eplb_opt.planner.steps_model import (
    ask,
    bound_alone,
    deadline_with_solvers,
    model_step,
    outcome_of,
)
from eplb_opt.planner.steps_scenarios import annealing_steps
from eplb_opt.solver import Outcome, Step, Task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eplb_opt.clock import Deadline
    from eplb_opt.exact.config_lp.model import NodeLp
    from eplb_opt.exact.nodes.model import LayerNodes
    from eplb_opt.exact.pairs.model import PairsLayer
    from eplb_opt.problem.problem import Problem
    from eplb_opt.search.local import LayerSearch

#: Turns of half a second without a better plan that end a layer's search in a call without limit.
IDLE_TURNS = 20
#: Search steps for one unit of effort.
STEPS_PER_EFFORT = 10
#: Above this share of the mean, by slots a GPU, the water level says that the configuration LP
#: has something to prove; below the last one it never has.
HEAVY_REGIME = {2: 0.0, 3: 0.7}
HEAVY_REGIME_ELSE = 0.95
LIGHT_REGIME = 0.4
#: In between it is asked where the plan is further from the bound; turn by turn.
LIGHT_GAPS = (1 + Fraction(1, 100), 1 + Fraction(1, 1000))
#: With three slots a GPU or more nodes are worked on where the plan is further from the bound; turn
#: by turn. Below the last but one CP-SAT brings nothing in seconds.
NODES_GAPS = (Fraction(1, 1000), Fraction(5, 10_000), Fraction(2, 10_000))
#: Flows, one for every expert, GPU and scenario, up to which the exact model of optimal dispatch
#: proves something in seconds; and what the search gets of a layer's time there.
SMALL_FLOW, FLOW_SEARCH_SHARE = 500, 0.3
#: A first turn of the configuration LP, which a layer of 256 experts often needs.
LP_SECONDS = 0.5


def make_steps(problem: Problem, model: str, noise: float = 0.0) -> list[Step]:
    """The steps of one call, in the order in which they get their first turn.

    With two slots a GPU the exact engine comes before the search, which has little to do there.

    Parameters
    ----------
    problem
        What is planned.
    model
        Name of the exact model for what no other engine fits.
    noise
        Under optimal dispatch, what the plan is to withstand; see `design_steps`.

    Raises
    ------
    ProblemError
        When no model has that name.
    """
    last = model_step(model, get_model(model))
    if problem.is_split_freely:
        long, more = design_steps(problem, noise)
        joint = [scenario_water_step()] if problem.has_scenarios else []
        if problem.num_experts * problem.num_gpus * problem.num_scenarios > SMALL_FLOW:
            return [long, *joint, more]
        # Where noise has a say the model's plan, best on the known loads alone, does not.
        exact = replace(last, run=bound_alone(last.run)) if noise else last
        return [replace(long, share=FLOW_SEARCH_SHARE), *joint, replace(exact, share=0.8), more]
    if problem.has_gpu_rules or problem.has_scenarios:
        return general_steps(problem, model, annealing_steps(problem))
    if problem.is_hierarchical:
        middle = [nodes_step(), search_step(at_first=problem.slots_per_gpu > 2)]
        if problem.slots_per_gpu > 2:
            middle.reverse()
        return [enumeration_step(), *middle, last]
    if problem.slots_per_gpu == 2:
        return [enumeration_step(), pairs_step(), config_lp_step(), search_step(), last]
    at_first = problem.slots_per_gpu > 2  # else enumeration may have more to say
    return [enumeration_step(), search_step(at_first), config_lp_step(), last]


def enumeration_step() -> Step:
    """Few experts, or one slot a GPU: all counts, in milliseconds."""

    def run(task: Task) -> Outcome:
        if task.problem.slots_per_gpu > 2:
            return Outcome(refused=True)
        answer = ask(get_specialist("enumeration"), task, task.deadline)
        return outcome_of("enumeration", answer)

    return Step("enumeration", run, min_seconds=0.1, max_attempts=3)


def pairs_step() -> Step:
    """Two slots a GPU: the exact optimum; a layer's search goes on where its last turn stopped."""
    layers: dict[int, PairsLayer] = {}

    def run(task: Task) -> Outcome:
        from eplb_opt.exact.pairs.model import PairsLayer, PairsParams

        layer = layers.get(task.layer_idx)
        if layer is None:
            layer = layers[task.layer_idx] = PairsLayer(task.problem, PairsParams())
        deadline = task.deadline
        if task.effort is None and layer.waits_for_solvers:
            deadline = deadline_with_solvers(task) or deadline
        return outcome_of("k2", layer.run(task.start, task.lower_bound, deadline, task.effort))

    # Short turns: all layers get a first one before any gets many. Hardly anything is left to the
    # steps after it, so these wait for the end of its first turns.
    return Step(
        "pairs",
        run,
        share=0.2,
        growth=30,
        min_seconds=0.015,
        max_seconds=4.0,
        turns=12,
        max_attempts=60,
    )


def search_step(at_first: bool = False) -> Step:
    """Local search; a layer's search goes on where its last turn stopped.

    Parameters
    ----------
    at_first
        Whether all layers are brought to a local optimum before any step gets a turn.
    """
    searches: dict[int, LayerSearch] = {}
    idle: Counter[int] = Counter()

    def search_of(task: Task) -> LayerSearch:
        from eplb_opt.search.local import LayerSearch

        search = searches.get(task.layer_idx)
        if search is None:
            search = LayerSearch(task.problem, task.start, task.lower_bound, task.seed)
            searches[task.layer_idx] = search
        return search

    def first_turns(tasks: Iterable[Task], deadline: Deadline) -> dict[int, Outcome]:
        found = {}
        for task in tasks:
            if deadline.expired:
                break
            search = search_of(task)
            search.run_until(deadline)  # which ends at the first local optimum
            found[task.layer_idx] = Outcome(search.placed(), finished=search.is_done)
        return found

    def run(task: Task) -> Outcome:
        search = search_of(task)
        before = search.best
        if task.effort is None:
            search.run_until(task.deadline)
        else:
            search.run_steps(task.effort * STEPS_PER_EFFORT)
        idle[task.layer_idx] = 0 if search.best < before else idle[task.layer_idx] + 1
        # Without any limit something has to end the search: many turns in vain.
        in_vain = math.isinf(task.call_deadline.at) and idle[task.layer_idx] >= IDLE_TURNS
        return Outcome(search.placed(), finished=search.is_done or in_vain)

    # Short turns: all layers get a first one before any gets many.
    return Step(
        "search",
        run,
        share=0.1,
        min_seconds=0.004,
        max_seconds=0.5,
        turns=3,
        max_attempts=10**9,
        first_turns=first_turns if at_first else None,
    )


def config_lp_step() -> Step:
    """The configuration LP, where heavy experts keep mean and water level from the truth.

    It goes on where the last turn stopped.
    """
    works: dict[int, NodeLp] = {}

    def run(task: Task) -> Outcome:
        from eplb_opt.exact.config_lp.model import NodeLp, answer_of

        problem = task.problem
        mean = problem.load.sum() / problem.num_gpus
        share = waterfill_bound(problem)[0] / max(mean, 1)
        if problem.is_hierarchical or (problem.slots_per_gpu != 2 and share <= LIGHT_REGIME):
            return Outcome(refused=True)
        is_heavy = share > HEAVY_REGIME.get(problem.slots_per_gpu, HEAVY_REGIME_ELSE)
        least = LIGHT_GAPS[min(task.attempt, len(LIGHT_GAPS) - 1)]
        if not is_heavy and task.effort is None and task.objective <= task.lower_bound * least:
            return Outcome(postponed=True)
        if task.effort is None and task.call_deadline.remaining < 2 * LP_SECONDS:
            return Outcome(postponed=True)  # the search makes more of so little
        work = works.get(task.layer_idx)
        if work is None:
            work = NodeLp.of(problem, task.start)
            works[task.layer_idx] = work
        work.start = task.start
        found = work.run(task.lower_bound, task.objective, task.deadline, task.effort)
        # What it leaves open is a share of the gap: a better plan asks for more.
        return replace(outcome_of("config_lp", answer_of(problem, found)), finished=False)

    return Step("config_lp", run, share=0.5, min_seconds=LP_SECONDS, max_attempts=6)


def nodes_step() -> Step:
    """Hierarchical layers node by node; goes on where the last turn stopped."""
    works: dict[int, LayerNodes] = {}

    def run(task: Task) -> Outcome:
        from eplb_opt.exact.nodes.model import LayerNodes
        from eplb_opt.exact.nodes.parts import NodesParams

        problem = task.problem
        if not problem.is_hierarchical or not can_enumerate(problem):
            return Outcome(refused=True)
        turn = len(NODES_GAPS) - 1 if task.effort is not None else task.attempt
        gap = task.objective / task.lower_bound - 1 if task.lower_bound else math.inf
        is_small = problem.slots_per_gpu <= 2
        if not is_small and gap <= NODES_GAPS[min(turn, len(NODES_GAPS) - 1)]:
            return Outcome(postponed=True)
        work = works.get(task.layer_idx)
        # The configuration LP closes most heavy nodes; all layers get it before any gets CP-SAT.
        is_first = work is None and task.effort is None
        with_solver = is_small or (gap > NODES_GAPS[-2] and not is_first)
        deadline = deadline_with_solvers(task) if with_solver else task.deadline
        if deadline is None:
            return Outcome(postponed=True)
        if work is None:
            work = works[task.layer_idx] = LayerNodes(problem, task.start, NodesParams(), task.seed)
        else:
            work.offer(task.start)
        answer = work.run(task.lower_bound, deadline, task.effort, with_solver=with_solver)
        return outcome_of("nodes", answer)

    return Step("nodes", run, min_seconds=0.5, max_attempts=8, package="ortools")
