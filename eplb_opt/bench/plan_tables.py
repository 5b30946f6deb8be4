"""The table of planned loads, machines and time limits, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.report.tables import titled
from eplb_opt.report.words import duration

if TYPE_CHECKING:
    from rich.table import Table

    from eplb_opt.bench.plans import PlanRow


def plan_rows_table(rows: list[PlanRow]) -> Table:
    """Planned loads, machines and time limits, a section a call of `plan`."""
    table = titled("Gaps to the proven bound")
    headings = ("limit", "took", "model", "median", "worst", "proven")
    for heading in ("loads", "slots x GPUs", "a GPU", "method", *headings):
        left = heading in ("loads", "method")
        table.add_column(heading, justify="left" if left else "right")
    for row in rows:
        is_ours = row.method == "eplb-opt"
        if is_ours:
            table.add_section()
        gaps = (row.model_gap, row.median_gap, row.worst_gap)
        table.add_row(
            row.loads,
            row.machine,
            str(row.slots_per_gpu),
            row.method,
            f"{row.time_limit:g} s" if row.proven is not None else "",
            duration(row.seconds),
            *(f"{gap:.1e}" for gap in gaps),
            "" if row.proven is None else f"{row.proven} of {row.layers}",
            style="bold green" if is_ours else "",
        )
    return table
