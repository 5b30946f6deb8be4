"""What the rows of a run say together, for terminals, texts and figures."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.report.tables import percent, titled
from eplb_opt.report.words import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from eplb_opt.bench.ledger import LedgerRow

#: Columns of the summary of a run; those that are empty in all lines are left out.
HEADINGS = (
    "method",
    "cases",
    "median gap",
    "largest gap",
    "layers proven",
    "moves a layer",
    "median time",
    "peak memory",
)
#: Seconds below which a time is told in microseconds.
SHORT = 1e-4
#: What a cell holds where nothing was measured.
NOTHING = "-"


def method_name(row: LedgerRow) -> str:
    """The method with its time limit, where it was given one."""
    return row.method if row.time_limit is None else f"{row.method}, {row.time_limit:g} s"


def by_method(rows: Sequence[LedgerRow]) -> dict[str, list[LedgerRow]]:
    """The rows of each method and time limit, in the order of their first ones.

    Parameters
    ----------
    rows
        Of one run.
    """
    found: dict[str, list[LedgerRow]] = defaultdict(list)
    for row in rows:
        found[method_name(row)].append(row)
    return dict(found)


def summary(rows: Sequence[LedgerRow]) -> list[tuple[str, ...]]:
    """Headings of `HEADINGS`, then a line a method; cases whose plan broke a rule count apart.

    Parameters
    ----------
    rows
        Of one run.
    """
    lines = [_line(name, made) for name, made in by_method(rows).items()]
    told = [i for i in range(len(HEADINGS)) if any(line[i] != NOTHING for line in lines)]
    return [tuple(line[i] for i in told) for line in (HEADINGS, *lines)]


def _line(name: str, made: Sequence[LedgerRow]) -> tuple[str, ...]:
    gaps = [row.gap for row in made if row.gap is not None]
    broken = sum(row.note.startswith("breaks a rule") for row in made)
    proven = [row for row in made if row.proven is not None]
    seconds = [row.seconds for row in made if row.seconds is not None]
    peaks = [row.peak_bytes for row in made if row.peak_bytes]
    moves = [row.moves for row in made if row.moves is not None]
    return (
        name,
        f"{len(gaps)}, {broken} broke a rule" if broken else str(len(gaps)),
        percent(float(np.median(gaps))) if gaps else NOTHING,
        percent(max(gaps)) if gaps else NOTHING,
        _of(sum(row.proven or 0 for row in proven), sum(row.layers or 0 for row in proven)),
        f"{np.median(moves):.1f}" if moves else NOTHING,
        _took(float(np.median(seconds))) if seconds else NOTHING,
        f"{max(peaks) / 2**20:.0f} MiB" if peaks else NOTHING,
    )


def _took(seconds: float) -> str:
    return duration(seconds) if seconds >= SHORT else f"{1e6 * seconds:.1f} µs"


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole}" if whole else NOTHING


def rows_table(suite: str, rows: Sequence[LedgerRow]) -> Table:
    """The summary of a run for a terminal.

    Parameters
    ----------
    suite
        For the title.
    rows
        Of one run.
    """
    table = titled(f"{suite}: gaps to the best bound known")
    headings, *lines = summary(rows)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for line in lines:
        table.add_row(*line, style="bold green" if line[0].startswith("eplb-opt") else "")
    return table


def gaps_by_method(rows: Sequence[LedgerRow]) -> dict[str, list[float]]:
    """How far each method is above the best objective of all, case by case; infinity for no plan.

    Parameters
    ----------
    rows
        Of one run; of rows without objectives the gaps are compared.
    """
    cases: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        value = row.gap if row.gap is not None else np.inf
        name = method_name(row)
        cases[row.case][name] = min(cases[row.case].get(name, np.inf), value)
    return {
        name: [
            (1 + values.get(name, np.inf)) / (1 + min(values.values())) - 1
            for values in cases.values()
        ]
        for name in by_method(rows)
    }


def anytime_points(rows: Sequence[LedgerRow]) -> dict[str, list[tuple[float, float]]]:
    """Median gap over the cases by time limit, of each method; one point of those without limit.

    Parameters
    ----------
    rows
        Of one run.

    Returns
    -------
    By method, pairs of seconds (the limit, or the median duration where there is none) and gap.
    """
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for made in by_method(rows).values():
        gaps = [row.gap for row in made if row.gap is not None]
        seconds = [row.seconds for row in made if row.seconds is not None]
        limit = made[0].time_limit
        if gaps and (seconds or limit is not None):
            at = float(np.median(seconds)) if limit is None else limit
            points[made[0].method].append((at, float(np.median(gaps))))
    return {name: sorted(found) for name, found in points.items()}
