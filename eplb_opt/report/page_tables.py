"""The tables of the HTML report: headings and cells as text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.report.columns import PAGE, Column
from eplb_opt.report.gap_columns import (
    ON_PAGE,
    layer_columns,
    plan_columns,
    price_columns,
    scenario_columns,
    with_figures,
)
from eplb_opt.report.starts import CAPTION, start_columns
from eplb_opt.report.step_tables import CAPTION as STEPS_CAPTION
from eplb_opt.report.step_tables import step_columns, strong_rows
from eplb_opt.report.topology import on_the_front, topology_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.planner.topologies import TopologyReport
    from eplb_opt.report.gap import GapReport
    from eplb_opt.report.scenarios import ScenarioTable
    from eplb_opt.report.steps import BatchNoise, StepReport
    from eplb_opt.result import Result

#: Headings of what is over the mean where there are several loads.
RATIOS = {"largest GPU load": "largest GPU load over the mean", "proven bound": "proven bound"}


@dataclass(frozen=True)
class PageTable:
    """One table.

    Parameters
    ----------
    caption
        A sentence on what the table shows, for those who cannot see where it stands.
    headings
        The first one is of the rows' own headings.
    rows
        Cells as text, one for each heading.
    is_text
        Whether a column is to be read from the left, one a heading.
    strong
        Indices of rows that matter most.
    """

    caption: str
    headings: list[str]
    rows: list[list[str]]
    is_text: list[bool]
    strong: tuple[int, ...] = ()


def plans_table(report: GapReport, layer_ids: Sequence[int] = ()) -> PageTable:
    """Every plan against the bound, best first."""
    good = with_figures(report)
    strong = tuple(i for i, row in enumerate(good) if row.kind == "ours")
    return _page_table("Plans, best first", plan_columns(report, 0, layer_ids), strong)


def starts_table(result: Result, noise: BatchNoise | None = None) -> PageTable | None:
    """What each warm start was worth; None where nobody kept them."""
    if not result.starts:
        return None
    return _page_table(CAPTION, start_columns(result, noise=noise), (len(result.starts),))


def steps_table(report: StepReport) -> PageTable:
    """What steps see of the plans."""
    return _page_table(STEPS_CAPTION, step_columns(report), strong_rows(report))


def failures(report: GapReport) -> list[tuple[str, str]]:
    """Names of plans without figures, and why."""
    return [(row.name, row.problem) for row in report.rows if row.problem]


def prices_table(report: GapReport) -> PageTable | None:
    """What each constraint costs; None where nothing was asked."""
    if not report.prices:
        return None
    return _page_table("Prices of constraints", price_columns(report))


def topology_page_table(report: TopologyReport | None) -> PageTable | None:
    """Plans from all at home to anywhere; None where nothing was asked."""
    if report is None:
        return None
    strong = tuple(sorted(on_the_front(report)))
    return _page_table("Plans from all at home to anywhere", topology_columns(report), strong)


def layers_table(
    report: GapReport,
    before: np.ndarray,
    after: np.ndarray,
    moves: np.ndarray | None,
    layer_ids: Sequence[int],
    *,
    with_scenarios: bool = False,
) -> PageTable:
    """Every layer, worst first, and the whole model.

    Parameters
    ----------
    report
        The report, from `gap_report`.
    before, after
        Largest GPU load over mean, float64 [num_layers], of the plan before and of ours; NaN where
        the plan breaks a rule.
    moves
        int64 [num_layers] or None.
    layer_ids
        Place of each layer among the model's hidden layers.
    with_scenarios
        Whether objectives are over the mean, too.

    Returns
    -------
    PageTable
        The last row is that of the whole model.
    """
    order = report.worst_first
    extra = [
        Column(heading, [*(_peak(peaks[i]) for i in order), ""], places=ON_PAGE)
        for heading, peaks in (("peak before", before), ("peak after", after))
    ]
    if moves is not None:
        cells = [*(f"{moves[i]}" for i in order), f"{moves.sum():,}"]
        extra.append(Column("moves", cells, places=ON_PAGE))
    columns = layer_columns(report, order, layer_ids, extra=extra)
    if with_scenarios:
        columns = [_over_mean(column) for column in columns]
    return _page_table("Layers, worst first", columns, (len(order),))


def _over_mean(column: Column) -> Column:
    """A column of loads over the mean: a sum of them over the layers is none, a mean is."""
    if column.heading not in RATIOS:
        return column
    layers = [float(value) for value in column.values[:-1]]
    whole = f"{sum(layers) / len(layers):.4f}"
    return replace(column, heading=RATIOS[column.heading], cells=[*column.cells[:-1], whole])


def _peak(ratio: float) -> str:
    return "-" if np.isnan(ratio) else f"{ratio:.4f}"


def scenarios_table(table: ScenarioTable) -> PageTable:
    """Largest GPU load over the mean of every plan under every load; those not seen are marked."""
    strong = tuple(i for i, name in enumerate(table.rows) if name == "eplb-opt")
    # The scale of the page's other figures; balancedness is one over it.
    rows = {name: [1 / value for value in row] for name, row in table.rows.items()}
    columns = scenario_columns(replace(table, rows=rows))
    return _page_table("Largest GPU load over the mean, by load", columns, strong)


def _page_table(caption: str, columns: Sequence[Column], strong: tuple[int, ...] = ()) -> PageTable:
    shown = [column for column in columns if PAGE in column.places]
    return PageTable(
        caption,
        [column.heading for column in shown],
        [list(row) for row in zip(*(column.cells for column in shown), strict=True)],
        [column.is_text for column in shown],
        strong,
    )
