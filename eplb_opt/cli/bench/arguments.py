"""What the measurements' commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eplb_opt.bench.ledger import append, read_ledger
from eplb_opt.cli.complete import heuristic_names, machine_names, model_names
from eplb_opt.exact import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eplb_opt.bench.ledger import LedgerRow

Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        help=f"Alone in the same time: {', '.join(MODELS)}.",
        autocompletion=model_names,
    ),
]
Heuristics = Annotated[
    list[str],
    typer.Option(
        "--heuristic",
        help="Beside it; any of `heuristics.HEURISTICS`.",
        autocompletion=heuristic_names,
    ),
]
Machines = Annotated[
    list[str],
    typer.Option(
        "--machine",
        help="SLOTSxGPUS or SLOTSxGPUS/NODES/GROUPS.",
        autocompletion=machine_names,
    ),
]
Rounds = Annotated[int, typer.Option(min=1, help="Calls of each policy.")]
Offline = Annotated[
    float, typer.Option(min=0, help="Seconds of the planner, as a reference; 0 leaves it out.")
]


def _read_before(path: Path | None) -> Path | None:
    """The ledger's path, once it is known that its rows can be read: before the work."""
    if path is not None and path.exists() and path.stat().st_size:
        read_ledger(path)
    return path


Ledger = Annotated[
    Path | None,
    typer.Option(
        "--ledger",
        help="Append a dated row a figure to this file, JSON lines.",
        callback=_read_before,
    ),
]


def keep(ledger_file: Path | None, rows: Iterable[LedgerRow]) -> None:
    """Append rows to the ledger, where one is named."""
    if ledger_file is not None:
        append(ledger_file, rows)
