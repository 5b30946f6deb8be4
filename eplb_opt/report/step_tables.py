"""What steps see, as tables for a terminal and for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.report.columns import Column, fill
from eplb_opt.report.gap_columns import NAME_WIDTH, short_name
from eplb_opt.report.words import percent
from eplb_opt.workloads.forecast import DISPATCHES

if TYPE_CHECKING:
    from rich.table import Table

    from eplb_opt.report.steps import StepReport

CAPTION = "What a step sees: expected balancedness, and what takes how much of it"


def step_columns(report: StepReport, name_width: int = 0) -> list[Column]:
    """One row a plan, dispatch and batch size.

    Parameters
    ----------
    report
        The report, from `step_report`.
    name_width
        Characters of a plan's name; 0 for all of it.
    """
    rows = report.rows
    columns = [
        Column("plan", [short_name(row.plan, name_width) for row in rows], is_text=True),
        Column("dispatch", [DISPATCHES[row.dispatch].words for row in rows], is_text=True),
        Column("tokens a GPU", [f"{row.batch_tokens:,}" for row in rows], short="tokens"),
        Column("balancedness", [f"{row.balancedness:.4f}" for row in rows]),
        Column("lost to the plan", [percent(_shown(row.plan_part)) for row in rows], short="plan"),
        Column("to chance", [percent(_shown(row.noise_part)) for row in rows], short="chance"),
    ]
    if any(row.burst_part is not None for row in rows):
        cells = [percent(_shown(row.burst_part or 0.0)) for row in rows]
        columns.append(Column("to varying traffic", cells, short="traffic"))
    if any(row.step_seconds is not None for row in rows):
        cells = [f"{1e6 * (row.step_seconds or 0.0):,.1f} µs" for row in rows]
        columns.append(Column("slowest GPU, a layer", cells, short="slowest GPU"))
    std = [f"± {row.std:.4f}" for row in rows]
    return [*columns, Column("step to step", std, rank=1)]


def step_table(report: StepReport, width: int) -> Table:
    """What steps see, in `width` characters; what they see today is bold."""
    from eplb_opt.report.tables import titled

    table = titled(CAPTION)
    strong = strong_rows(report)
    styles = ["green" if at in strong else "" for at in range(len(report.rows))]
    fill(table, step_columns(report, NAME_WIDTH), width, styles)
    return table


def strong_rows(report: StepReport) -> tuple[int, ...]:
    """Places of the rows that the advice is about."""
    first = report.rows[0].plan
    return tuple(
        at
        for at, row in enumerate(report.rows)
        if row.plan == first and row.dispatch == report.seen
    )


def _shown(share: float) -> float:
    """A share of balancedness; a millionth is what rounding makes of nothing."""
    return 0.0 if abs(share) < 1e-6 else share
