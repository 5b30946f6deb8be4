"""The policies of a replay: which loads of the past to plan for, and who makes the plan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.engines.every_rank import DEFAULT_EFFORT, DEFAULT_TOLERANCE
from eplb_opt.engines.serving.call import rebalance, rebalance_near
from eplb_opt.engines.serving.near_rules import NearRules
from eplb_opt.errors import ProblemError
from eplb_opt.placement.plan import as_plan
from eplb_opt.planner.noise import DEFAULT_SIZE
from eplb_opt.planner.planner import plan
from eplb_opt.search.starts import heuristic_calls
from eplb_opt.workloads import representatives
from eplb_opt.workloads.representatives import METHODS, Method, Scenarios

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from eplb_opt.placement.move_cost import MoveCost
    from eplb_opt.problem.problem import Problem

    # Problem, the placement in force or None, the limits -> int64 [num_layers, num_slots].
    Planner = Callable[[Problem, np.ndarray | None, "ReplanLimits"], np.ndarray]


@dataclass(frozen=True)
class ReplanLimits:
    """What a single re-plan may cost; see `plan`.

    Parameters
    ----------
    time_limit
        Seconds for each re-plan.
    effort
        Counted work instead: the same plans on any machine.
    workers
        Layers worked on at a time.
    max_moves
        Slots over all layers that a migration-limited policy may change.
    noise
        Size of the noise that plans for optimal dispatch are to withstand. By default `plan`
        chooses where there are scenarios; a single load is planned for with some noise too, for
        other loads follow.
    move_cost
        What moving costs, for the policy `worth` and for the net of every policy.
    executor
        A `concurrent.futures.Executor` whose workers take the turns of our re-plans.
    """

    time_limit: float | None = 1.0
    effort: int | None = None
    workers: int | None = None
    max_moves: int | None = None
    noise: float | None = None
    move_cost: MoveCost | None = None
    executor: Executor | None = None

    def arguments(self, problem: Problem) -> dict[str, Any]:
        """The keywords of `plan` for a problem."""
        limit = None if self.effort is not None else self.time_limit
        noise = self.noise
        if noise is None and not problem.has_scenarios:
            noise = DEFAULT_SIZE
        return {
            "time_limit": limit,
            "effort": self.effort,
            "workers": self.workers,
            "noise": noise,
            "executor": self.executor,
        }


def ours(problem: Problem, current: np.ndarray | None, limits: ReplanLimits) -> np.ndarray:
    """The planner, from scratch or from the plan in force, whichever it finds better."""
    result = plan(problem, current=current, **limits.arguments(problem))
    return result.plan.physical_to_logical


def limited(problem: Problem, current: np.ndarray | None, limits: ReplanLimits) -> np.ndarray:
    """The planner with at most `limits.max_moves` moves from the plan in force."""
    allowed: dict[str, Any] = {} if current is None else {"max_moves": limits.max_moves}
    result = plan(problem, current=current, **limits.arguments(problem), **allowed)
    return result.plan.physical_to_logical


def near(problem: Problem, current: np.ndarray | None, limits: ReplanLimits) -> np.ndarray:
    """What the drop-ins answer by default: near the plan in force, in milliseconds."""
    return _served(problem, current, NearRules(DEFAULT_TOLERANCE))


def worth(problem: Problem, current: np.ndarray | None, limits: ReplanLimits) -> np.ndarray:
    """What the drop-ins answer where they are told what moving costs.

    Raises
    ------
    ProblemError
        When `limits` does not say it.
    """
    if limits.move_cost is None:
        raise ProblemError("The policy 'worth' needs a move cost.")
    return _served(problem, current, NearRules(move_cost=limits.move_cost))


def _served(problem: Problem, current: np.ndarray | None, rules: NearRules) -> np.ndarray:
    """The serving path's plan; without one in force a free one, whatever the rules."""
    sizes = problem.num_slots, problem.num_groups, problem.num_nodes, problem.num_gpus
    if current is None:
        return np.asarray(rebalance(problem.load, *sizes, effort=DEFAULT_EFFORT)[0])
    maps, _ = rebalance_near(
        problem.load, *sizes, current=current, rules=rules, effort=DEFAULT_EFFORT
    )
    return np.asarray(maps[0])


@dataclass(frozen=True)
class Policy:
    """One way of planning ahead.

    Parameters
    ----------
    method
        A function from windows of the past, [num, num_layers, num_experts], to the loads that are
        planned for.
    planner
        The function that makes the plan.
    once
        Plan after the first window and never again.
    follows
        Plan nothing: take the plan of whichever other policy of ours has been best on the steps
        so far.
    is_heuristic
        Whether it stands for what engines ship, in tables and plots.
    dispatch
        How tokens are split under its plans; as the machine says by default.
    """

    method: Method = representatives.last
    planner: Planner = ours
    once: bool = False
    follows: bool = field(default=False, kw_only=True)
    is_heuristic: bool = field(default=False, kw_only=True)
    dispatch: str | None = field(default=None, kw_only=True)

    def scenarios(self, past: np.ndarray) -> Scenarios:
        """The loads it plans for."""
        return self.method(past)


#: Name -> policy of ours; heuristics and given plans join by `heuristics` and `given`.
POLICIES: dict[str, Policy] = {
    "static": Policy(once=True),
    "last": Policy(),
    "exponential": Policy(METHODS["exponential-4"]),
    "total": Policy(representatives.total),
    "scenarios": Policy(METHODS["ageing-16"]),
    "clusters": Policy(METHODS["clusters-4-shrunk"]),
    "limited": Policy(planner=limited),
    "leader": Policy(follows=True),
    "near": Policy(planner=near),
    "worth": Policy(planner=worth),
}


def heuristic(name: str, method: str = "last") -> Policy:
    """A heuristic of `HEURISTICS`, on the last window as engines use it or on another view.

    Parameters
    ----------
    name
        Name of the heuristic.
    method
        A name of `METHODS`; several scenarios are blended into one load.

    Raises
    ------
    KeyError
        When there is no such method, and on planning when there is no such heuristic.
    """

    def make(problem: Problem, current: np.ndarray | None, limits: ReplanLimits) -> np.ndarray:
        return heuristic_calls(problem)[name]()

    return Policy(METHODS[method], make, is_heuristic=True)


def heuristics(methods: Sequence[str] = ("last",)) -> dict[str, Policy]:
    """All of them on each view, by name: "greedy", or "greedy on total"."""
    from heuristics import HEURISTICS

    return {
        name if method == "last" else f"{name} on {method}": heuristic(name, method)
        for method in methods
        for name in HEURISTICS
    }


def under(dispatches: Sequence[str], policies: Mapping[str, Policy]) -> dict[str, Policy]:
    """Every policy under every dispatch, which is in its name where there are several.

    >>> list(under(["uniform", "optimal"], {"last": Policy()}))
    ['last, uniform', 'last, optimal']
    """
    return {
        name if len(dispatches) == 1 else f"{name}, {dispatch}": replace(policy, dispatch=dispatch)
        for name, policy in policies.items()
        for dispatch in dispatches
    }


def given(placed: Any) -> Policy:
    """A plan that somebody else made, [num_layers, num_slots] ids, kept from the first step on."""

    def keep(problem: Problem, current: np.ndarray | None, limits: ReplanLimits) -> np.ndarray:
        return as_plan(placed, problem).physical_to_logical

    return replace(POLICIES["static"], planner=keep)
