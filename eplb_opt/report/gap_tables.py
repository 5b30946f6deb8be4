"""The gap report for a terminal: models, prices and layers, by rich."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from rich.markup import escape

from eplb_opt.report.tables import WORST_LAYERS, titled
from eplb_opt.report.words import amount, duration, percent, price_text

if TYPE_CHECKING:
    from rich.table import Table

    from eplb_opt.report.gap import GapReport, GapRow
    from eplb_opt.report.prices import ConstraintPrice

#: Given plans with a column of their own in the table of layers; what fits most screens.
MAX_PLANS = 2
#: Of a plan's name in the table of plans; longer ones lose their folders.
NAME_WIDTH = 28


def gap_table(report: GapReport) -> Table:
    """Every plan against the proven bound, best first."""
    table = titled("Gap to the proven bound (whole model; bound = 0)")
    headings = ("plan", "gap", "median", "worst", "layer", "optimal", "balancedness")
    for heading in (*headings, "nearest copy", "time"):
        table.add_column(heading, justify="left" if heading == "plan" else "right")
    failed = [row for row in report.rows if row.problem]
    for row in report.rows:
        if not row.problem:
            style = "bold green" if row.kind == "ours" else ""
            table.add_row(*_cells(row, len(report.status)), style=style)
    if failed:
        # Below the table: a sentence in a narrow column is no reading.
        words = "\n".join(
            f"{escape(row.name)}: no figures. {escape(row.problem)}" for row in failed
        )
        table.caption, table.caption_justify, table.caption_style = words, "left", "red"
    return table


def price_table(report: GapReport) -> Table:
    """What each constraint costs the whole model."""
    table = titled("What each constraint costs on the largest GPU loads (whole model)")
    for heading in ("constraint", "rule", "price", "known from"):
        table.add_column(heading, justify="right" if heading == "price" else "left")
    for price in report.prices:
        cost = price_text(price.at_least, price.at_most)
        table.add_row(price.name, price.rule, cost, price.proven_by)
    return table


def layer_table(report: GapReport, num_shown: int | None = WORST_LAYERS) -> Table:
    """The layers with our largest gaps, and the whole model.

    Parameters
    ----------
    report
        With a column for each constraint and for the first given plans.
    num_shown
        Layers; None for all.
    """
    order = report.worst_first[:num_shown]
    which = "All layers" if len(order) == len(report.status) else f"The {len(order)} worst layers"
    table = titled(f"{which}, by our gap; gaps of plans and prices of constraints")
    plans = [row for row in report.rows if row.kind == "given" and not row.problem][:MAX_PLANS]
    headings = ["layer", "largest GPU load", "proven bound", "eplb-opt"]
    headings += [_short(row.name) for row in plans]
    best = [row for row in report.rows if row.kind == "heuristic" and not row.problem]
    headings += ["best heuristic"] if best else []
    for heading in (*headings, *(price.name for price in report.prices)):
        table.add_column(escape(heading), justify="right")
    for layer_idx in order:
        cells = [str(layer_idx), *_bound_cells(report, layer_idx)]
        cells += [percent(row.layer_gap[layer_idx]) for row in plans if row.layer_gap is not None]
        cells += [_best(best, layer_idx)] if best else []
        table.add_row(*cells, *(_price_cell(price, layer_idx) for price in report.prices))
    table.add_section()
    sums = amount(float(report.objective.sum())), amount(float(report.lower_bound.sum()))
    whole = [f"all {len(report.status)}", *sums, percent(report.ours.model_gap)]
    whole += [percent(row.model_gap) for row in plans]
    whole += [percent(min(row.model_gap for row in best))] if best else []
    prices = [price_text(price.at_least, price.at_most) for price in report.prices]
    table.add_row(*whole, *prices, style="bold")
    return table


def _price_cell(price: ConstraintPrice, layer_idx: int) -> str:
    return price_text(price.layers_at_least[layer_idx], price.layers_at_most[layer_idx])


def _bound_cells(report: GapReport, layer_idx: int) -> list[str]:
    objective, lower = report.objective[layer_idx], report.lower_bound[layer_idx]
    gap = np.asarray(report.ours.layer_gap)[layer_idx]
    return [amount(objective), amount(lower), percent(gap)]


def _best(rows: list[GapRow], layer_idx: int) -> str:
    return percent(min(r.layer_gap[layer_idx] for r in rows if r.layer_gap is not None))


def _short(name: str, room: int = 0) -> str:
    """The end of a file's name, as many folders as there is room for: columns are narrow.

    >>> _short("plans/of/may/old.json"), _short("plans/of/may/old.json", 16), _short("greedy")
    ('old.json', '…/may/old.json', 'greedy')
    """
    parts = PurePath(name).parts
    if len(name) <= room or len(parts) < 2:
        return name
    tails = ["/".join(("…", *parts[at:])) for at in range(1, len(parts))]
    return next((tail for tail in tails if len(tail) <= room), parts[-1])


def _cells(row: GapRow, num_layers: int) -> tuple[str, ...]:
    return (
        escape(_short(row.name, NAME_WIDTH)),
        percent(row.model_gap),
        percent(row.median_gap),
        percent(row.worst_gap),
        str(row.worst_layer),
        f"{row.layers_optimal} of {num_layers}",
        f"{row.balancedness:.4f}",
        f"{row.nearest_copy:.4f}",
        duration(row.seconds),
    )
