"""The table of the dispatch measurements, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.report.tables import titled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from eplb_opt.bench.dispatch import DispatchRow


def splits_table(rows: Sequence[DispatchRow]) -> Table:
    """One placement: time and how far each program's largest GPU load is above the optimum."""
    first = rows[0]
    table = titled(f"{first.machine}, {first.placement} placement")
    for column in ("program", "splits", "a layer and batch", "worst", "mean", "note"):
        left = column in ("program", "note")
        table.add_column(column, justify="left" if left else "right")
    for row in rows:
        table.add_row(
            row.program,
            str(row.splits),
            f"{row.microseconds:.3g} us",
            f"{max(row.worst, 0.0):.1e}",
            f"{max(row.mean, 0.0):.1e}",
            row.note,
        )
    return table
