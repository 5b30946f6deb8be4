"""The gap report as CSV: a row a layer, worst first, and one for the whole model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.report.columns import csv_text
from eplb_opt.report.gap_columns import layer_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.report.gap import GapReport


def gap_csv(report: GapReport, layer_ids: Sequence[int] = ()) -> str:
    """Every figure of the layers: bounds, gaps of all plans, prices of all constraints.

    Gaps and prices are fractions. A plan without figures has empty cells.

    Parameters
    ----------
    report
        The report, from `gap_report`.
    layer_ids
        Place of each layer among the model's hidden layers; by default the layer's own index.

    Returns
    -------
    str
        The text of the file, with a row of headings.
    """
    return csv_text(layer_columns(report, report.worst_first, layer_ids))
