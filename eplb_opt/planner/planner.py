"""The main job: heuristics, bounds, models, check - within one time budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from eplb_opt.bounds.bounds import fast_bounds, flat_bounds
from eplb_opt.clock import Deadline
from eplb_opt.errors import MissingDependency, ProblemError
from eplb_opt.migration import (
    UNLIMITED_SHARE,
    MoveLimits,
    NearAnswer,
    move_limits,
    naming_seconds,
)
from eplb_opt.placement import scoring
from eplb_opt.placement.moves import moved_slots
from eplb_opt.placement.parallel import cores
from eplb_opt.placement.plan import Plan, as_plan
from eplb_opt.planner.incumbents import Incumbents
from eplb_opt.planner.lost_gpus import on_gpus_left, with_lost_gpus
from eplb_opt.planner.noise import DEFAULT_SIZE, choose_noise, price_of_noise
from eplb_opt.planner.portfolio import Portfolio
from eplb_opt.planner.steps import make_steps
from eplb_opt.problem.arrays import as_int, as_number
from eplb_opt.problem.problem import Problem
from eplb_opt.result import HistoryPoint, Result, Status, objective_bounds
from eplb_opt.search import starts
from eplb_opt.solver import Budget, Step

if TYPE_CHECKING:
    from fractions import Fraction
    from threading import Event


class Default(Enum):
    TIME_LIMIT = 10.0


DEFAULT_TIME_LIMIT: Final = Default.TIME_LIMIT

#: Factors of e**10 between experts: no load differs so.
MAX_NOISE = 10
#: Thirty years; the system's clocks take no much longer waits.
MAX_SECONDS = 1e9
#: Giving GPUs their names takes no more than this part of what is left.
MAX_NAMING_SHARE = 0.2
#: What giving names and limiting moves may still take once the caller asked for the end.
OUTPUT_SECONDS = 0.5
#: Checking a plan takes about so much of the time that scoring it takes.
CHECK_SHARE = 0.25

Progress = Callable[[HistoryPoint], None]


def plan(
    problem: Problem,
    *,
    time_limit: float | Default | None = DEFAULT_TIME_LIMIT,
    effort: int | None = None,
    target_gap: float = 0.0,
    current: Any = None,
    max_moves: Any = None,
    move_tolerance: float | None = None,
    objective: str | None = None,
    noise: float | None = None,
    model: str = "cpsat",
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
    stop: Event | None = None,
    start: Any = None,
) -> Result:
    """The best plan that the budget allows, with a proven bound.

    Parameters
    ----------
    problem
        Loads and topology.
    time_limit
        Seconds from the call to the return, 10 by default; None for no limit: until every layer is
        proven or many turns in a row bring nothing. 0 asks for the best
        of the heuristics that are loaded and no search (milliseconds to tenths of a second).
    effort
        Counted work a layer instead of time, at least 0: the same answer on any machine and at
        any number of workers, given the solvers in `Result.relied_on`: CP-SAT of another version
        may find another plan. Excludes `time_limit`.
    target_gap
        Layers are left alone once objective / bound - 1 is at or below it.
    current
        The plan in force, a Plan or [num_layers, num_slots] ids (-1 for an empty slot). It is a
        start where it is valid, and `Result.moves` counts against it. GPUs get the names that move
        least, and a layer with nothing to gain keeps its row as it is.
    max_moves
        At most so many slots whose expert is new on its GPU: one number for the whole model, or
        [num_layers] of them. Shared out where they lower the sum of the layers' objectives
        most. Needs a valid `current`.
    move_tolerance
        The fewest moves that keep each layer within (1 + move_tolerance) of the best plan found for
        it. Needs a valid `current` and excludes `max_moves`.
    objective
        "mean" or "max" over the scenarios; by default the problem's own.
    noise
        Under optimal dispatch: the plan is to hold, too, for loads whose experts each have another
        lognormal factor of this size (the standard deviation of its logarithm). 0 plans for the
        known loads alone. By default 0 for one load; with three scenarios or more the size is
        chosen by what holds on scenarios left out, with two it is 0.3. The objective reported is
        always that of the known loads; where it ends above the greedy's, `messages` says so.
    model
        The exact model for the layers with the largest gaps; a name in `models.MODELS`.
    seed
        Of the solvers' randomness.
    workers
        Layers worked on at a time; by default the cores this process may use.
    progress
        Called with a `HistoryPoint` after each stage, in the caller's thread.
    stop
        A `threading.Event`. Once another thread or a signal handler sets it, the call ends with the
        best so far, as if the time were up: turns under way and the output take about a second.
    start
        A plan to start from, a Plan or [num_layers, num_slots] ids: no layer comes out worse.

    Returns
    -------
    A checked plan, always: when the time is up, a solver fails or a package is missing, the best so
    far, with `status`, `stop_reason` and `messages` saying so.

    Raises
    ------
    ProblemError
        For an argument that cannot be used.
    """
    started = time.monotonic()
    if not isinstance(problem, Problem):
        raise ProblemError(f"plan() takes an eplb_opt.Problem, not {type(problem).__name__}.")
    if objective is not None:
        problem = problem.with_objective(objective)
    budget, limit = make_budget(time_limit, effort, target_gap, seed, workers)
    budget = replace(budget, deadline=replace(budget.deadline, stop=stop))
    whole, problem = problem, problem.without_lost_gpus() or problem
    if problem is not whole and current is not None:
        current = current if isinstance(current, Plan) else Plan(current, whole.num_gpus)
        current = on_gpus_left(whole, current)
    limits = move_limits(problem, current, max_moves, move_tolerance)
    make_steps(problem, model)  # raises where the model is unknown
    if noise is not None:
        noise = as_number(noise, "noise")
        if noise > MAX_NOISE:
            raise ProblemError(f"noise={noise:g} is above {MAX_NOISE}; 0.3 is about 30 %.")
    call = _Call(problem, started, limit, budget, progress, limits, current is not None)
    if start is not None:
        call.incumbents.offer_plans(getattr(start, "physical_to_logical", start))
    call.add_current(current)
    call.add_published_starts()
    call.add_hierarchical_bounds()
    result = call.finish(make_steps(problem, model, call.add_noise(noise)))
    return result if problem is whole else with_lost_gpus(whole, result)


@dataclass(eq=False)
class _Call:
    """One call's state, from the first plan to the result."""

    problem: Problem
    started: float
    limit: float | None
    budget: Budget
    progress: Progress | None
    limits: MoveLimits
    is_named: bool

    def __post_init__(self) -> None:
        self.messages: list[str] = []
        self.current: Plan | None = None
        self.current_objective: list[Fraction] | None = None
        self.naming_seconds = 0.0
        self.first_objective: list[Fraction] = []
        self.noise: float | None = None
        first = starts.first_plan(self.problem)
        scoring_began = time.monotonic()
        self.incumbents = Incumbents(self.problem, first, flat_bounds(self.problem), self.started)
        # The output is checked once more, and what got new names or came in last is scored: that
        # time belongs to the budget.
        seconds = time.monotonic() - scoring_began
        whole = 2.0 if self.is_named else CHECK_SHARE + 2.0 / self.problem.num_layers
        reserve = whole * seconds + 0.002
        self.budget = replace(self.budget, deadline=self.budget.deadline.earlier(reserve))
        self.first_objective = [pair.objective for pair in self.incumbents.pairs()]
        self.note("greedy")

    def note(self, stage: str) -> None:
        """Record the state and tell the caller."""
        point = self.incumbents.record(stage)
        if self.progress is not None:
            self.progress(point)

    def add_current(self, current: Any) -> None:
        """The plan in force competes where it is a valid one, and moves are counted against it."""
        if current is None:
            return
        self.current = (
            current if isinstance(current, Plan) else Plan(current, self.problem.num_gpus)
        )
        wanted = (self.problem.num_layers, self.problem.num_slots, self.problem.num_gpus)
        held = (self.current.num_layers, self.current.num_slots, self.current.num_gpus)
        if held != wanted:
            raise ProblemError(
                f"current has {held[0]} layers, {held[1]} slots and {held[2]} GPUs; the problem "
                f"has {wanted[0]}, {wanted[1]} and {wanted[2]}."
            )
        self.naming_seconds = naming_seconds(self.problem, self.current, self.incumbents.placed)
        try:
            valid = as_plan(self.current, self.problem)
        except ValueError as error:
            self.messages.append(f"current is no start: {error}")
        else:
            self.current_objective = self.incumbents.offer_plans(valid.physical_to_logical)
            self.note("current")

    def add_published_starts(self) -> None:
        """Let the published heuristics compete where there is time for them."""
        if self.budget.effort is not None:
            return  # whether torch is installed must not change a reproducible answer
        for name, make in starts.published_starts(self.problem).items():
            if not self._time_for_published():
                return
            try:
                self.incumbents.offer_plans(make())
            except ImportError as error:
                self.messages.append(str(error))
                return
            except Exception as error:  # a start that fails costs nothing but itself
                self.messages.append(f"{name} failed: {type(error).__name__}: {error}")
            self.note(name)

    def _time_for_published(self) -> bool:
        # With any time at all the search passes them before they have answered.
        return self.limit == 0 and starts.torch_is_loaded()

    def add_hierarchical_bounds(self) -> None:
        """Raise the flat bounds by the best partition of groups over nodes, layer by layer."""
        if not self.problem.is_hierarchical:
            return
        for layer_idx in range(self.problem.num_layers):
            if self.budget.deadline.expired:
                break
            bound = fast_bounds(self.problem.layer(layer_idx))[0]
            self.incumbents.offer_layer(layer_idx, bound=bound)
        self.note("hierarchy")

    def add_noise(self, noise: float | None) -> float:
        """The noise that the plan is to withstand: as asked for, or chosen; 0 for uniform split."""
        if not self.problem.is_split_freely:
            return 0.0
        if noise is None:
            self.noise = DEFAULT_SIZE if self.problem.has_scenarios else 0.0
            try:
                choice = choose_noise(self.problem, self.incumbents.placed, self.budget)
                self.noise = choice.size
            except MissingDependency as error:
                self.messages.append(str(error))
            except Exception as error:  # a choice that fails costs nothing but itself
                self.messages.append(f"choosing noise failed: {type(error).__name__}: {error}")
            self.note("noise")
        else:
            self.noise = noise
        return self.noise

    def finish(self, steps: list[Step]) -> Result:
        """Spend what is left on the steps, check, and answer."""
        left, budget = self.budget.deadline.remaining, self.budget
        if self.limits.is_given and not math.isinf(left):
            gap = max(budget.target_gap, self.limits.good_enough)
            part = budget.deadline.sooner(left * UNLIMITED_SHARE)
            budget = replace(budget, deadline=part, target_gap=gap)
        elif self.current is not None:
            earlier = budget.deadline.earlier(min(self.naming_seconds, left * MAX_NAMING_SHARE))
            budget = replace(budget, deadline=earlier)
        portfolio = Portfolio(self.incumbents, steps, budget, self.note, self.messages)
        stop_reason = portfolio.run()
        if self.budget.deadline.is_stopped:
            self.budget = replace(self.budget, deadline=Deadline.after(OUTPUT_SECONDS), effort=None)
        worked_on = portfolio.worked_on()
        placed = self._near_current(self.incumbents.placed.copy())
        pairs = objective_bounds(self._worth(placed), self.incumbents.bounds)
        self._tell_price_of_noise([pair.objective for pair in pairs])
        answer = Plan(placed, self.problem.num_gpus, self.problem.num_experts)
        answer.check(self.problem)
        return Result(
            plan=answer,
            problem=self.problem,
            bounds=pairs,
            status=[str(_status(pair.is_closed, i in worked_on)) for i, pair in enumerate(pairs)],
            bound_source=[bound.source for bound in self.incumbents.bounds],
            stop_reason=str(stop_reason),
            elapsed=time.monotonic() - self.started,
            messages=tuple(self.messages),
            moves=moved_slots(self.current, answer) if self.current is not None else None,
            history=tuple(self.incumbents.history),
            certificates=tuple(self.incumbents.certificates),
            noise=self.noise,
            relied_on=portfolio.relied_on(),
        )

    def _tell_price_of_noise(self, objective: list[Fraction]) -> None:
        price = price_of_noise(self.noise, self.first_objective, objective) if self.noise else None
        if price:
            self.messages.append(price)

    def _worth(self, placed: np.ndarray) -> list[Fraction]:
        """Exact objectives; a layer that stands as it was scored when it came in is not again."""
        known = self.incumbents.pairs()
        changed = np.flatnonzero((placed != self.incumbents.placed).any(axis=1)).tolist()
        if not changed:
            return [pair.objective for pair in known]
        scored = scoring.objectives(self.problem.selected(changed), placed[changed])
        fresh = dict(zip(changed, scored, strict=True))
        return [fresh.get(i, pair.objective) for i, pair in enumerate(known)]

    def _near_current(self, best: np.ndarray) -> np.ndarray:
        """The plan to answer with: near the one in force as the limits ask, or under its names."""
        if self.current is None:
            return best
        worth = None
        if self.current_objective is not None:
            known = [pair.objective for pair in self.incumbents.pairs()]
            worth = list(zip(self.current_objective, known, strict=True))
        near = NearAnswer(self.problem, self.current, self.limits, best, worth, self.naming_seconds)
        placed, messages = near.rows(self.budget)
        self.messages += [text for text in messages if text not in self.messages]
        return placed


def _status(is_closed: bool, was_worked_on: bool) -> Status:
    if is_closed:
        return Status.OPTIMAL
    return Status.FEASIBLE if was_worked_on else Status.HEURISTIC


def make_budget(
    time_limit: float | Default | None,
    effort: int | None,
    target_gap: float,
    seed: int,
    workers: int | None,
) -> tuple[Budget, float | None]:
    """The call's budget and its time limit, None where time does not count."""
    if effort is not None and not isinstance(time_limit, Default) and time_limit is not None:
        raise ProblemError(f"time_limit={time_limit} and effort={effort} exclude each other.")
    limit = time_limit.value if isinstance(time_limit, Default) else time_limit
    limit = None if effort is not None else _seconds(limit)
    if effort is not None:
        effort = as_int(effort, "effort", least=0)
    gap = as_number(target_gap, "target_gap")
    workers = cores() if workers is None else as_int(workers, "workers")
    seed = as_int(seed, "seed", least=0)
    return Budget(Deadline.after(limit), effort, gap, workers, seed), limit


def _seconds(limit: float | None) -> float | None:
    if limit is None or limit == math.inf:
        return None
    seconds = as_number(limit, "time_limit")
    if seconds > MAX_SECONDS:
        raise ProblemError(
            f"time_limit={seconds:g} is above {MAX_SECONDS:g} seconds; None is for no limit."
        )
    return seconds
