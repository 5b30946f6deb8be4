"""The gap report for a terminal: models, prices and layers, by rich."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from rich.markup import escape

from eplb_opt.report.columns import Column, fill
from eplb_opt.report.tables import WORST_LAYERS, titled
from eplb_opt.report.words import amount, duration, percent, price_text

if TYPE_CHECKING:
    from rich.table import Table

    from eplb_opt.report.gap import GapReport, GapRow
    from eplb_opt.report.prices import ConstraintPrice
    from eplb_opt.report.scenarios import ScenarioTable

#: Characters of a line where the screen does not tell.
WIDTH = 120
#: Given plans with a column of their own in the table of layers; what fits most screens.
MAX_PLANS = 2
#: Of a plan's name in the table of plans; longer ones lose their folders.
NAME_WIDTH = 28


def gap_table(report: GapReport, width: int = WIDTH) -> Table:
    """Every plan against the proven bound, best first; in `width` characters."""
    table = titled("Gap to the proven bound (whole model; bound = 0)")
    good = [row for row in report.rows if not row.problem]
    columns = [
        Column("plan", [_short(row.name, NAME_WIDTH) for row in good], is_text=True),
        Column("gap", [percent(row.model_gap) for row in good]),
        Column("median", [percent(row.median_gap) for row in good], rank=4),
        Column("worst", [percent(row.worst_gap) for row in good]),
        Column("layer", [str(row.worst_layer) for row in good]),
        Column("optimal", [f"{row.layers_optimal} of {len(report.status)}" for row in good], 2),
        Column("balancedness", [f"{row.balancedness:.4f}" for row in good]),
        Column("nearest copy", [f"{row.nearest_copy:.4f}" for row in good], rank=3),
        Column("time", [duration(row.seconds) for row in good], rank=1),
    ]
    styles = ["bold green" if row.kind == "ours" else "" for row in good]
    fill(table, columns, width, styles)
    # Below the table: a sentence in a narrow column is no reading.
    failed = [f"{row.name}: no figures. {row.problem}" for row in report.rows if row.problem]
    if failed:
        table.caption, table.caption_justify = escape("\n".join(failed)), "left"
        table.caption_style = "red"
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


def layer_table(
    report: GapReport, num_shown: int | None = WORST_LAYERS, width: int = WIDTH
) -> Table:
    """The layers with our largest gaps, and the whole model.

    Parameters
    ----------
    report
        With a column for each constraint and for the first given plans.
    num_shown
        Layers; None for all.
    width
        Characters of a line.
    """
    order = report.worst_first[:num_shown]
    which = "All layers" if len(order) == len(report.status) else f"The {len(order)} worst layers"
    table = titled(f"{which}, by our gap; gaps of plans and prices of constraints")
    plans = [row for row in report.rows if row.kind == "given" and not row.problem][:MAX_PLANS]
    best = [row for row in report.rows if row.kind == "heuristic" and not row.problem]
    columns = [
        Column("layer", [*map(str, order), f"all {len(report.status)}"]),
        Column("largest GPU load", _amounts(report.objective, order), rank=2),
        Column("proven bound", _amounts(report.lower_bound, order), rank=3),
        Column("eplb-opt", _gaps([report.ours], order)),
        *(Column(_short(row.name), _gaps([row], order), rank=1) for row in plans),
        *([Column("best heuristic", _gaps(best, order), rank=4)] if best else []),
        *(Column(price.name, _prices(price, order)) for price in report.prices),
    ]
    fill(table, columns, width, [*[""] * len(order), "bold"])
    return table


def scenario_table_text(scored: ScenarioTable, width: int = WIDTH) -> Table:
    """Balancedness of every plan under every load, those not seen marked; in `width` characters."""
    table = titled("Balancedness of the whole model by load; 1 is perfect")
    columns = [Column("plan", [_short(name, NAME_WIDTH) for name in scored.rows], is_text=True)]
    for i, load in enumerate(scored.loads):
        heading = load if i < scored.num_seen else f"{_short(load)} (held out)"
        # What was not seen says more, so it stays where there is no room for all.
        rank = (i - scored.num_seen) % len(scored.loads)
        cells = [f"{row[i]:.4f}" for row in scored.rows.values()]
        columns.append(Column(heading, cells, rank=rank))
    styles = ["bold green" if name == "eplb-opt" else "" for name in scored.rows]
    fill(table, columns, width, styles)
    return table


def _amounts(values: np.ndarray, order: list[int]) -> list[str]:
    return [*(amount(values[i]) for i in order), amount(float(values.sum()))]


def _gaps(rows: list[GapRow], order: list[int]) -> list[str]:
    """The least gap of these plans, layer by layer and of the whole model."""
    layers = np.min([row.layer_gap for row in rows if row.layer_gap is not None], axis=0)
    return [*(percent(layers[i]) for i in order), percent(min(row.model_gap for row in rows))]


def _prices(price: ConstraintPrice, order: list[int]) -> list[str]:
    layers = [price_text(price.layers_at_least[i], price.layers_at_most[i]) for i in order]
    return [*layers, price_text(price.at_least, price.at_most)]


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
