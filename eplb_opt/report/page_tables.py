"""The tables of the HTML report: headings and cells as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.report.words import amount, duration, percent, price_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.report.gap import GapReport, GapRow
    from eplb_opt.report.scenarios import ScenarioTable


@dataclass(frozen=True)
class PageTable:
    """One table.

    Parameters
    ----------
    caption
        What it shows, for those who cannot see where it stands.
    headings
        The first one is of the rows' own headings.
    rows
        As many cells as headings.
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


def plans_table(report: GapReport) -> PageTable:
    """Every plan against the bound, best first; failures with their reason."""
    headings = ["plan", "gap", "median", "worst", "in layer", "optimal", "balancedness"]
    headings += ["nearest copy", "time"]
    good = [row for row in report.rows if not row.problem]
    rows = [_plan_cells(row, len(report.status)) for row in good]
    strong = tuple(i for i, row in enumerate(good) if row.kind == "ours")
    return PageTable("Plans, best first", headings, rows, _first_only(headings), strong)


def failures(report: GapReport) -> list[tuple[str, str]]:
    """Names of plans without figures, and why."""
    return [(row.name, row.problem) for row in report.rows if row.problem]


def prices_table(report: GapReport) -> PageTable | None:
    """What each constraint costs; None where nothing was asked."""
    if not report.prices:
        return None
    rows = [[p.name, p.rule, price_text(p.at_least, p.at_most), p.proven_by] for p in report.prices]
    headings = ["constraint", "rule", "price", "known from"]
    return PageTable("Prices of constraints", headings, rows, [True, True, False, True])


def layers_table(
    report: GapReport,
    before: np.ndarray,
    after: np.ndarray,
    moves: np.ndarray | None,
    layer_ids: Sequence[int],
) -> PageTable:
    """Every layer, worst first, and the whole model.

    Parameters
    ----------
    report
        From `gap_report`.
    before, after
        GPU load over mean, float64 [num_layers, num_gpus], of the plan before and of ours.
    moves
        int64 [num_layers] or None.
    layer_ids
        Place of each layer among the model's hidden layers.
    """
    others = [row for row in report.rows if row.kind != "ours" and row.layer_gap is not None]
    headings = ["layer", "hidden layer", "largest GPU load", "proven bound", "gap", "status"]
    headings += ["bound by", "peak before", "peak after"]
    headings += ["moves"] if moves is not None else []
    headings += [f"gap of {row.name}" for row in others]
    headings += [f"price of {price.name}" for price in report.prices]
    peaks = before.max(axis=1), after.max(axis=1)
    gap = np.asarray(report.ours.layer_gap)
    rows = []
    for i in report.worst_first:
        cells = [str(i), str(layer_ids[i]), amount(report.objective[i])]
        cells += [amount(report.lower_bound[i]), percent(gap[i]), report.status[i]]
        cells += [report.bound_source[i], *(f"{peak[i]:.4f}" for peak in peaks)]
        cells += [f"{moves[i]}"] if moves is not None else []
        cells += [percent(row.layer_gap[i]) for row in others if row.layer_gap is not None]
        prices = [(p.layers_at_least[i], p.layers_at_most[i]) for p in report.prices]
        rows.append([*cells, *(price_text(*price) for price in prices)])
    rows.append(_whole_model(report, others, moves))
    is_text = [heading in ("status", "bound by") for heading in headings]
    return PageTable("Layers, worst first", headings, rows, is_text, (len(rows) - 1,))


def scenarios_table(table: ScenarioTable) -> PageTable:
    """Balancedness of every plan under every load; those not seen are marked."""
    loads = [
        name if i < table.num_seen else f"{name} (held out)" for i, name in enumerate(table.loads)
    ]
    headings = ["plan", *loads]
    rows = [[name, *(f"{value:.4f}" for value in row)] for name, row in table.rows.items()]
    strong = tuple(i for i, name in enumerate(table.rows) if name == "eplb-opt")
    return PageTable("Balancedness by load", headings, rows, _first_only(headings), strong)


def _whole_model(report: GapReport, others: list[GapRow], moves: np.ndarray | None) -> list[str]:
    sums = amount(float(report.objective.sum())), amount(float(report.lower_bound.sum()))
    proven = f"{report.status.count('optimal')} optimal"
    cells = [f"all {len(report.status)}", "", *sums, percent(report.ours.model_gap), proven]
    cells += ["", "", ""]
    cells += [f"{moves.sum():,}"] if moves is not None else []
    cells += [percent(row.model_gap) for row in others]
    return [*cells, *(price_text(p.at_least, p.at_most) for p in report.prices)]


def _plan_cells(row: GapRow, num_layers: int) -> list[str]:
    return [
        row.name,
        percent(row.model_gap),
        percent(row.median_gap),
        percent(row.worst_gap),
        str(row.worst_layer),
        f"{row.layers_optimal} of {num_layers}",
        f"{row.balancedness:.4f}",
        f"{row.nearest_copy:.4f}",
        duration(row.seconds),
    ]


def _first_only(headings: list[str]) -> list[bool]:
    return [i == 0 for i in range(len(headings))]
