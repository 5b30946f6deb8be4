"""The portfolio: which solver works on which layer next, and for how long, within one budget."""

from __future__ import annotations

import math
from collections import Counter
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from eplb_opt.errors import MissingDependency, ProblemError
from eplb_opt.planner.executor import Executor, LayerSolvers, Turn
from eplb_opt.planner.journal import Journal
from eplb_opt.planner.reasons import AIMS, ENDS, UNTOUCHED_ENDS, Reasons
from eplb_opt.planner.remote import WorkersDiffer
from eplb_opt.planner.workers import Workers
from eplb_opt.result import ObjectiveBounds, StopReason
from eplb_opt.solver import Answer, Options, Task, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eplb_opt.clock import Budget, Deadline
    from eplb_opt.planner.incumbents import Incumbents
    from eplb_opt.planner.job import Job
    from eplb_opt.planner.schedule import Stage


#: Below half a token and this gap a layer is left alone: nobody can measure the difference.
NEGLIGIBLE_GAP = 5e-6
EXACT_SLOTS = 2
#: What the first turns of all layers in one go may take of the time left, and in all.
FIRST_SHARE, FIRST_SECONDS = 0.8, 0.5
#: How often the portfolio looks whether the caller asked for the end.
LOOK_SECONDS = 0.05
#: How long turns under way may take to hand in what they have once the caller asked for the end.
HAND_IN_SECONDS = 0.5


@dataclass(eq=False)
class Portfolio:
    """Gives turns to the layers with the largest gaps until the budget is spent.

    After a first pass over all layers a layer's claim to the next turn is gap / (1 + 0.2 turns it
    had): the largest gap alone would starve the others where it is the bound that is weak. Under
    `effort` every open layer gets every stage once, from its own state alone, so that the answer
    does not depend on the clock. For the same reason a stage that fails on a layer is left out for
    that layer alone: which layers had it before would depend on who finished first.

    Parameters
    ----------
    incumbents
        The best plan and bound of every layer; takes in what the solvers bring.
    stages
        The stages of the call, in the order of their first turns; see `schedule`.
    budget
        What all turns together may spend.
    on_event
        Called with a stage's name after each of its turns.
    messages
        Collects sentences on what went wrong.
    options
        What the call asks of its solvers.
    journal
        Where turns and what they bring are told; by default one of its own.
    workers
        Who takes the turns; by default threads of this process.
    job
        Where what turns bring is kept, and what earlier calls have kept; None where nothing is.
    """

    incumbents: Incumbents
    stages: Sequence[Stage]
    budget: Budget
    on_event: Callable[[str], None] = lambda stage: None
    messages: list[str] = field(default_factory=list)
    options: Options = field(default_factory=Options)
    journal: Journal | None = None
    workers: Workers = field(default_factory=Workers)
    job: Job | None = None
    _turns: Counter[tuple[int, str]] = field(default_factory=Counter)
    _finished: set[tuple[int, str]] = field(default_factory=set)
    _answered: set[int] = field(default_factory=set)
    _running: dict[Future[Answer], tuple[int, Stage]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.budget.effort is not None:
            self.stages = [stage for stage in self.stages if stage.pace.with_effort]
        self.solvers = LayerSolvers(self.options)
        names = [stage.name for stage in self.stages]
        self.reasons = Reasons(names, self.incumbents.problem.num_layers)
        self._journal = self.journal or Journal(self.incumbents)
        self._end = StopReason.EXHAUSTED

    def run(self) -> StopReason:
        """Work until all layers are done, nothing is left to try, or the time is up."""
        try:
            self._end = self._run()
        finally:
            self._tell()
        return self._end

    def _run(self) -> StopReason:
        executor: Executor | None = None
        try:
            self._take_kept()
            self._take_first_turns()
            executor = self.workers.executor(self.solvers, self.budget, self.messages.append)
            self.budget = replace(self.budget, workers=executor.num_workers)
            while not self.budget.deadline.expired:
                self._hand_out(executor)
                if not self._running:
                    return self._why_done()
                self._collect()
            if self.budget.deadline.is_stopped and self._running:
                self._take_done(HAND_IN_SECONDS, ALL_COMPLETED)
            return self._why_cut_short() if self._open_layers() else self._why_done()
        except (ProblemError, MissingDependency):  # of the workers that were asked for
            raise
        except Exception as error:  # no thread to be had, say: the plans so far are there
            self.messages.append(f"the search ended early: {type(error).__name__}: {error}")
            return StopReason.EXHAUSTED
        finally:
            if executor is not None:
                executor.close()

    def worked_on(self) -> set[int]:
        """The layers that any solver has answered for."""
        return set(self._answered)

    def relied_on(self) -> tuple[str, ...]:
        """Packages, with their versions, of the stages that had turns; in order of the names."""
        asked = {name for (_, name), turns in self._turns.items() if turns}
        packages = {stage.package for stage in self.stages if stage.package and stage.name in asked}
        return tuple(f"{name} {_version(name)}" for name in sorted(packages) if find_spec(name))

    def _take_kept(self) -> None:
        """Take what the job has kept as if its turns had just ended."""
        if self.job is None:
            return
        stages = {stage.name: stage for stage in self.stages}
        for layer_idx, record in self.job.kept(self.incumbents):
            if self.budget.deadline.expired:
                self.messages.append("the time was up before all that the job holds was verified")
                return
            if record.stage in stages:
                self._turns[layer_idx, record.stage] += record.turns
                self._take(layer_idx, stages[record.stage], record.answer)
        if self._turns:
            self._journal.bounds("job")

    def _take_first_turns(self) -> None:
        """Give all layers their first turn, one after the other, where a stage asks for that.

        Handed out and scored one by one, turns of a millisecond would cost several.
        """
        if self.budget.effort is not None:
            return
        for stage in self.stages:
            left = self.budget.deadline.remaining - self.incumbents.scoring_seconds
            if not stage.all_at_first or left <= 0:
                continue
            until = self.budget.deadline.sooner(min(FIRST_SHARE * left, FIRST_SECONDS))
            found: dict[int, Answer] = {}
            try:
                self._make_first(stage, until, found)
                self._take_first(stage, found)
            except Exception as error:  # what fails here is tried again, layer by layer
                self.messages.append(f"{stage.name} failed: {type(error).__name__}: {error}")
            self.on_event(stage.name)

    def _make_first(self, stage: Stage, until: Deadline, found: dict[int, Answer]) -> None:
        """Add the answers of the layers with the largest gaps, until the time is up."""
        self._journal.stage(stage)
        for layer_idx in sorted(self._open_layers(), key=self.incumbents.gap, reverse=True):
            if until.expired:
                return
            if self._turns[layer_idx, stage.name]:  # in an earlier call of the same job
                continue
            task = replace(self._task(layer_idx, stage), deadline=until)
            found[layer_idx] = self.solvers.solve(Turn(stage, task))

    def _take_first(self, stage: Stage, found: dict[int, Answer]) -> None:
        placed = self.incumbents.placed.copy()
        for layer_idx, answer in found.items():
            if answer.placed is not None:
                placed[layer_idx] = answer.placed
        before = self.incumbents.pairs()
        self.incumbents.offer_plans(placed)
        for layer_idx, answer in found.items():
            self._note(layer_idx, stage, answer, before[layer_idx])
            self._answered.add(layer_idx)
            self._turns[layer_idx, stage.name] += 1
            if answer.verdict is Verdict.FINISHED:
                self._finished.add((layer_idx, stage.name))

    def _hand_out(self, executor: Executor) -> None:
        while len(self._running) < self.budget.workers:
            chosen = self._next_turn()
            if chosen is None:
                return
            layer_idx, stage = chosen
            task = self._task(layer_idx, stage)
            self._journal.stage(stage)
            self._turns[layer_idx, stage.name] += 1
            self._running[executor.submit(Turn(stage, task))] = chosen

    def _collect(self) -> None:
        left = self.budget.deadline.remaining
        if self.budget.deadline.stop is not None:
            left = min(left, LOOK_SECONDS)
        if self.job is not None:
            left = min(left, self.job.flush())
        self._take_done(None if math.isinf(left) else left, FIRST_COMPLETED)

    def _take_done(self, seconds: float | None, return_when: str) -> None:
        """Wait at most `seconds`, and take what the turns that have ended brought."""
        done, _ = wait(self._running, seconds, return_when=return_when)
        for future in done:
            layer_idx, stage = self._running.pop(future)
            try:
                answer, before = future.result(), self.incumbents.pair(layer_idx)
                self._take(layer_idx, stage, answer)
                self._note(layer_idx, stage, answer, before)
            except WorkersDiffer:
                raise
            except MissingDependency as error:
                self._give_up(layer_idx, stage, error)
                self.reasons.lacks_package(stage.name, layer_idx, str(error))
            except Exception as error:  # a fault in a solver never costs the caller the answer
                self._give_up(layer_idx, stage, error)
                self.reasons.failed(stage.name, layer_idx, error)
            self.on_event(stage.name)

    def _take(self, layer_idx: int, stage: Stage, answer: Answer) -> None:
        self.incumbents.offer_layer(layer_idx, answer.placed, preferred=answer.preferred)
        self.incumbents.offer_layer(layer_idx, bound=answer.bound, certificate=answer.certificate)
        if answer.verdict not in (Verdict.REFUSED, Verdict.NOT_YET):
            self._answered.add(layer_idx)
        if answer.verdict in (Verdict.FINISHED, Verdict.REFUSED):
            self._finished.add((layer_idx, stage.name))
        if answer.verdict is Verdict.REFUSED:
            self.reasons.refused(stage.name, layer_idx, answer.reason)
        if answer.message:
            self.reasons.say(stage.name, layer_idx, answer.message)

    def _note(self, layer_idx: int, stage: Stage, answer: Answer, before: ObjectiveBounds) -> None:
        """Tell what a turn has brought, and keep it."""
        self._journal.turn(layer_idx, stage.name, answer, before)
        # Counted work that was stopped in its middle is not done.
        is_done = self.budget.effort is None or not self.budget.deadline.is_stopped
        if self.job is not None and is_done:
            self.job.turn(layer_idx, stage.name, answer, before, self.incumbents)

    def _give_up(self, layer_idx: int, stage: Stage, error: Exception) -> None:
        self._finished.add((layer_idx, stage.name))
        self._journal.fault(layer_idx, stage.name, error)

    def _tell(self) -> None:
        """Add to the messages what the solvers said, and why layers are as heuristics left them."""
        said = self.reasons.messages()
        self.messages += [message for message in said if message not in self.messages]
        untouched = {
            layer_idx: self._why_left(layer_idx)
            for layer_idx, pair in enumerate(self.incumbents.pairs())
            if layer_idx not in self._answered and not pair.is_closed
        }
        self.messages += self.reasons.about_heuristics(untouched)

    def reason(self, layer_idx: int, is_short: bool = False) -> str:
        """Why a layer is not proven optimal, in words; empty for one that is."""
        if self.incumbents.pair(layer_idx).is_closed:
            return ""
        return self.reasons.of_layer(layer_idx, self._why_left(layer_idx), is_short)

    def _why_left(self, layer_idx: int) -> str:
        """What ended the work on a layer that is not proven optimal."""
        pair = self.incumbents.pair(layer_idx)
        if pair.gap <= self.budget.target_gap:
            return AIMS["target"]
        if self._is_negligible(layer_idx, pair):
            return AIMS["negligible"]
        return (ENDS if layer_idx in self._answered else UNTOUCHED_ENDS).get(self._end, "")

    def _next_turn(self) -> tuple[int, Stage] | None:
        busy = {layer_idx for layer_idx, _ in self._running.values()}
        waiting = [layer_idx for layer_idx in self._open_layers() if layer_idx not in busy]
        for layer_idx in sorted(waiting, key=self._claim, reverse=True):
            stage = self._next_stage(layer_idx)
            if stage is not None:
                return layer_idx, stage
        return None

    def _next_stage(self, layer_idx: int) -> Stage | None:
        """The stage with the fewest rounds of turns on this layer; ties go to the first."""
        left = [
            stage
            for stage in self.stages
            if (layer_idx, stage.name) not in self._finished
            and self._turns[layer_idx, stage.name] < self._max_turns(stage)
        ]
        return min(
            left, key=lambda s: self._turns[layer_idx, s.name] // s.pace.in_a_row, default=None
        )

    def _max_turns(self, stage: Stage) -> int:
        if self.budget.effort is not None:
            return 1
        return stage.pace.most

    def _claim(self, layer_idx: int) -> float:
        if layer_idx not in self._answered:
            return math.inf  # a first pass over all layers brings more than any second turn
        turns = sum(self._turns[layer_idx, stage.name] for stage in self.stages)
        return self.incumbents.gap(layer_idx) / (1 + 0.2 * turns)

    def _open_layers(self) -> list[int]:
        pairs = self.incumbents.pairs()
        return [
            layer_idx
            for layer_idx, pair in enumerate(pairs)
            if not pair.is_closed
            and pair.gap > self.budget.target_gap
            and not self._is_negligible(layer_idx, pair)
        ]

    def _is_negligible(self, layer_idx: int, pair: ObjectiveBounds) -> bool:
        # With one or two slots on each GPU the exact solvers may yet prove the optimum.
        if pair.gap >= NEGLIGIBLE_GAP or self.incumbents.problem.slots_per_gpu <= EXACT_SLOTS:
            return False
        return pair.objective - pair.lower < self.incumbents.problem.half_token(layer_idx)

    def _task(self, layer_idx: int, stage: Stage) -> Task:
        attempt = self._turns[layer_idx, stage.name]
        pair = self.incumbents.pairs()[layer_idx]
        return Task(
            layer_idx=layer_idx,
            problem=self.incumbents.problem.layer(layer_idx),
            start=self.incumbents.placed[layer_idx].copy(),
            objective=pair.objective,
            lower_bound=pair.lower,
            deadline=self._turn_end(stage, attempt),
            call_deadline=self.budget.deadline,
            effort=self.budget.effort,
            seed=self.budget.seed + attempt,
            attempt=attempt,
        )

    def _turn_end(self, stage: Stage, attempt: int) -> Deadline:
        waiting = self._open_layers()
        if stage.pace.in_rounds:
            waiting = [i for i in waiting if self._turns[i, stage.name] <= attempt]
        return self.budget.turn_end(stage.pace, attempt, len(waiting))

    def _why_cut_short(self) -> StopReason:
        stopped = self.budget.deadline.is_stopped
        return StopReason.REQUEST if stopped else StopReason.TIME_LIMIT

    def _why_done(self) -> StopReason:
        pairs = self.incumbents.pairs()
        if all(pair.is_closed for pair in pairs):
            return StopReason.OPTIMAL
        if all(pair.is_closed or pair.gap <= self.budget.target_gap for pair in pairs):
            return StopReason.TARGET_GAP
        if not self._open_layers():
            return StopReason.NEGLIGIBLE
        if self.budget.effort is not None:
            return StopReason.EFFORT
        return StopReason.EXHAUSTED


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # put there by hand
        return "of unknown version"
