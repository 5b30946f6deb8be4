"""What moving slots buys, as a table and as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.report.columns import Column, csv_text
from eplb_opt.report.tables import amount, percent, titled

if TYPE_CHECKING:
    from rich.table import Table

    from eplb_opt.migration import Frontier

#: Points that a table shows; the file has all.
MOST_ROWS = 12


def frontier_table(found: Frontier) -> Table:
    """Some points, from no move to as many as bring anything; the last is the best plan found."""
    slots = int(found.problem.open_slots.sum()) * found.problem.num_layers
    table = titled(f"What moves buy, of {slots:,} slots; largest GPU loads summed over the layers")
    for heading in ("moves", "of the slots", "largest GPU loads", "above the best found", "gained"):
        table.add_column(heading, justify="right")
    moves, worth = np.asarray(found.moves), np.asarray(found.objective)
    start, best = float(worth[0]), float(worth[-1])
    for at in _chosen(worth):
        table.add_row(
            f"{int(moves[at]):,}",
            percent(moves[at] / slots),
            amount(float(worth[at])),
            percent(float(worth[at]) / best - 1 if best else 0.0),
            percent((start - float(worth[at])) / (start - best) if start > best else 0.0),
        )
    return table


def frontier_csv(found: Frontier) -> str:
    """Every point: moves, and the least sum of the largest GPU loads with them."""
    return csv_text(
        [
            Column("moves", name="moves", values=[int(m) for m in found.moves]),
            Column("objective", name="objective", values=[float(v) for v in found.objective]),
        ]
    )


def _chosen(worth: np.ndarray) -> list[int]:
    """Points whose gains are spread evenly, the first and the last among them."""
    wanted = np.linspace(worth[0], worth[-1], MOST_ROWS)
    nearest = [int(np.abs(worth - value).argmin()) for value in wanted]
    return sorted({0, *nearest, len(worth) - 1})
