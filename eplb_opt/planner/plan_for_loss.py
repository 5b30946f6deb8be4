"""Plans for the least load after the loss of any one GPU, or of any one node."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bounds.water_level import water_levels
from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.placement import checker
from eplb_opt.placement.after_loss import AfterLoss, loads_after_loss
from eplb_opt.placement.caller_units import bound_in_caller_units
from eplb_opt.placement.plan import Plan
from eplb_opt.planner.arguments import DEFAULT_TIME_LIMIT, Default, Spending, read_budget
from eplb_opt.planner.planner import plan

if TYPE_CHECKING:
    from eplb_opt.clock import Budget
    from eplb_opt.problem.problem import Problem

#: The part of a call that plans for the whole machine; the rest looks at losses.
FIRST_SHARE = 0.3
#: Calls of the compiled search for one unit of effort.
CALLS_PER_EFFORT = 2
#: The part of the time left that searches; the rest scores what was found, exactly.
SEARCH_SHARE = 0.9


@dataclass(frozen=True, eq=False)
class LossPlan:
    """A plan for the worst single loss.

    Parameters
    ----------
    plan
        The plan, which has passed the independent checker.
    after
        Loads of the plan after the worst loss; see `AfterLoss`.
    unprepared
        The same for a plan made for the whole machine alone, in the first part of the call.
    lower_bound
        float64 [num_layers], in the caller's unit, rounded down: no plan that loses no expert has
        a smaller largest load after its worst loss.
    elapsed
        Seconds from the call to the return.
    messages
        Sentences on what went wrong without costing the answer.
    """

    plan: Plan
    after: AfterLoss
    unprepared: AfterLoss
    lower_bound: np.ndarray
    elapsed: float
    messages: tuple[str, ...] = ()


def plan_for_loss(
    problem: Problem,
    of: str = "gpu",
    *,
    time_limit: float | Default | None = DEFAULT_TIME_LIMIT,
    effort: int | None = None,
    seed: int = 0,
    workers: int | None = None,
) -> LossPlan:
    """The least load on any GPU after the loss of any one GPU or node, nothing planned anew.

    Where the slots allow it every expert stands on two GPUs (or nodes) and none is lost. Where
    they do not, replicas go where the load asks for them, the hottest first, and every
    expert that has two of them stands on two.

    Parameters
    ----------
    problem
        Loads, without scenarios, and the machine.
    of
        "gpu" or "node": what is lost at a time.
    time_limit, effort, seed, workers
        Limits, seed and threads of the call, as for `plan`; without any limit the default of 10
        seconds holds.

    Returns
    -------
    LossPlan
        The plan, what the worst loss makes of it, and a proven bound on that.

    Raises
    ------
    ProblemError
        For scenarios, groups that stay on one node where a node is lost, or an argument that cannot
        be used.
    """
    began = time.monotonic()
    if problem.dispatch != "uniform":
        raise ProblemError('A loss is planned for under dispatch="uniform" alone.')
    if problem.has_topology:
        raise ProblemError("A loss does not go with a topology yet; plan without one.")
    if problem.has_cost:
        raise ProblemError("A loss does not go with a cost: it is planned for in tokens alone.")
    if problem.is_hierarchical and of == "node":
        raise ProblemError(
            "Groups that stay on one node are lost with it. Take num_groups=1, which lets experts "
            "stand on any node."
        )
    if time_limit is None and effort is None:
        time_limit = DEFAULT_TIME_LIMIT
    budget, limit = read_budget(Spending(time_limit, effort, 0.0, seed, workers))
    first: dict[str, Any] = {"effort": effort, "seed": seed, "workers": workers}
    whole = plan(problem, time_limit=_part(limit, FIRST_SHARE / 2), **first).plan
    unprepared = loads_after_loss(problem, whole, of)
    best, after, messages = whole, unprepared, []
    try:
        start = plan(
            problem.with_spread(of), time_limit=_part(limit, FIRST_SHARE / 2), **first
        ).plan
    except ProblemError as error:
        messages.append(str(error))
        start = _stood_apart(problem, whole, of)
    best, after = _better(best, after, start, loads_after_loss(problem, start, of))
    found = _searched(problem, start, of, budget)
    best, after = _better(best, after, found, loads_after_loss(problem, found, of))
    bound = bound_in_caller_units(problem, _bounds(problem, of))
    elapsed = time.monotonic() - began
    return LossPlan(best, after, unprepared, bound, elapsed, tuple(messages))


def _part(limit: float | None, share: float) -> float | None:
    return None if limit is None else limit * share


def _better(best: Plan, after: AfterLoss, other: Plan, new: AfterLoss) -> tuple[Plan, AfterLoss]:
    """Layer by layer the plan that loses fewer tokens, then fewer experts, then has less load.

    An expert without load loses no tokens, and its turn may come with the next load.
    """
    pairs = [
        zip(one.tokens_lost, one.experts_lost.tolist(), one.objective, strict=True)
        for one in (after, new)
    ]
    takes = np.array([mine > theirs for mine, theirs in zip(*pairs, strict=True)])
    placed = np.where(takes[:, None], other.physical_to_logical, best.physical_to_logical)
    chosen = [(after, new)[int(taken)] for taken in takes]
    together = AfterLoss(
        after.problem,
        tuple(one.objective[i] for i, one in enumerate(chosen)),
        np.where(takes, new.worst, after.worst),
        np.where(takes, new.experts_lost, after.experts_lost),
        tuple(one.tokens_lost[i] for i, one in enumerate(chosen)),
    )
    return Plan(placed, best.num_gpus, best.num_experts), together


def _bounds(problem: Problem, of: str) -> list[Fraction]:
    """What no plan without lost experts falls below, in integer units, one a layer.

    All tokens are left when the fastest unit is lost, on what is left of the speeds. And of the
    replicas of each expert some loss takes one at least, so with a largest load of T the others are
    at least w_e / T; together they are the slots less one for each expert.
    """
    spare = int(problem.open_slots.sum()) - problem.num_experts
    if spare < problem.num_experts:
        return [Fraction(0)] * problem.num_layers
    used = zip(problem.speed, problem.open_slots.tolist(), strict=True)
    speed = [s if slots else Fraction(0) for s, slots in used]
    per_unit = _per_unit(problem, of)
    units = [sum(speed[g : g + per_unit], Fraction(0)) for g in range(0, len(speed), per_unit)]
    left = sum(units, Fraction(0)) - max(units)
    levels = water_levels(problem.load, spare)
    totals = problem.load.sum(axis=1).tolist()
    return [
        max(Fraction(total) / left, Fraction(level) / max(speed))
        for total, level in zip(totals, levels, strict=True)
    ]


def _per_unit(problem: Problem, of: str) -> int:
    """GPUs that are lost together."""
    return problem.gpus_per_node if of == "node" else 1


def _searched(problem: Problem, start: Plan, of: str, budget: Budget) -> Plan:
    """Annealing on every layer, within the budget."""
    from eplb_opt.search.after_loss import least_load_after_loss

    per_unit = _per_unit(problem, of)
    guarded = _num_units(problem, start.physical_to_logical, of) > 1
    calls = None if budget.effort is None else budget.effort * CALLS_PER_EFFORT

    def work(layer_idx: int) -> np.ndarray:
        turn = budget.even_part(problem.num_layers - layer_idx, SEARCH_SHARE)
        row = start.physical_to_logical[layer_idx]
        layer = problem.layer(layer_idx)
        return least_load_after_loss(
            layer, row, guarded[layer_idx], per_unit, turn, budget.seed, calls
        )

    with ThreadPoolExecutor(budget.workers, thread_name_prefix="eplb-opt") as pool:
        placed = np.array(list(pool.map(work, range(problem.num_layers))))
    found = Plan(placed, problem.num_gpus, problem.num_experts)
    found.check(problem)
    return found


def _num_units(problem: Problem, placed: np.ndarray, of: str) -> np.ndarray:
    """GPUs or nodes that hold each expert, int64 [num_layers, num_experts]."""
    size = problem.slots_per_gpu * _per_unit(problem, of)
    stands = np.zeros((len(placed), problem.num_experts + 1, problem.num_slots // size), dtype=bool)
    unit = np.arange(problem.num_slots) // size
    stands[np.arange(len(placed))[:, None], placed, unit] = True
    return np.asarray(stands[:, :-1].sum(axis=2))


def _stood_apart(problem: Problem, plan: Plan, of: str) -> Plan:
    """The plan with every expert that has two replicas on two units, where swaps can do that."""
    placed = plan.physical_to_logical.copy()
    size = problem.slots_per_gpu * _per_unit(problem, of)
    for layer_idx, row in enumerate(placed):
        layer = problem.layer(layer_idx)
        counts = np.bincount(row[row >= 0], minlength=problem.num_experts)
        hottest = np.argsort(-problem.load[layer_idx], kind="stable")
        for expert in hottest[counts[hottest] > 1].tolist():
            slots = np.flatnonzero(row == expert)
            if len(np.unique(slots // size)) > 1:
                continue
            # What stands alone elsewhere can go anywhere.
            others = np.flatnonzero((np.arange(len(row)) // size != slots[0] // size) & (row >= 0))
            for other in others[counts[row[others]] == 1].tolist():
                swapped = row.copy()
                swapped[[slots[0], other]] = row[[other, slots[0]]]
                if _is_allowed(layer, swapped):
                    row[:] = swapped
                    break
    return Plan(placed, problem.num_gpus, problem.num_experts)


def _is_allowed(layer: Problem, row: np.ndarray) -> bool:
    try:
        checker.check(layer, row[None])
    except PlanError:
        return False
    return True
