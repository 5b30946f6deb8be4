"""The table of the serving call at a price, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.bench.hot_tables import milliseconds
from eplb_opt.report.tables import percent, titled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from eplb_opt.bench.prices import PriceRow


def prices_table(rows: Sequence[PriceRow]) -> Table:
    """All policies on one machine at one price."""
    first = rows[0]
    has_planner = first.above_planner is not None
    table = titled(f"{first.loads}, {first.machine}, price {first.price:g}")
    columns = ["policy", "load", "off home", "objective", "above the bound"]
    columns += ["above the planner"] if has_planner else []
    for column in (*columns, "median", "processor"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for row in rows:
        above = [percent(row.above_bound)]
        above += [f"{100 * row.above_planner:.2f} %"] if row.above_planner is not None else []
        figures = f"{row.load:.4f}", percent(row.off_home), f"{row.objective:.4f}"
        times = milliseconds(row.seconds), milliseconds(row.processor_seconds)
        table.add_row(row.policy, *figures, *above, *times)
    return table
