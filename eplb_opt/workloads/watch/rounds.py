"""One round of a watch: look at the recordings, plan where they have changed, write the map."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from eplb_opt.errors import FormatError, PlanError, ProblemError
from eplb_opt.io import Loads, read_loads, read_plan, read_total, write_plan
from eplb_opt.io.fingerprint import fingerprint
from eplb_opt.io.kept_slots import in_kept_slots
from eplb_opt.io.plausible import Question, examine
from eplb_opt.io.recordings.together import planned_for
from eplb_opt.placement.plan import Plan
from eplb_opt.planner.evaluate import evaluate
from eplb_opt.planner.planner import plan
from eplb_opt.workloads.watch.metrics import write_metrics
from eplb_opt.workloads.watch.sources import stamps_of
from eplb_opt.workloads.watch.state import Figures, State, load_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from threading import Event

    import numpy as np

    from eplb_opt.problem.problem import Problem
    from eplb_opt.result import Result
    from eplb_opt.workloads.watch.settings import Settings
    from eplb_opt.workloads.watch.sources import Stamp

LOGGER = logging.getLogger("eplb_opt")
#: What may be wrong with a file or the disk today and right tomorrow.
PASSING = (FormatError, ProblemError, PlanError, MemoryError, OSError)


class Outcome(StrEnum):
    """How a round ended."""

    WRITTEN = "written"  #: A new map is on the disk.
    KEPT = "kept"  #: The recordings have changed, and the map in force is still good enough.
    UNCHANGED = "unchanged"  #: The recordings are those of the round before.
    FAILED = "failed"  #: Something could not be read or written; the next round tries again.
    STOPPED = "stopped"  #: The caller asked for the end while the plan was made.


@dataclass(frozen=True, eq=False)
class Round:
    """What a round has done.

    Parameters
    ----------
    number
        Rounds are counted from 1, over restarts, too.
    at
        When it began, in seconds since 1970.
    outcome
        How it ended.
    recordings
        The recordings that it looked at.
    figures
        What the last planning said, of this round or an earlier one; None before the first.
    error
        Why it failed; None where it has not.
    notes
        Sentences on what went wrong without costing the map.
    """

    number: int
    at: float
    outcome: Outcome
    recordings: tuple[Path, ...] = ()
    figures: Figures | None = None
    error: Exception | None = None
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """One line for a log."""
        words = [f"{iso_time(self.at)} round {self.number}: {self.outcome}"]
        if self.error is not None:
            words.append(str(self.error) or type(self.error).__name__)
        elif self.figures is not None and self.outcome != Outcome.STOPPED:
            words.append(_told(self.figures))
        return ": ".join([*words, *self.notes])

    def json(self) -> dict[str, Any]:
        """The same for a script."""
        told = None if self.figures is None else asdict(self.figures)
        return {
            "round": self.number,
            "time": iso_time(self.at),
            "outcome": str(self.outcome),
            "recordings": [str(path) for path in self.recordings],
            "figures": told,
            "error": None if self.error is None else str(self.error),
            "notes": list(self.notes),
        }


def iso_time(seconds: float) -> str:
    """A moment, in seconds since 1970, as RFC 3339 writes it: in UTC, whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _told(figures: Figures) -> str:
    ours = f"{figures.planned:.4f} (worst layer {figures.planned_worst:.4f})"
    words = f"balancedness {ours}, gap {100 * figures.gap:.3g} %"
    if figures.before is not None:
        before = f"{figures.before:.4f} (worst layer {figures.before_worst:.4f})"
        words = f"balancedness {before} -> {ours}, gap {100 * figures.gap:.3g} %"
    return words if figures.moves is None else f"{words}, {figures.moves:,} moves"


class Watch:
    """Recordings that are looked at again and again, and the map that is kept up with them.

    Parameters
    ----------
    settings
        What is to be done.
    now
        Seconds since 1970, for tests; by default the system's clock.

    Raises
    ------
    FormatError
        When the map cannot be written where it is to go.
    MissingDependency
        When its format needs a package.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        settings.rehearse()
        self.settings, self.now = settings, now
        self._notes: list[str] = []
        try:
            self.state = load_state(settings.state_file)
        except FormatError as error:
            self.state = State()
            self._notes.append(f"{error} It is made anew.")

    def round(self, stop: Event | None = None) -> Round:
        """Look at the recordings once, and do what is due.

        What is wrong with files does not raise; it is told in the round.

        Parameters
        ----------
        stop
            Once it is set, planning ends and nothing is written.
        """
        at = self.now()
        recordings: tuple[Path, ...] = ()
        error: Exception | None = None
        try:
            recordings = tuple(self.settings.sources.recordings())
            outcome = self._look(recordings, at, stop)
        except PASSING as caught:
            outcome, error = Outcome.FAILED, caught
        number = self._remember(outcome)
        self._save(at)
        notes, self._notes = tuple(self._notes), []
        done = Round(number, at, outcome, recordings, self.state.figures, error, notes)
        LOGGER.info("watch: %s", done.line)
        return done

    def _look(self, recordings: tuple[Path, ...], at: float, stop: Event | None) -> Outcome:
        """Plan where it is due.

        Raises
        ------
        Exception
            One of `PASSING`.
        """
        settings, state = self.settings, self.state
        stamps = _stamps(recordings)
        settled = state.settings == settings.fingerprint and state.in_force == self._in_force()
        if settled and stamps == state.stamps:
            return Outcome.UNCHANGED
        contents = tuple(map(fingerprint, recordings))
        if settled and contents == state.recordings:
            self.state = replace(state, stamps=stamps)
            return Outcome.UNCHANGED
        recorded = [self._read(path) for path in recordings]
        if _stamps(recordings) != stamps:
            raise FormatError("the recordings are still being written.")
        machine = settings.machine
        asked = Question(machine.num_gpus, machine.num_slots, engine=settings.engine)
        self._notes += examine(recorded, asked)
        problem = machine.problem(planned_for(recorded, settings.with_scenarios))
        outcome, figures = self._plan(problem, recorded[0], stop)
        if outcome != Outcome.STOPPED:
            written = at if outcome == Outcome.WRITTEN else state.planned_at
            self.state = replace(
                state,
                stamps=stamps,
                recordings=contents,
                settings=settings.fingerprint,
                in_force=self._in_force(),
                planned_at=written,
                figures=figures,
            )
        return outcome

    def _read(self, path: Path) -> Loads:
        read = read_loads if self.settings.with_scenarios else read_total
        return read(path, self.settings.load_format)

    def _in_force(self) -> str:
        """The fingerprint of the map in force."""
        path = self._map_in_force()
        return "" if path is None else fingerprint(path)

    def _map_in_force(self) -> Path | None:
        settings = self.settings
        return settings.output if settings.output.exists() else settings.current

    def _plan(
        self, problem: Problem, recorded: Loads, stop: Event | None
    ) -> tuple[Outcome, Figures | None]:
        settings = self.settings
        before = self._plan_before(problem, recorded)
        result = plan(
            problem,
            time_limit=None if settings.effort is not None else settings.time_limit,
            effort=settings.effort,
            current=before,
            move_tolerance=None if before is None else settings.move_tolerance,
            workers=settings.workers,
            stop=stop,
        )
        if stop is not None and stop.is_set():
            return Outcome.STOPPED, None
        figures = _figures(problem, before, result)
        if before is not None and not _is_worth(problem, before, result, settings.min_gain):
            return Outcome.KEPT, figures
        self._write(result, recorded, before)
        return Outcome.WRITTEN, replace(figures, is_written=True)

    def _plan_before(self, problem: Problem, recorded: Loads) -> Plan | None:
        """The map in force; None where there is none, or it is one for another problem."""
        path = self._map_in_force()
        if path is None:
            return None
        name = self.settings.plan_format if path == self.settings.output else None
        placed = read_plan(path, name, layer_ids=recorded.layer_ids)
        try:
            found = Plan(placed, problem.num_gpus, problem.num_experts)
            found.check(problem)
        except PlanError as error:
            self._notes.append(f"{path} is not the start, for it does not fit: {error}")
            return None
        return found

    def _write(self, result: Result, recorded: Loads, before: Plan | None) -> None:
        settings = self.settings
        current = None if before is None else before.physical_to_logical
        write_plan(
            settings.output,
            in_kept_slots(result.plan, settings.engine, current),
            engine=settings.engine,
            current=current,
            layer_ids=recorded.layer_ids,
            num_hidden_layers=recorded.num_hidden_layers,
            objective=result.objective,
            lower_bound=result.lower_bound,
            status=result.status,
        )

    def _remember(self, outcome: Outcome) -> int:
        """Count a round; its number."""
        counts = self.state.rounds
        rounds = counts | {str(outcome): counts.get(str(outcome), 0) + 1}
        self.state = replace(self.state, rounds=rounds)
        return sum(rounds.values())

    def _save(self, at: float) -> None:
        """Write state and metrics; what goes wrong with them costs no map."""
        settings = self.settings
        try:
            self.state.save(settings.state_file)
        except FormatError as error:
            self._notes.append(str(error))
        if settings.metrics is None:
            return
        try:
            write_metrics(settings.metrics, self.state, at, expert_bytes=settings.expert_bytes)
        except OSError as error:
            self._notes.append(f"{settings.metrics}: cannot be written: {error.strerror}.")


def _stamps(recordings: tuple[Path, ...]) -> tuple[Stamp, ...]:
    return tuple(stamp for path in recordings for stamp in stamps_of(path))


def _total(problem: Problem, placed: Plan) -> Fraction:
    """The largest GPU loads, summed over the layers, exact."""
    values = placed.objectives(problem)
    return sum((value * problem.unit(i) for i, value in enumerate(values)), Fraction(0))


def _is_worth(problem: Problem, before: Plan, result: Result, min_gain: float) -> bool:
    """Whether the plan is to take the place of the map in force, from exact sums."""
    old, new = _total(problem, before), _total(problem, result.plan)
    return new < old and (old - new) >= Fraction(min_gain) * old


def _figures(problem: Problem, before: Plan | None, result: Result) -> Figures:
    planned = _balancedness(result.balancedness, result.objective)
    if before is None:
        return Figures(*planned, result.model_gap)
    score = evaluate(problem, before)
    moves = None if result.moves is None else int(result.moves.sum())
    found = _balancedness(score.balancedness, score.objective)
    return Figures(*planned, result.model_gap, *found, moves)


def _balancedness(balancedness: np.ndarray, objective: np.ndarray) -> tuple[float, float]:
    """Summed mean GPU loads over summed largest ones, and the same of the worst layer."""
    if not objective.any():
        return 1.0, 1.0
    whole = float((balancedness * objective).sum() / objective.sum())
    return whole, float(balancedness.min())
