"""What each warm start was worth, and what the search made of it: for a terminal and a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.report.columns import Column, fill
from eplb_opt.report.gap_columns import NAME_WIDTH, gap_text, short_name
from eplb_opt.report.step_time import worth
from eplb_opt.report.words import duration

if TYPE_CHECKING:
    from rich.table import Table

    from eplb_opt.report.steps import BatchNoise
    from eplb_opt.result import Result

#: Characters of a line where the screen does not tell.
WIDTH = 120
CAPTION = "Warm starts, and the answer"
TITLE = "What each start was worth, and what the search made of it (whole model)"


def start_columns(
    result: Result, name_width: int = 0, noise: BatchNoise | None = None
) -> list[Column]:
    """One row a start, in the order in which they were tried, and one for the answer.

    Parameters
    ----------
    result
        The result, from `plan`.
    name_width
        Longer names are cut there; 0 for no limit.
    noise
        What a gap must be above to be felt in a step; by default no gap is marked.

    Returns
    -------
    list of Column
        The last row is the answer's.
    """
    in_seconds = result.problem.counts_seconds
    names = [start.name for start in result.starts]
    if name_width:
        names = [short_name(name, name_width) for name in names]
    return [
        Column("start", [*names, "eplb-opt"], is_text=True),
        Column(
            "took",
            [*(duration(start.seconds) for start in result.starts), duration(result.elapsed)],
            rank=2,
        ),
        Column(
            "slowest GPUs" if in_seconds else "largest GPU loads",
            [
                *(worth(float(start.objective.sum()), in_seconds) for start in result.starts),
                worth(float(result.objective.sum()), in_seconds),
            ],
            rank=3,
        ),
        Column(
            "gap to bound",
            [
                *(gap_text(start.gap, noise) for start in result.starts),
                gap_text(result.model_gap, noise),
            ],
        ),
        Column("layers begun", [*(f"{start.num_best}" for start in result.starts), ""], rank=1),
        Column(
            "gap closed since",
            [*(_closed(start.share_closed) for start in result.starts), ""],
        ),
    ]


def _closed(share: float | None) -> str:
    """A part of a gap; only all of it is 100 %."""
    if share is None:
        return "-"
    text = f"{100 * share:.4g} %"
    return "> 99.99 %" if share < 1 and text == "100 %" else text


def starts_table(result: Result, width: int = WIDTH, noise: BatchNoise | None = None) -> Table:
    """The starts and the answer, in `width` characters."""
    from eplb_opt.report.tables import titled

    table = titled(TITLE)
    fill(
        table, start_columns(result, NAME_WIDTH, noise), width, [*[""] * len(result.starts), "bold"]
    )
    return table
