"""What a call tells those who listen to the logger "eplb_opt": stages at INFO, turns at DEBUG.

A record's message is an `Event`: its text is made when a handler asks for it, and a handler that
wants a table takes its figures. Where nobody listens nothing is made.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from eplb_opt.planner.reasons import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from eplb_opt.clock import Budget
    from eplb_opt.planner.incumbents import Incumbents
    from eplb_opt.planner.schedule import Stage
    from eplb_opt.planner.warm_starts import TriedStart
    from eplb_opt.problem.problem import Problem
    from eplb_opt.result import HistoryPoint, ObjectiveBounds
    from eplb_opt.solver import Answer

LOGGER = logging.getLogger(__name__)

#: Progress is told at most once in so many seconds, and in a long call after so much of it.
SECONDS_BETWEEN, PART_BETWEEN = 0.25, 0.02


class Kind(StrEnum):
    """What an event tells."""

    PROBLEM = "problem"  #: What is to be planned.
    START = "start"  #: A warm start was tried.
    BOUND = "bound"  #: Bounds rose.
    STAGE = "stage"  #: A solver has its first turn.
    PLAN = "plan"  #: Plans are better.
    PROVEN = "proven"  #: Layers are proven optimal.
    TURN = "turn"  #: A turn of one solver on one layer has ended.
    NOTE = "note"  #: Something went wrong.
    OPEN = "open"  #: Why layers are not proven optimal.
    END = "end"  #: The call is over.


@dataclass(frozen=True)
class Event:
    """Something that happened in a call.

    Parameters
    ----------
    kind
        What it is.
    point
        The state of the whole model; its `stage` is the start or the solver.
    num_proven, num_layers
        Layers that are proven optimal, and all layers.
    words
        A sentence that says it.
    layers
        Layers that it is about; none where that is the whole model.
    scale
        Mean GPU loads, summed over the layers, in the caller's unit, or what else makes ratios of
        the objectives in `point`.
    shares
        At the end: what each solver brought, by name.
    """

    kind: Kind
    point: HistoryPoint
    num_proven: int
    num_layers: int
    words: str
    layers: tuple[int, ...] = ()
    scale: float = 1.0
    shares: Mapping[str, SolverShare] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.point.seconds:.3f} s: {self.words}"


@dataclass(eq=False)
class SolverShare:
    """What one solver brought.

    Attributes
    ----------
    turns, seconds
        Its turns, and what they took together.
    improved, raised, proven
        Layers whose plan it made better, whose bound it raised, and that it closed.
    """

    turns: int = 0
    seconds: float = 0.0
    improved: set[int] = field(default_factory=set)
    raised: set[int] = field(default_factory=set)
    proven: set[int] = field(default_factory=set)

    def add(self, layer_idx: int, before: ObjectiveBounds, after: ObjectiveBounds) -> bool:
        """Take what a turn made of a layer; whether that was anything."""
        if after.objective < before.objective:
            self.improved.add(layer_idx)
        if after.lower > before.lower:
            self.raised.add(layer_idx)
        if after.is_closed and not before.is_closed:
            self.proven.add(layer_idx)
        return (after.objective, after.lower) != (before.objective, before.lower)


@dataclass(eq=False)
class Journal:
    """Tells what one call does; all of it in the caller's thread.

    Parameters
    ----------
    incumbents
        The best plans and bounds of the call.

    Attributes
    ----------
    shares
        What each solver has brought so far, by name; empty where nobody listens.
    """

    incumbents: Incumbents
    shares: dict[str, SolverShare] = field(init=False, default_factory=dict)
    _news: dict[str, SolverShare] = field(default_factory=dict)
    _due: float = 0.0

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return LOGGER.isEnabledFor(logging.INFO)

    def problem(self, problem: Problem, budget: Budget, seconds: float | None) -> None:
        """Tell what is to be planned, and what may be spent."""
        if not self.is_heard:
            return
        shape = (
            f"{problem.num_layers} layers x {problem.num_experts} experts, "
            f"{problem.num_slots} slots on {problem.num_gpus} GPUs"
        )
        if problem.is_hierarchical:
            shape += f", {problem.num_groups} groups on {problem.num_nodes} nodes"
        rules = [f"{problem.num_scenarios} loads"] * problem.has_scenarios
        rules += [f"{problem.dispatch} dispatch"] * (problem.dispatch != "uniform")
        rules += ["no expert twice on a GPU"] * (problem.colocation == "forbid")
        rules += ["rules for GPUs"] * problem.has_gpu_rules
        if problem.topology is not None:
            away = "is off home" if problem.topology.counts_off_home else "links cost"
            away = "crosses nodes" if problem.splits_by_sender else away
            rules.append(f"a price on what {away}")
        rules += ["costs of replicas"] * problem.has_cost
        limit = "no time limit" if seconds is None else f"{seconds:g} s"
        limit = limit if budget.effort is None else f"effort {budget.effort}"
        limit += f", {budget.workers} workers, target gap {budget.target_gap:g}"
        words = "; ".join([", ".join([shape, *rules]), limit])
        self._tell(Kind.PROBLEM, "", words, scale=_scale(problem))

    def start(self, start: TriedStart, point: HistoryPoint) -> None:
        """Tell what a warm start is worth."""
        if not self.is_heard:
            return
        gap = (point.start_objective or 0.0) / point.lower_bound - 1 if point.lower_bound else 0.0
        self._tell_at(
            Kind.START,
            point,
            f"start {start.name}: objective {point.start_objective:.10g}, {100 * gap:.4g} % above "
            f"the bound, in {1000 * start.seconds:.1f} ms; best of all starts "
            f"{point.objective:.10g}",
        )

    def bounds(self, stage: str) -> None:
        """Tell that the bounds of the whole model have been raised."""
        if self.is_heard:
            self._tell(Kind.BOUND, stage, f"{stage}: bounds of the whole model")

    def stage(self, stage: Stage) -> None:
        """Tell that a solver has its first turn."""
        if self.is_heard and stage.name not in self.shares:
            self.shares[stage.name] = SolverShare()
            self._tell(Kind.STAGE, stage.name, f"{stage.name} begins")

    def turn(self, layer_idx: int, stage: str, answer: Answer, before: ObjectiveBounds) -> None:
        """Take in what a turn brought; told at once at DEBUG, summed up now and then at INFO."""
        if not self.is_heard:
            return
        after = self.incumbents.pair(layer_idx)
        for shares in (self.shares, self._news):
            share = shares.setdefault(stage, SolverShare())
            share.turns += 1
            share.seconds += answer.seconds
            share.add(layer_idx, before, after)
        if LOGGER.isEnabledFor(logging.DEBUG):
            self._tell_turn(layer_idx, stage, answer, before, after)
        self.progress()

    def fault(self, layer_idx: int, stage: str, error: Exception) -> None:
        """Tell that a turn has failed."""
        if LOGGER.isEnabledFor(logging.DEBUG):
            words = f"{stage} on layer {layer_idx}: {type(error).__name__}: {error}"
            self._tell(Kind.TURN, stage, words, layers=(layer_idx,), level=logging.DEBUG)

    def progress(self, at_once: bool = False) -> None:
        """Tell what is new, unless that was done a moment ago."""
        news = {name: share for name, share in self._news.items() if share.improved | share.raised}
        if not news or not self.is_heard:
            return
        point = self.incumbents.state(" ".join(news))
        if point.seconds < self._due and not at_once:
            return
        self._due = point.seconds + max(SECONDS_BETWEEN, PART_BETWEEN * point.seconds)
        self._news.clear()
        improved, raised, proven = (
            set().union(*(getattr(share, what) for share in news.values()))
            for what in ("improved", "raised", "proven")
        )
        kind = Kind.PROVEN if proven else Kind.PLAN if improved else Kind.BOUND
        parts = [
            f"{what} {named(layers)}"
            for what, layers in (
                ("better plans for", improved),
                ("higher bounds for", raised),
                ("proven optimal:", proven),
            )
            if layers
        ]
        words = (
            f"{point.stage}: {'; '.join(parts)}; objective {point.objective:.10g}, bound "
            f"{point.lower_bound:.10g}, gap {100 * point.gap:.4g} %"
        )
        self._tell_at(kind, point, words, tuple(sorted(improved | raised | proven)))

    def end(self, why: str, messages: Iterable[str], reasons: Sequence[str]) -> None:
        """Tell how the call ended, what went wrong, and why layers are not proven optimal."""
        if not self.is_heard:
            return
        self.progress(at_once=True)
        for message in messages:
            self._tell(Kind.NOTE, "", message)
        point = self.incumbents.state("")
        proven, layers = self.incumbents.num_closed, self.incumbents.problem.num_layers
        words = (
            f"stopped by {why}: objective {point.objective:.10g}, bound {point.lower_bound:.10g}, "
            f"gap {100 * point.gap:.4g} %, {proven} of {layers} layers proven optimal"
        )
        self._tell(Kind.END, "", words, shares=self.shares)
        for reason, count in Counter(filter(None, reasons)).most_common():
            about = [layer_idx for layer_idx, each in enumerate(reasons) if each == reason]
            words = f"{count} of {layers} layers are not proven optimal: {reason}"
            self._tell(Kind.OPEN, "", f"{words} ({named(set(about))})", layers=about)

    def _tell_turn(
        self,
        layer_idx: int,
        stage: str,
        answer: Answer,
        before: ObjectiveBounds,
        after: ObjectiveBounds,
    ) -> None:
        found = []
        if after.objective < before.objective:
            found.append(
                f"objective {float(before.objective):.10g} -> {float(after.objective):.10g}"
            )
        if after.lower > before.lower:
            found.append(f"bound {float(before.lower):.10g} -> {float(after.lower):.10g}")
        if not found:
            found.append("nothing new")
        words = (
            f"{stage} on layer {layer_idx}: {', '.join(found)}, gap {100 * before.gap:.4g} % -> "
            f"{100 * after.gap:.4g} %, in {1000 * answer.seconds:.1f} ms; {answer.verdict.value}"
            f"{f' ({answer.reason})' if answer.reason else ''}"
        )
        self._tell(Kind.TURN, stage, words, layers=(layer_idx,), level=logging.DEBUG)

    def _tell(
        self,
        kind: Kind,
        stage: str,
        words: str,
        *,
        layers: Sequence[int] = (),
        scale: float = 1.0,
        shares: Mapping[str, SolverShare] | None = None,
        level: int = logging.INFO,
    ) -> None:
        point = self.incumbents.state(stage)
        self._tell_at(kind, point, words, tuple(layers), scale, shares, level)

    def _tell_at(
        self,
        kind: Kind,
        point: HistoryPoint,
        words: str,
        layers: tuple[int, ...] = (),
        scale: float = 1.0,
        shares: Mapping[str, SolverShare] | None = None,
        level: int = logging.INFO,
    ) -> None:
        found = self.incumbents
        event = Event(
            kind,
            point,
            found.num_closed,
            found.problem.num_layers,
            words,
            layers,
            scale,
            shares or {},
        )
        LOGGER.log(level, event)


def _scale(problem: Problem) -> float:
    """What makes largest load over mean of the sum of the objectives; 1 without load.

    With costs the mean is of one replica of each expert.
    """
    if problem.counts_ratios:
        return float(problem.num_layers)
    alone = problem.replica_cost[:, :, 1] if problem.has_cost else problem.load
    totals = alone.sum(axis=1).tolist()
    units = [float(problem.unit(layer_idx)) for layer_idx in range(problem.num_layers)]
    total = sum(load * unit for load, unit in zip(totals, units, strict=True))
    return total / float(problem.capacity) or 1.0
