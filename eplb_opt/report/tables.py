"""Tables for a terminal, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from eplb_opt.report.gap import model_balancedness

if TYPE_CHECKING:
    from eplb_opt.bench.plans import PlanRow
    from eplb_opt.evaluation import Evaluation
    from eplb_opt.report.gap import GapReport, GapRow
    from eplb_opt.result import Result

#: Layers that a summary shows one by one.
WORST_LAYERS = 5


def percent(fraction: float) -> str:
    """A gap as a person reads it: 0 when it is proven to be, else the digits that matter.

    >>> percent(0.0), percent(0.0123), percent(2.3e-06), percent(1e-12)
    ('0', '1.23 %', '0.00023 %', '< 0.00001 %')
    """
    if np.isnan(fraction):
        return "-"
    if fraction == 0:
        return "0"
    if np.isinf(fraction):
        return "no bound"
    value = 100 * fraction
    if value < 1e-5:
        return "< 0.00001 %"
    return f"{value:.3g} %" if value >= 1e-3 else f"{value:.5f}".rstrip("0") + " %"


def duration(seconds: float | None) -> str:
    """Seconds, or milliseconds below one."""
    if seconds is None:
        return "given"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def amount(load: float) -> str:
    """A load with thousands apart; with decimals below a million, where a gap shows in them."""
    if load >= 1e6:
        return f"{load:,.0f}"
    return f"{load:,.3f}".rstrip("0").rstrip(".")


def titled(title: str) -> Table:
    """An empty table, at least as wide as its title."""
    return Table(title=title, title_justify="left", min_width=len(title))


def result_table(result: Result) -> Table:
    """The whole model and its worst layers."""
    table = titled(f"Plan: {describe(result)}")
    columns = (
        "layer",
        "largest GPU load",
        "proven bound",
        "gap",
        "balancedness",
        "status",
        "bound by",
    )
    for column in columns:
        table.add_column(column, justify="left" if column in ("status", "bound by") else "right")
    objective, lower, gap = result.objective, result.lower_bound, result.gap
    balance = result.balancedness
    worst = np.argsort(-gap, kind="stable")[:WORST_LAYERS]
    for layer_idx in worst.tolist():
        table.add_row(
            str(layer_idx),
            amount(objective[layer_idx]),
            amount(lower[layer_idx]),
            percent(gap[layer_idx]),
            f"{balance[layer_idx]:.4f}",
            result.status[layer_idx],
            result.bound_source[layer_idx],
        )
    table.add_section()
    table.add_row(
        f"all {len(gap)}",
        amount(float(objective.sum())),
        amount(float(lower.sum())),
        percent(result.model_gap),
        f"{model_balancedness(balance, objective):.4f}",
        f"{result.status.count('optimal')} optimal",
        "",
        style="bold",
    )
    return table


def describe(result: Result) -> str:
    """The shape of the problem and how the call ended, in one line."""
    problem = result.problem
    shape = (
        f"{problem.num_layers} layers x {problem.num_experts} experts, {problem.num_slots} slots "
        f"on {problem.num_gpus} GPUs"
    )
    if problem.is_hierarchical:
        shape += f", {problem.num_groups} groups on {problem.num_nodes} nodes"
    return f"{shape}; {result.elapsed:.2f} s, stopped by {result.stop_reason}"


def gap_table(report: GapReport) -> Table:
    """Every plan against the proven bound, best first."""
    table = titled("Gap to the proven bound (whole model; bound = 0)")
    headings = ("plan", "gap", "median", "worst layer", "optimal", "balancedness")
    for heading in (*headings, "nearest copy", "time"):
        table.add_column(heading, justify="left" if heading == "plan" else "right")
    for row in report.rows:
        style = "bold green" if row.name == "eplb-opt" else ""
        table.add_row(*_cells(row, len(report.status)), style=style)
    return table


def _cells(row: GapRow, num_layers: int) -> tuple[str, ...]:
    if row.problem:
        return (row.name, f"[red]{row.problem}[/red]")
    return (
        row.name,
        percent(row.model_gap),
        percent(row.median_gap),
        f"{percent(row.worst_gap)} (layer {row.worst_layer})",
        f"{row.layers_optimal} of {num_layers}",
        f"{row.balancedness:.4f}",
        f"{row.nearest_copy:.4f}",
        duration(row.seconds),
    )


def price_table(report: GapReport) -> Table:
    """What each constraint costs."""
    table = titled("What each constraint costs on the largest GPU load")
    table.add_column("constraint")
    table.add_column("proven price", justify="right")
    for price in report.prices:
        least, most = percent(price.at_least), percent(price.at_most)
        table.add_row(price.constraint, least if least == most else f"{least} to {most}")
    return table


def evaluation_table(score: Evaluation) -> Table:
    """A checked plan's figures: the whole model and its worst layers."""
    table = titled("The plan obeys every rule")
    for heading in ("layer", "largest GPU load", "proven bound", "gap at most", "balancedness"):
        table.add_column(heading, justify="right")
    for layer_idx in np.argsort(-score.gap, kind="stable")[:WORST_LAYERS].tolist():
        table.add_row(
            str(layer_idx),
            amount(score.objective[layer_idx]),
            amount(score.lower_bound[layer_idx]),
            percent(score.gap[layer_idx]),
            f"{score.balancedness[layer_idx]:.4f}",
        )
    table.add_section()
    table.add_row(
        f"all {len(score.gap)}",
        amount(float(score.objective.sum())),
        amount(float(score.lower_bound.sum())),
        percent(score.model_gap),
        f"{model_balancedness(score.balancedness, score.objective):.4f}",
        style="bold",
    )
    return table


def bound_table(result: Result) -> Table:
    """The proven bound of every layer, and the best plan known for comparison."""
    table = titled(f"Bounds: {describe(result)}")
    for heading in ("layer", "proven bound", "best plan found", "gap", "bound by"):
        table.add_column(heading, justify="left" if heading == "bound by" else "right")
    rows = zip(result.lower_bound, result.objective, result.gap, result.bound_source, strict=True)
    for layer_idx, (lower, objective, gap, source) in enumerate(rows):
        table.add_row(str(layer_idx), amount(lower), amount(objective), percent(gap), source)
    table.add_section()
    table.add_row(
        f"all {len(result.gap)}",
        amount(float(result.lower_bound.sum())),
        amount(float(result.objective.sum())),
        percent(result.model_gap),
        f"{result.status.count('optimal')} optimal",
        style="bold",
    )
    return table


def plan_rows_table(rows: list[PlanRow]) -> Table:
    """Planned loads, machines and time limits, a section a call of `plan`."""
    table = titled("Gaps to the proven bound")
    headings = ("limit", "took", "model", "median", "worst", "proven")
    for heading in ("loads", "slots x GPUs", "a GPU", "method", *headings):
        left = heading in ("loads", "method")
        table.add_column(heading, justify="left" if left else "right")
    for row in rows:
        is_ours = row.method == "eplb-opt"
        if is_ours:
            table.add_section()
        gaps = (row.model_gap, row.median_gap, row.worst_gap)
        table.add_row(
            row.loads,
            row.machine,
            str(row.slots_per_gpu),
            row.method,
            f"{row.time_limit:g} s" if row.proven is not None else "",
            duration(row.seconds),
            *(f"{gap:.1e}" for gap in gaps),
            "" if row.proven is None else f"{row.proven} of {row.layers}",
            style="bold green" if is_ours else "",
        )
    return table
