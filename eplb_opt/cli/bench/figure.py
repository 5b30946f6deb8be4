"""`eplb-opt bench figure`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from eplb_opt import plots
from eplb_opt.bench.ledger import SUITES, latest, read_ledger
from eplb_opt.bench.ledger_tables import anytime_points, gaps_by_method
from eplb_opt.errors import ProblemError

Kind = StrEnum("Kind", ["profile", "anytime"])


def figure_command(
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help="Rows of measurements.")],
    plot_file: Annotated[Path, typer.Option("--plot", help="Where to draw it: .png, .svg, .pdf.")],
    kind: Annotated[
        Kind,
        typer.Option(help="Performance profile of all methods, or their gaps by time limit."),
    ] = Kind.profile,
    suite: Annotated[str, typer.Option(help=f"Of {', '.join(SUITES)}.")] = "quality",
) -> None:
    """Draw the latest run of a suite: who is how near on how many instances, and what time brings.

    Example: eplb-opt bench figure instances/ledger.jsonl --plot profile.png
    """
    plots.check_format(plot_file)
    rows = latest(read_ledger(ledger), suite)
    if not rows:
        raise ProblemError(f"{ledger} has no rows of {suite!r}; known: {', '.join(SUITES)}.")
    if kind is Kind.profile:
        ax = plots.profile(gaps_by_method(rows))
    else:
        ax = plots.anytime(anytime_points(rows))
    plots.save(ax, plot_file)
    print(plot_file)
