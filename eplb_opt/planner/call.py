"""One planning call, from the first plan to the result."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.clock import Budget, Deadline
from eplb_opt.errors import MissingDependency, PlanError, ProblemError
from eplb_opt.migration import (
    UNLIMITED_SHARE,
    UNLIMITED_SHARE_AT_PRICE,
    NearAnswer,
    naming_seconds,
)
from eplb_opt.placement import scoring
from eplb_opt.placement.caller_units import objective_in_caller_units
from eplb_opt.placement.moves import across_nodes_by_gpu, move_price, moved_slots
from eplb_opt.placement.plan import Plan, as_plan
from eplb_opt.planner.beginning import begin, mend
from eplb_opt.planner.journal import Journal
from eplb_opt.planner.noise import DEFAULT_SIZE, choose_noise, price_of_noise
from eplb_opt.planner.portfolio import Portfolio
from eplb_opt.planner.schedule import schedule
from eplb_opt.planner.warm_starts import (
    TriedStart,
    WarmStart,
    cheap_starts,
    counted_starts,
    loaded_starts,
    start_results,
)
from eplb_opt.result import LayerResult, Result, Status, StopReason, objective_bounds
from eplb_opt.search import starts
from eplb_opt.solver import Options

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction

    from eplb_opt.planner.arguments import Request
    from eplb_opt.result import ObjectiveBounds

#: Giving GPUs their names takes no more than this part of what is left.
MAX_NAMING_SHARE = 0.2
#: Writing a job's last files takes no more than this part of what is left.
MAX_CLOSING_SHARE = 0.1
#: What giving names and limiting moves may still take once the caller asked for the end.
OUTPUT_SECONDS = 0.5
#: Checking a plan takes about so much of the time that scoring it takes.
CHECK_SHARE = 0.25
#: Seconds that it takes to draw where a sender of an expert with several replicas goes.
DEALING_SECONDS = 1.5e-8
#: What the rest of the output takes, in seconds.
REST_SECONDS = 0.002


@dataclass(eq=False)
class Call:
    """One call's state; there is a checked answer in `incumbents` from the start.

    Parameters
    ----------
    request
        The checked arguments of the call.
    """

    request: Request

    def __post_init__(self) -> None:
        self.problem, self.budget = self.request.problem, self.request.budget
        self.messages: list[str] = []
        self.current: Plan | None = None
        self.current_objective: list[Fraction] | None = None
        self.naming_seconds = 0.0
        self.noise: float | None = None
        self.stop_reason = StopReason.EXHAUSTED
        self.worked_on: set[int] = set()
        self.relied_on: tuple[str, ...] = ()
        self.reasons: list[str] = [""] * self.problem.num_layers
        self.short_reasons = self.reasons
        began = time.monotonic()
        self.incumbents, making, scoring = begin(self.request)
        ended = time.monotonic()
        self._leave_time_for_output(scoring)
        mend(self.request, self.incumbents, self.budget.deadline, making)
        self._tell_if_late(ended)
        self.first_objective = [pair.objective for pair in self.incumbents.pairs()]
        self.journal = Journal(self.incumbents)
        self.journal.problem(self.problem, self.budget, self.request.time_limit)
        self.tried: list[TriedStart] = []
        self._note_start(TriedStart(starts.FIRST, ended - began, self.first_objective))

    def _leave_time_for_output(self, seconds: float) -> None:
        """The output is checked once more, and what got new names or came in last is scored."""
        is_named = self.request.current is not None
        times = 2.0 if is_named else CHECK_SHARE + 2.0 / self.problem.num_layers
        rest = REST_SECONDS
        if self.problem.dispatch == "nearest":  # all layers are scored once more, as one draw
            times += 1.0
            spare = int(self.problem.open_slots.sum()) - self.problem.num_experts
            dealt = self.problem.num_layers * min(spare, self.problem.num_experts)
            rest += DEALING_SECONDS * dealt * self.problem.num_senders
        deadline = self.budget.deadline.earlier(times * seconds + rest)
        self.budget = replace(self.budget, deadline=deadline)

    def _tell_if_late(self, ended: float) -> None:
        """Say so where a limit was over before there was a first plan: no limit makes it sooner."""
        limit, seconds = self.request.time_limit, ended - self.request.started
        if limit and self.budget.effort is None and seconds > limit:
            self.messages.append(
                f"time_limit={limit:g} was over before the search began: the first plan, its score "
                f"and its bound took {seconds:.3f} s."
            )

    def note(self, stage: str, start_objective: float | None = None) -> None:
        """Record the state and tell the caller."""
        point = self.incumbents.record(stage, start_objective)
        if self.request.progress is not None:
            self.request.progress(point)

    def _note_start(self, start: TriedStart) -> None:
        self.tried.append(start)
        worth = objective_in_caller_units(self.problem, start.objective)
        self.note(start.name, float(worth.sum()))
        self.journal.start(start, self.incumbents.history[-1])

    def take_starts(self) -> None:
        """The starts compete: the caller's own, or every heuristic that costs little."""
        if self.request.starts is not None:
            for start in self.request.starts:
                self._try_start(start)
            return
        for start in self._cheap_starts():
            if self.incumbents.num_closed == self.problem.num_layers:
                return
            self._try_start(start)

    def _cheap_starts(self) -> Iterable[WarmStart]:
        if self.budget.effort is not None:
            return counted_starts(self.problem, self.budget.effort)
        if self.request.time_limit == 0:
            return loaded_starts(self.problem)
        return cheap_starts(self.problem, self.request.time_limit, self.incumbents.scoring_seconds)

    def _try_start(self, start: WarmStart) -> None:
        """Score a start; one that fails costs nothing but itself, unless the caller made it."""
        if not start.is_given and (start.name == starts.FIRST or self._is_late_for(start)):
            return
        began = time.monotonic()
        try:
            objective = self.incumbents.offer_plans(start.make())
        except PlanError as error:
            if start.is_given:
                raise PlanError(f"{start.name}: {error}") from error
            self.messages.append(f"{start.name} is no start: {error}")
        except ImportError as error:
            self.messages.append(f"{start.name} is no start: {error}")
        except Exception as error:
            self.messages.append(f"{start.name} failed: {type(error).__name__}: {error}")
        else:
            self._note_start(TriedStart(start.name, time.monotonic() - began, objective))

    def _is_late_for(self, start: WarmStart) -> bool:
        """Whether a heuristic would be done after the end; a call without time waits for all."""
        left = self.budget.deadline.remaining
        if self.budget.deadline.is_stopped:
            return True
        if self.request.time_limit == 0 or start.seconds <= left:
            return False
        self.messages.append(
            f"{start.name} is no start: it may take {start.seconds:.2g} s, and {left:.2g} s are "
            "left."
        )
        return True

    def take_current(self) -> None:
        """The plan in force competes where it is a valid one, and moves are counted against it."""
        current = self.request.current
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
        given = self.current, self.incumbents.placed, self.request.limits.price
        self.naming_seconds = naming_seconds(self.problem, *given)
        try:
            valid = as_plan(self.current, self.problem)
        except ValueError as error:
            self.messages.append(f"current is no start: {error}")
        else:
            began = time.monotonic()
            self.current_objective = self.incumbents.offer_plans(valid.physical_to_logical)
            seconds = time.monotonic() - began
            self._note_start(TriedStart("current", seconds, self.current_objective))

    def raise_bounds(self) -> None:
        """Raise the first bounds by those that take longer, layer by layer while there is time.

        These are the best partition of groups over nodes, and the least costs of counts.
        """
        problem = self.problem
        if not (problem.is_hierarchical or problem.has_cost):
            return
        stage = "costs" if problem.has_cost else "hierarchy"
        for layer_idx in range(problem.num_layers):
            if self.budget.deadline.expired:
                self.messages.append(
                    f"{problem.num_layers - layer_idx} of {problem.num_layers} layers have the "
                    "first bound alone: there was no time to raise it."
                )
                break
            bound = fast_bounds(problem.layer(layer_idx))[0]
            self.incumbents.offer_layer(layer_idx, bound=bound)
        self.note(stage)
        self.journal.bounds(stage)

    def choose_noise(self) -> None:
        """The noise that the plan is to withstand: as asked for, or chosen; none if uniform."""
        if not self.problem.is_split_freely:
            return
        job = self.request.job
        known = self.request.noise if job is None or job.noise is None else job.noise
        if known is not None:
            self.noise = known
            return
        self.noise = DEFAULT_SIZE if self.problem.has_scenarios else 0.0
        try:
            self.noise = choose_noise(self.problem, self.incumbents.placed, self.budget).size
        except MissingDependency as error:
            self.messages.append(str(error))
        except Exception as error:  # a choice that fails costs nothing but itself
            self.messages.append(f"choosing noise failed: {type(error).__name__}: {error}")
        self.note("noise")

    def improve(self) -> None:
        """Spend what is left on search and proofs, but for what the output needs."""
        options = Options(self.request.model, self.noise or 0.0)
        job = self.request.job
        if job is not None:
            job.begin(self.incumbents, self.noise)
        stages = schedule(self.problem, options)
        if not stages:
            self.messages.append(
                f'no search knows dispatch="{self.problem.dispatch}" with these rules: every '
                "layer has the best of the starts."
            )
        portfolio = Portfolio(
            self.incumbents,
            stages,
            self._budget_of_search(),
            self.note,
            self.messages,
            options,
            self.journal,
            self.request.workers,
            job,
        )
        self.stop_reason = portfolio.run()
        if job is not None:
            job.flush(at_once=True)
            self.messages += job.messages
        layers = range(self.problem.num_layers)
        self.reasons = [portfolio.reason(i) for i in layers]
        self.short_reasons = [portfolio.reason(i, is_short=True) for i in layers]
        self.worked_on, self.relied_on = portfolio.worked_on(), portfolio.relied_on()
        if self.budget.deadline.is_stopped:
            self.budget = replace(self.budget, deadline=Deadline.after(OUTPUT_SECONDS), effort=None)

    def _budget_of_search(self) -> Budget:
        budget, limits = self.budget, self.request.limits
        if self.request.job is not None:
            most = MAX_CLOSING_SHARE * budget.deadline.remaining
            seconds = min(self.request.job.closing_seconds, most)
            budget = replace(budget, deadline=budget.deadline.earlier(seconds))
        left = budget.deadline.remaining
        if limits.is_given and not math.isinf(left):
            gap = max(budget.target_gap, limits.good_enough)
            at_price = self.problem.has_topology
            share = UNLIMITED_SHARE_AT_PRICE if at_price else UNLIMITED_SHARE
            part = budget.deadline.sooner(left * share)
            return replace(budget, deadline=part, target_gap=gap)
        if self.current is not None:
            names = min(self.naming_seconds, left * MAX_NAMING_SHARE)
            return replace(budget, deadline=budget.deadline.earlier(names))
        return budget

    def result(self) -> Result:
        """The best plan so far, near the one in force as far as that is asked, checked."""
        placed = self._near_current(self.incumbents.placed.copy())
        pairs = objective_bounds(self._objectives(placed), self.incumbents.bounds)
        self._tell_price_of_noise([pair.objective for pair in pairs])
        answer = Plan(placed, self.problem.num_gpus, self.problem.num_experts)
        answer.check(self.problem)
        layers = self._layers(answer, pairs)
        self.journal.end(str(self.stop_reason), self.messages, self.short_reasons)
        return Result(
            plan=answer,
            problem=self.problem,
            layers=layers,
            stop_reason=str(self.stop_reason),
            elapsed=time.monotonic() - self.request.started,
            messages=tuple(self.messages),
            history=tuple(self.incumbents.history),
            noise=self.noise,
            relied_on=self.relied_on,
            starts=start_results(self.problem, self.tried, pairs),
        )

    def _layers(self, answer: Plan, pairs: tuple[ObjectiveBounds, ...]) -> tuple[LayerResult, ...]:
        found = self.incumbents
        moves = across = None
        if self.current is not None:
            moves = moved_slots(self.current, answer).tolist()
            node_of_gpu = move_price(self.request.whole, left=self.problem).node_of_gpu
            across = across_nodes_by_gpu(self.current, answer, node_of_gpu).sum(axis=1).tolist()
        return tuple(
            LayerResult(
                bounds=pair,
                status=_status(pair.is_closed, layer_idx in self.worked_on),
                bound_source=found.bounds[layer_idx].source,
                certificate=found.certificates[layer_idx],
                moves=None if moves is None else moves[layer_idx],
                moves_across=None if across is None else across[layer_idx],
                reason="" if pair.is_closed else self.reasons[layer_idx],
            )
            for layer_idx, pair in enumerate(pairs)
        )

    def _tell_price_of_noise(self, objective: list[Fraction]) -> None:
        price = price_of_noise(self.noise, self.first_objective, objective) if self.noise else None
        if price:
            self.messages.append(price)

    def _objectives(self, placed: np.ndarray) -> list[Fraction]:
        """Exact objectives; what was scored when it came in, or is in force, is not again.

        Nor is what has only changed its slots within the GPUs, which is worth the same.
        """
        if self.problem.splits_by_sender:
            # A layer was scored apart from the others, for the worst that these can make of it.
            return scoring.objectives(self.problem, placed)
        worth = [pair.objective for pair in self.incumbents.pairs()]
        shape = self.problem.num_layers, self.problem.num_gpus, -1
        held = np.sort(placed.reshape(shape), axis=2)
        known = np.sort(self.incumbents.placed.reshape(shape), axis=2)
        is_new = (held != known).any(axis=(1, 2))
        if self.current is not None and self.current_objective is not None:
            stays = (placed == self.current.physical_to_logical).all(axis=1)
            for layer_idx in np.flatnonzero(is_new & stays).tolist():
                worth[layer_idx] = self.current_objective[layer_idx]
            is_new &= ~stays
        fresh = np.flatnonzero(is_new).tolist()
        if fresh:
            scored = scoring.objectives(self.problem.selected(fresh), placed[fresh])
            for layer_idx, value in zip(fresh, scored, strict=True):
                worth[layer_idx] = value
        return worth

    def _near_current(self, best: np.ndarray) -> np.ndarray:
        """The plan to answer with: near the one in force as the limits ask, or under its names."""
        if self.current is None:
            return best
        worth = None
        if self.current_objective is not None:
            known = [pair.objective for pair in self.incumbents.pairs()]
            worth = list(zip(self.current_objective, known, strict=True))
        near = NearAnswer(
            self.problem, self.current, self.request.limits, best, worth, self.naming_seconds
        )
        placed, messages = near.rows(self.budget)
        self.messages += [text for text in messages if text not in self.messages]
        return placed


def _status(is_closed: bool, was_worked_on: bool) -> Status:
    if is_closed:
        return Status.OPTIMAL
    return Status.FEASIBLE if was_worked_on else Status.HEURISTIC
