"""The gap report as CSV: a row a layer, worst first, and one for the whole model."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.report.gap import GapReport


def gap_csv(report: GapReport, layer_ids: Sequence[int] = ()) -> str:
    """Every figure of the layers: bounds, gaps of all plans, prices of all constraints.

    Gaps and prices are fractions. A plan without figures has empty cells.

    Parameters
    ----------
    report
        From `gap_report`.
    layer_ids
        Place of each layer among the model's hidden layers; by default the layer's own index.
    """
    num_layers = len(report.status)
    sums = report.objective.sum(), report.lower_bound.sum()
    columns: list[tuple[str, Any, Any]] = [  # heading, values of the layers, of the model
        ("layer", range(num_layers), "all"),
        ("hidden_layer", layer_ids or range(num_layers), ""),
        ("objective", report.objective, sums[0]),
        ("lower_bound", report.lower_bound, sums[1]),
        ("bound_source", report.bound_source, ""),
        ("status", report.status, ""),
    ]
    empty = np.full(num_layers, np.nan)
    for row in report.rows:
        gaps = empty if row.layer_gap is None else row.layer_gap
        columns.append((f"gap {row.name}", gaps, row.model_gap))
    for price in report.prices:
        name = f"price {price.name}"
        columns.append((f"{name} at least", price.layers_at_least, price.at_least))
        columns.append((f"{name} at most", price.layers_at_most, price.at_most))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([heading for heading, _, _ in columns])
    for layer_idx in report.worst_first:
        writer.writerow([_cell(values[layer_idx]) for _, values, _ in columns])
    writer.writerow([_cell(whole) for _, _, whole in columns])
    return text.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else repr(float(value))
    return str(value)
