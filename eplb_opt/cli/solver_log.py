"""The log of `--verbose`: a line on stderr for what changes, in columns, and a summary."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eplb_opt.cli import output
from eplb_opt.planner.journal import Event, Kind
from eplb_opt.planner.reasons import ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from eplb_opt.planner.journal import SolverShare
    from eplb_opt.result import HistoryPoint

LOGGER = logging.getLogger("eplb_opt")

#: Heading, width and alignment of the columns: 78 characters with the spaces between them.
COLUMNS: tuple[tuple[str, int, str], ...] = (
    ("time", 8, ">"),
    ("event", 6, "<"),
    ("layers", 9, "<"),
    ("by", 14, "<"),
    ("load/mean", 9, ">"),
    ("bound", 9, ">"),
    ("gap", 10, ">"),
    ("proven", 6, ">"),
)
#: Where an event is about the whole model, who it is by takes both columns.
NAME_WIDTH = COLUMNS[2][1] + 1 + COLUMNS[3][1]
WITHOUT_LAYERS = (*COLUMNS[:2], ("by", NAME_WIDTH, ">"), *COLUMNS[4:])
CAPTION = "load/mean: largest GPU load over the mean, all layers together; bound: the proven least"
SUMMARY = (
    ("solver", 16, "<"),
    ("turns", 7, ">"),
    ("seconds", 9, ">"),
    ("better plans", 13, ">"),
    ("higher bounds", 14, ">"),
    ("proven", 7, ">"),
)
#: Events that are a line of the table.
IN_TABLE = (Kind.START, Kind.BOUND, Kind.STAGE, Kind.PLAN, Kind.PROVEN)


class SolverLog(logging.Handler):
    """Writes the events of planning calls to stderr, wherever that leads at the time."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = 1.0

    def emit(self, record: logging.LogRecord) -> None:
        """Write what one record tells."""
        event = record.msg
        if not isinstance(event, Event):
            self._write(record.getMessage())
        elif event.kind is Kind.PROBLEM:
            self.scale = event.scale
            heading = _line(COLUMNS, [heading for heading, _, _ in COLUMNS])
            self._write("", event.words, CAPTION, "", heading, "-" * len(heading))
        elif event.kind in IN_TABLE:
            self._write(self._row(event))
        elif event.kind is Kind.END:
            self._write("", event.words, *_summary(event.shares))
        elif event.kind is not Kind.NOTE:  # the command itself prints what went wrong
            self._write(f"  {event.words}")

    def _row(self, event: Event) -> str:
        point = event.point
        objective, gap = point.objective, point.gap
        if point.start_objective is not None:
            objective = point.start_objective
            gap = objective / point.lower_bound - 1 if point.lower_bound else 0.0
        layers, by = _layers(event.layers), point.stage
        if len(by) > NAME_WIDTH:  # of a long path the end says more
            by = "..." + by[3 - NAME_WIDTH :]
        where = [layers, by] if layers else [by]
        columns = COLUMNS if layers else WITHOUT_LAYERS
        cells = [
            f"{_digits(point.seconds, 6, 2)} s",
            str(event.kind),
            *where,
            _digits(objective / self.scale, 9, 7),
            _digits(point.lower_bound / self.scale, 9, 7),
            f"{_digits(100 * gap, 8, 5)} %",
            f"{event.num_proven}/{event.num_layers}",
        ]
        return _line(columns, cells)

    def _write(self, *lines: str) -> None:
        # A bar on the terminal has put itself before stderr, and moves down for each line.
        print(*lines, sep="\n", file=sys.stderr)


def _line(columns: Sequence[tuple[str, int, str]], cells: list[str]) -> str:
    parts = [
        f"{cell:{align}{width}}" for (_, width, align), cell in zip(columns, cells, strict=True)
    ]
    return " ".join(parts).rstrip()


def _digits(value: float, width: int, decimals: int) -> str:
    """A number of at most so many decimals, and fewer where it would be wider than its column."""
    whole = len(f"{value:.0f}")
    return f"{value:.{max(min(decimals, width - whole - 1), 0)}f}"


def _layers(layers: tuple[int, ...]) -> str:
    words = ",".join(ranges(layers))
    return words if len(words) <= COLUMNS[2][1] else f"{len(layers)} layers"


def _summary(shares: Mapping[str, SolverShare]) -> list[str]:
    """What each solver contributed, in layers."""
    if not shares:
        return []
    rows = [
        [
            name,
            f"{share.turns}",
            f"{share.seconds:.2f}",
            f"{len(share.improved)}",
            f"{len(share.raised)}",
            f"{len(share.proven)}",
        ]
        for name, share in shares.items()
    ]
    heading = _line(SUMMARY, [heading for heading, _, _ in SUMMARY])
    return ["", heading, "-" * len(heading), *(_line(SUMMARY, row) for row in rows)]


@contextmanager
def watched(
    seconds: float | None, heading: str, verbose: int
) -> Iterator[Callable[[HistoryPoint], None] | None]:
    """A bar of the time used, see `output.progress_bar`, and the log where it is asked for.

    Parameters
    ----------
    seconds, heading
        As of `output.progress_bar`.
    verbose
        0 for no log, 1 for what changes, 2 for every turn of every solver too.

    Yields
    ------
    A callable for `plan(progress=...)`, or None where no bar is wanted.
    """
    with output.progress_bar(seconds, heading) as progress:
        if not verbose:
            yield progress
            return
        handler, level, goes_up = SolverLog(), LOGGER.level, LOGGER.propagate
        LOGGER.addHandler(handler)
        LOGGER.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
        LOGGER.propagate = False
        try:
            yield progress
        finally:
            LOGGER.removeHandler(handler)
            LOGGER.setLevel(level)
            LOGGER.propagate = goes_up
