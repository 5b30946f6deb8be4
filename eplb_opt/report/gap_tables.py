"""The gap report for a terminal: models, prices and layers, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from eplb_opt.report.columns import fill
from eplb_opt.report.gap_columns import (
    NAME_WIDTH,
    layer_columns,
    plan_columns,
    price_columns,
    scenario_columns,
    with_figures,
)
from eplb_opt.report.tables import WORST_LAYERS, titled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from eplb_opt.report.gap import GapReport
    from eplb_opt.report.scenarios import ScenarioTable

#: Characters of a line where the screen does not tell.
WIDTH = 120
OURS = "bold green"


def gap_table(report: GapReport, width: int = WIDTH, layer_ids: Sequence[int] = ()) -> Table:
    """Every plan against the proven bound, best first; in `width` characters."""
    table = titled("Gap to the proven bound (whole model; bound = 0)")
    styles = [OURS if row.kind == "ours" else "" for row in with_figures(report)]
    fill(table, plan_columns(report, NAME_WIDTH, layer_ids), width, styles)
    # Below the table: a sentence in a narrow column is no reading.
    failed = [f"{row.name}: no figures. {row.problem}" for row in report.rows if row.problem]
    if failed:
        table.caption, table.caption_justify = escape("\n".join(failed)), "left"
        table.caption_style = "red"
    return table


def price_table(report: GapReport) -> Table:
    """What each constraint costs the whole model."""
    table = titled("What each constraint costs on the largest GPU loads (whole model)")
    columns = price_columns(report)
    for column in columns:
        table.add_column(column.on_terminal, justify="left" if column.is_text else "right")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table


def layer_table(
    report: GapReport,
    num_shown: int | None = WORST_LAYERS,
    width: int = WIDTH,
    layer_ids: Sequence[int] = (),
) -> Table:
    """The layers with our largest gaps, and the whole model.

    Parameters
    ----------
    report
        The report, with a column for each constraint and for the first given plans.
    num_shown
        Layers; None for all.
    width
        Characters of a line.
    layer_ids
        Names of the layers; by default their places.
    """
    order = report.worst_first[:num_shown]
    which = "All layers" if len(order) == len(report.status) else f"The {len(order)} worst layers"
    table = titled(f"{which}, by our gap; gaps of plans and prices of constraints")
    fill(table, layer_columns(report, order, layer_ids), width, [*[""] * len(order), "bold"])
    return table


def scenario_table_text(scored: ScenarioTable, width: int = WIDTH) -> Table:
    """Balancedness of every plan under every load, those not seen marked; in `width` characters."""
    table = titled("Balancedness of the whole model by load; 1 is perfect")
    styles = [OURS if name == "eplb-opt" else "" for name in scored.rows]
    fill(table, scenario_columns(scored, NAME_WIDTH), width, styles)
    return table
