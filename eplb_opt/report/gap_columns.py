"""The columns of the gap report: plans, prices of constraints, and layers.

Every table of the report, on a terminal, on the page and as CSV, is made of these lists.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.report.columns import PAGE, TERMINAL, Column
from eplb_opt.report.step_time import worth
from eplb_opt.report.words import duration, percent, price_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eplb_opt.report.gap import GapReport, GapRow
    from eplb_opt.report.prices import ConstraintPrice
    from eplb_opt.report.scenarios import ScenarioTable
    from eplb_opt.report.steps import BatchNoise

#: Given plans with a column of their own on a terminal; what fits most screens.
MAX_PLANS = 2
#: Characters of a plan's name on a terminal; longer ones are shown without their folders.
NAME_WIDTH = 28
ON_TERMINAL, ON_PAGE, NOWHERE = frozenset({TERMINAL}), frozenset({PAGE}), frozenset[str]()


def plan_columns(
    report: GapReport, name_width: int = 0, layer_ids: Sequence[int] = ()
) -> list[Column]:
    """One row a plan that has figures, best first.

    Parameters
    ----------
    report
        The report, from `gap_report`.
    name_width
        Characters of a plan's name; 0 for all of it.
    layer_ids
        Names of the layers; by default their places.
    """
    good = with_figures(report)
    layers = layer_ids or range(len(report.status))
    names = [short_name(row.name, name_width) if name_width else row.name for row in good]
    nearest = [Column("nearest copy", [f"{row.nearest_copy:.4f}" for row in good], rank=3)]
    spent = [_mean_worth(row) for row in good] if report.in_seconds else []
    return [
        Column("plan", names, is_text=True),
        *([Column("a layer", spent)] if spent else []),
        *([Column("drawn", [worth(row.drawn, True) for row in good])] if spent else []),
        Column("gap", [gap_text(row.model_gap, report.noise) for row in good]),
        Column("median", [gap_text(row.median_gap, report.noise) for row in good], rank=4),
        Column("worst", [gap_text(row.worst_gap, report.noise) for row in good]),
        Column("in layer", [str(layers[row.worst_layer]) for row in good], short="layer"),
        Column("optimal", [f"{row.layers_optimal} of {len(report.status)}" for row in good], 2),
        Column("balancedness", [f"{row.balancedness:.4f}" for row in good]),
        *([] if report.in_seconds else nearest),
        Column("time", [duration(row.seconds) for row in good], rank=1),
    ]


def _mean_worth(row: GapRow) -> str:
    """The seconds of a layer, on average."""
    values = row.layer_objective
    return "" if values is None else worth(float(values.mean()), in_seconds=True)


def with_figures(report: GapReport) -> list[GapRow]:
    """The plans that break no rule, best first."""
    return [row for row in report.rows if not row.problem]


def price_columns(report: GapReport) -> list[Column]:
    """One row a constraint: what it costs the whole model."""
    prices = report.prices
    return [
        Column("constraint", [price.name for price in prices], is_text=True),
        Column("rule", [price.rule for price in prices], is_text=True),
        Column("price", [price_text(price.at_least, price.at_most) for price in prices]),
        Column("known from", [price.proven_by for price in prices], is_text=True),
    ]


def scenario_columns(table: ScenarioTable, name_width: int = 0) -> list[Column]:
    """One row a plan, one column a load; those not seen are marked."""
    names = [short_name(name, name_width) if name_width else name for name in table.rows]
    columns = [Column("plan", names, is_text=True)]
    for i, load in enumerate(table.loads):
        is_seen = i < table.num_seen
        # What was not seen says more, so it stays where there is no room for all.
        rank = (i - table.num_seen) % len(table.loads)
        cells = [f"{row[i]:.4f}" for row in table.rows.values()]
        heading = load if is_seen else f"{load} (held out)"
        short = load if is_seen else f"{short_name(load)} (held out)"
        columns.append(Column(heading, cells, rank=rank, short=short))
    return columns


def layer_columns(
    report: GapReport,
    order: Sequence[int],
    layer_ids: Sequence[int] = (),
    *,
    extra: Sequence[Column] = (),
) -> list[Column]:
    """One row a layer, in some order, and one of the whole model.

    Parameters
    ----------
    report
        The report, from `gap_report`.
    order
        Indices of the layers shown.
    layer_ids
        Place of each layer among the model's hidden layers; by default the layer's own index.
    extra
        Columns with a row for each layer, put before the gaps of other plans.
    """
    num_layers = len(report.status)
    hidden = layer_ids or range(num_layers)
    hidden_ids = [hidden[i] for i in order]
    proven = f"{report.status.count('optimal')} optimal"
    return [
        Column(
            "layer",
            [*(str(hidden[i]) for i in order), f"all {num_layers}"],
            name="layer",
            values=[*order, "all"],
        ),
        Column("hidden layer", name="hidden_layer", values=[*hidden_ids, ""], places=NOWHERE),
        _amounts(
            "slowest GPU" if report.in_seconds else "largest GPU load",
            "objective",
            (report.objective, report.in_seconds),
            order,
            rank=2,
        ),
        _amounts("proven bound", "lower_bound", (report.lower_bound, report.in_seconds), order, 3),
        _gaps(report.ours, order, "gap", "eplb-opt", report.noise),
        _facts("status", "status", [report.status[i] for i in order], proven, is_text=True),
        _facts(
            "bound by", "bound_source", [report.bound_source[i] for i in order], "", is_text=True
        ),
        *extra,
        *_other_plans(report, order),
        *(column for price in report.prices for column in _prices(price, order)),
    ]


def _facts(
    heading: str, name: str, values: list[int] | list[str], whole: str, *, is_text: bool = False
) -> Column:
    """What there is no room for on a terminal."""
    raw = [*values, ""]
    cells = [*map(str, values), whole]
    return Column(heading, cells, is_text=is_text, name=name, values=raw, places=ON_PAGE)


def _amounts(
    heading: str, name: str, known: tuple[np.ndarray, bool], order: Sequence[int], rank: int
) -> Column:
    """Figures of the layers, [num_layers], and whether they are seconds."""
    loads, in_seconds = known
    values = [*(loads[i] for i in order), float(loads.sum())]
    cells = [worth(value, in_seconds) for value in values]
    return Column(heading, cells, rank, name=name, values=values)


def _gaps(
    row: GapRow, order: Sequence[int], heading: str, short: str, noise: BatchNoise | None
) -> Column:
    layers = np.full(max(order, default=0) + 1, np.nan) if row.layer_gap is None else row.layer_gap
    values = [*(layers[i] for i in order), row.model_gap]
    cells = [gap_text(value, noise) for value in values] if row.layer_gap is not None else []
    return Column(heading, cells, short=short, name=f"gap {row.name}", values=values)


def _other_plans(report: GapReport, order: Sequence[int]) -> Iterator[Column]:
    """Gaps of plans that are not ours; on a terminal of few of them, and the best heuristic's."""
    room = MAX_PLANS
    for row in report.rows:
        if row.kind == "ours":
            continue
        column = _gaps(row, order, f"gap of {row.name}", short_name(row.name), report.noise)
        places = ON_PAGE if column.cells else NOWHERE
        if column.cells and row.kind == "given" and room:
            places, room = ON_PAGE | ON_TERMINAL, room - 1
        yield replace(column, rank=1, places=places)
    best = [row for row in with_figures(report) if row.kind == "heuristic"]
    if best:
        layers = np.min([row.layer_gap for row in best if row.layer_gap is not None], axis=0)
        whole = min(row.model_gap for row in best)
        cells = [gap_text(value, report.noise) for value in (*layers[list(order)], whole)]
        yield Column("best heuristic", cells, rank=4, places=ON_TERMINAL)


def _prices(price: ConstraintPrice, order: Sequence[int]) -> Iterator[Column]:
    least = [*(price.layers_at_least[i] for i in order), price.at_least]
    most = [*(price.layers_at_most[i] for i in order), price.at_most]
    cells = [price_text(*pair) for pair in zip(least, most, strict=True)]
    yield Column(f"price of {price.name}", cells, short=price.name)
    for side, values in (("at least", least), ("at most", most)):
        name = f"price {price.name} {side}"
        yield Column(name, name=name, values=values, places=NOWHERE)


def gap_text(gap: float, noise: BatchNoise | None) -> str:
    """A gap in percent, with a star where no step shows it."""
    return percent(gap) + (noise.mark(gap) if noise else "")


def short_name(name: str, room: int = 0) -> str:
    """The end of a file's name, with the folders that there is room for: columns are narrow.

    >>> short_name("plans/of/may/old.json"), short_name("plans/of/may/old.json", 16)
    ('old.json', '…/may/old.json')
    >>> short_name("greedy")
    'greedy'
    """
    parts = PurePath(name).parts
    if len(name) <= room or len(parts) < 2:
        return name
    tails = ["/".join(("…", *parts[at:])) for at in range(1, len(parts))]
    return next((tail for tail in tails if len(tail) <= room), parts[-1])
