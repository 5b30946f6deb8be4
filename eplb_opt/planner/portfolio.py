"""Layers, steps and cores under one budget: whose turn it is, and for how long."""

from __future__ import annotations

import math
from collections import Counter
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from eplb_opt.errors import MissingDependency
from eplb_opt.result import ObjectiveBounds, StopReason
from eplb_opt.solver import Budget, Outcome, Step, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eplb_opt.clock import Deadline
    from eplb_opt.planner.incumbents import Incumbents


#: Below half a token and this gap a layer is left alone: nobody can measure the difference.
NEGLIGIBLE_GAP = 5e-6
EXACT_SLOTS = 2
#: What the first turns of all layers in one go may take of the time left, and in all.
FIRST_SHARE, FIRST_SECONDS = 0.8, 0.5
#: Layers that a message names.
MOST_NAMED = 5
#: How often the portfolio looks whether the caller asked for the end.
LOOK_SECONDS = 0.05
#: How long turns under way may take to hand in what they have once the caller asked for the end.
HAND_IN_SECONDS = 0.5


@dataclass(eq=False)
class Portfolio:
    """Gives turns to the layers with the largest gaps until the budget is spent.

    After a first pass over all layers a layer's claim to the next turn is gap / (1 + 0.2 turns it
    had): the plain largest gap would starve the others where the bound is to blame. Under `effort`
    every open layer gets every step once, from its own state alone, so that the answer does not
    depend on the clock. For the same reason a step that fails on a layer is left out for that layer
    alone: which layers had it before would depend on who finished first.
    """

    incumbents: Incumbents
    steps: Sequence[Step]
    budget: Budget
    on_event: Callable[[str], None] = lambda stage: None
    messages: list[str] = field(default_factory=list)
    _turns: Counter[tuple[int, str]] = field(default_factory=Counter)
    _finished: set[tuple[int, str]] = field(default_factory=set)
    _said: dict[str, dict[int, str]] = field(default_factory=dict)
    _failed: dict[str, set[int]] = field(default_factory=dict)
    _answered: set[int] = field(default_factory=set)
    _running: dict[Future[Outcome], tuple[int, Step]] = field(default_factory=dict)

    def run(self) -> StopReason:
        """Work until all layers are done, nothing is left to try, or the time is up."""
        pool = ThreadPoolExecutor(self.budget.workers, thread_name_prefix="eplb-opt")
        try:
            self._take_first_turns()
            while not self.budget.deadline.expired:
                self._hand_out(pool)
                if not self._running:
                    return self._why_done()
                self._collect()
            if self.budget.deadline.is_stopped and self._running:
                self._take_done(HAND_IN_SECONDS, ALL_COMPLETED)
            return self._why_cut_short() if self._open_layers() else self._why_done()
        except Exception as error:  # no thread to be had, say: the plans so far are there
            self.messages.append(f"the search ended early: {type(error).__name__}: {error}")
            return StopReason.EXHAUSTED
        finally:
            # Late threads are never waited for; each step ends by itself at its own deadline.
            pool.shutdown(wait=False, cancel_futures=True)
            self._tell()

    def worked_on(self) -> set[int]:
        """Layers that any step has answered for."""
        return set(self._answered)

    def relied_on(self) -> tuple[str, ...]:
        """The packages, with their versions, of the steps that had turns; in order of the names."""
        asked = {name for (_, name), turns in self._turns.items() if turns}
        packages = {step.package for step in self.steps if step.package and step.name in asked}
        return tuple(f"{name} {_version(name)}" for name in sorted(packages) if find_spec(name))

    def _take_first_turns(self) -> None:
        """First turns of all layers, one after the other, where a step has them.

        Handed out and scored one by one, turns of a millisecond would cost several.
        """
        if self.budget.effort is not None:
            return
        for step in self.steps:
            left = self.budget.deadline.remaining - self.incumbents.scoring_seconds
            if step.first_turns is None or left <= 0:
                continue
            until = self.budget.deadline.sooner(min(FIRST_SHARE * left, FIRST_SECONDS))
            layers = sorted(self._open_layers(), key=self.incumbents.gap, reverse=True)
            try:
                found = step.first_turns((self._task(i, step) for i in layers), until)
                self._take_first(step, found)
            except Exception as error:  # what fails here is tried again, layer by layer
                self.messages.append(f"{step.name} failed: {type(error).__name__}: {error}")
            self.on_event(step.name)

    def _take_first(self, step: Step, found: dict[int, Outcome]) -> None:
        placed = self.incumbents.placed.copy()
        for layer_idx, outcome in found.items():
            placed[layer_idx] = outcome.placed
        self.incumbents.offer_plans(placed)
        for layer_idx, outcome in found.items():
            self._answered.add(layer_idx)
            self._turns[layer_idx, step.name] += 1
            if outcome.finished:
                self._finished.add((layer_idx, step.name))

    def _hand_out(self, pool: ThreadPoolExecutor) -> None:
        while len(self._running) < self.budget.workers:
            chosen = self._next_turn()
            if chosen is None:
                return
            layer_idx, step = chosen
            task = self._task(layer_idx, step)
            self._turns[layer_idx, step.name] += 1
            self._running[pool.submit(step.run, task)] = chosen

    def _collect(self) -> None:
        left = self.budget.deadline.remaining
        if self.budget.deadline.stop is not None:
            left = min(left, LOOK_SECONDS)
        self._take_done(None if math.isinf(left) else left, FIRST_COMPLETED)

    def _take_done(self, seconds: float | None, return_when: str) -> None:
        """Wait at most so long, and take what the turns that have ended brought."""
        done, _ = wait(self._running, seconds, return_when=return_when)
        for future in done:
            layer_idx, step = self._running.pop(future)
            try:
                self._take(layer_idx, step, future.result())
            except MissingDependency as error:
                self._give_up(layer_idx, step, str(error))
            except Exception as error:  # a fault in a solver never costs the caller the answer
                self._failed.setdefault(step.name, set()).add(layer_idx)
                message = f"{step.name} failed: {type(error).__name__}: {error}"
                self._give_up(layer_idx, step, message)
            self.on_event(step.name)

    def _take(self, layer_idx: int, step: Step, outcome: Outcome) -> None:
        self.incumbents.offer_layer(layer_idx, outcome.placed, preferred=outcome.preferred)
        self.incumbents.offer_layer(layer_idx, bound=outcome.bound, certificate=outcome.certificate)
        if not (outcome.refused or outcome.postponed):
            self._answered.add(layer_idx)
        if outcome.finished or outcome.refused:
            self._finished.add((layer_idx, step.name))
        if outcome.message:
            self._say(layer_idx, step, outcome.message)

    def _give_up(self, layer_idx: int, step: Step, message: str) -> None:
        self._finished.add((layer_idx, step.name))
        self._say(layer_idx, step, message)

    def _say(self, layer_idx: int, step: Step, message: str) -> None:
        self._said.setdefault(step.name, {}).setdefault(layer_idx, message)

    def _tell(self) -> None:
        """Add what the steps said to the messages, one a step: that of its first layer.

        In the order of the table, not in that in which turns ended, which differs from run to run.
        """
        for step in self.steps:
            by_layer = self._said.get(step.name)
            if not by_layer:
                continue
            message = by_layer[min(by_layer)]
            if step.name in self._failed and self.incumbents.problem.num_layers > 1:
                message += f" ({_named(self._failed[step.name])})"
            if message not in self.messages:  # two steps may lack the same package
                self.messages.append(message)
        left = len(set(self._open_layers()) - self._answered)
        if left:
            self.messages.append(
                f"{left} of {self.incumbents.problem.num_layers} layers are as the heuristics left "
                "them: the time was up before a search had answered for them."
            )

    def _next_turn(self) -> tuple[int, Step] | None:
        busy = {layer_idx for layer_idx, _ in self._running.values()}
        waiting = [layer_idx for layer_idx in self._open_layers() if layer_idx not in busy]
        for layer_idx in sorted(waiting, key=self._claim, reverse=True):
            step = self._next_step(layer_idx)
            if step is not None:
                return layer_idx, step
        return None

    def _next_step(self, layer_idx: int) -> Step | None:
        """The step with the fewest rounds of turns on this layer; ties in the table's order."""
        left = [
            step
            for step in self.steps
            if (layer_idx, step.name) not in self._finished
            and self._turns[layer_idx, step.name] < self._max_turns(step)
        ]
        return min(left, key=lambda s: self._turns[layer_idx, s.name] // s.turns, default=None)

    def _max_turns(self, step: Step) -> int:
        if self.budget.effort is not None:
            return 1
        return step.max_attempts

    def _claim(self, layer_idx: int) -> float:
        if layer_idx not in self._answered:
            return math.inf  # a first pass over all layers brings more than any second turn
        turns = sum(self._turns[layer_idx, step.name] for step in self.steps)
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
        # With so few slots a GPU the exact engines may yet prove the optimum.
        if pair.gap >= NEGLIGIBLE_GAP or self.incumbents.problem.slots_per_gpu <= EXACT_SLOTS:
            return False
        return pair.objective - pair.lower < self.incumbents.problem.half_token(layer_idx)

    def _task(self, layer_idx: int, step: Step) -> Task:
        attempt = self._turns[layer_idx, step.name]
        pair = self.incumbents.pairs()[layer_idx]
        return Task(
            layer_idx=layer_idx,
            problem=self.incumbents.problem.layer(layer_idx),
            start=self.incumbents.placed[layer_idx].copy(),
            objective=pair.objective,
            lower_bound=pair.lower,
            deadline=self._turn_deadline(step, attempt),
            call_deadline=self.budget.deadline,
            effort=self.budget.effort,
            seed=self.budget.seed + attempt,
            attempt=attempt,
        )

    def _turn_deadline(self, step: Step, attempt: int) -> Deadline:
        """When a turn ends: by the step's share of the time left, never past the call's end."""
        if self.budget.effort is not None:
            return self.budget.deadline
        left = self.budget.deadline.remaining
        waiting = self._open_layers()
        if step.in_rounds:
            waiting = [i for i in waiting if self._turns[i, step.name] <= attempt]
        even = 0.0 if math.isinf(left) else left * self.budget.workers / max(len(waiting), 1)
        least = min(step.min_seconds * step.growth**attempt, step.max_seconds)
        return self.budget.deadline.sooner(min(max(step.share * even, least), step.max_seconds))

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


def _named(layers: set[int]) -> str:
    """Layers for a message: all of them where they are few."""
    first = sorted(layers)[:MOST_NAMED]
    more = len(layers) - len(first)
    names = ", ".join(map(str, first)) + (f" and {more} more" if more else "")
    return f"layer {names}" if len(layers) == 1 else f"layers {names}"
