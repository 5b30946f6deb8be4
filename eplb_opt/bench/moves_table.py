"""The table of what re-planning costs and brings, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.bench.hot_tables import milliseconds
from eplb_opt.report.tables import titled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from eplb_opt.bench.moves import MovesRow


def moves_table(rows: Sequence[MovesRow]) -> Table:
    """All policies after one change: the load that they reach, moves and time."""
    first = rows[0]
    stay = "impossible" if first.stay is None else f"{first.stay:.4f} times the bound"
    table = titled(f"{first.change}, {first.machine}: staying is {stay}")
    for column in ("policy", "reached", "worst layer", "layers missed", "moves a layer", "median"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for row in rows:
        missed = str(row.missed) if row.missed else ""
        figures = f"{row.reached:.4f}", f"{row.worst:.4f}", missed, f"{row.moves:.1f}"
        table.add_row(row.policy, *figures, milliseconds(row.seconds))
    return table
