"""Tables and files of a sweep over sizes."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.markup import escape

from eplb_opt.report.step_time import worth
from eplb_opt.report.tables import amount, percent, titled
from eplb_opt.workloads.sizing import TargetStatus

if TYPE_CHECKING:
    from rich.table import Table

    from eplb_opt.workloads.sizing import SizeReport, SizeRow

GIB = 2**30
STYLES = {TargetStatus.MEETS: "green", TargetStatus.CANNOT: "red", TargetStatus.OPEN: "yellow"}
SMALLEST = "bold green"
HELD_OUT = (
    "static: under the size's plan, which was not made for them. re-planned: under one made for "
    "each. Mean and worst of them."
)


def size_table(report: SizeReport) -> Table:
    """Every size with its plan and its bound; the smallest that meets the target stands out."""
    table = titled(f"Sizes for {report.num_layers} layers x {report.num_experts} experts")
    table.caption, table.caption_justify = definitions(report), "left"
    load = "largest load / mean" if report.has_scenarios else "largest GPU load"
    load = "slowest GPUs" if report.in_seconds else load
    columns = ["GPUs", "slots", "a GPU", "redundant", "a GPU holds", load, "proven bound"]
    columns += ["above the fastest"] if report.in_seconds else ["balancedness", "best possible"]
    if len(report.dispatches) > 1:
        columns.insert(0, "dispatch")
    if report.target is not None:
        columns.append(f"{report.target:g}")
    for name in columns:
        table.add_column(name, justify="left" if name == "dispatch" else "right")
    before = None
    for row in report.rows:
        if before not in (None, (row.dispatch, row.size.num_gpus)):
            table.add_section()
        before = (row.dispatch, row.size.num_gpus)
        best = report.fastest if report.in_seconds else report.smallest
        table.add_row(*_cells(row, report), style=SMALLEST if row is best(row.dispatch) else "")
    return table


def _cells(row: SizeRow, report: SizeReport) -> list[str]:
    size = row.size
    cells = [row.dispatch] if len(report.dispatches) > 1 else []
    cells += [str(size.num_gpus), str(size.num_slots), str(size.slots_per_gpu)]
    cells += [str(size.redundant(report.num_experts)), memory_text(row, report)]
    if row.result is None:
        return [*cells, f"[red]{escape(row.problem)}[/red]"]
    if report.in_seconds:
        fastest = report.fastest(row.dispatch)
        above = row.objective / fastest.objective - 1 if fastest and fastest.objective else 0.0
        return [*cells, worth(row.objective, True), worth(row.lower_bound, True), percent(above)]
    as_load = "{:.4f}".format if report.has_scenarios else amount
    cells += [as_load(row.objective), as_load(row.lower_bound)]
    cells += [f"{row.balancedness:.4f}", f"{row.best_possible:.4f}"]
    verdict = row.target_status(report.target)
    if report.target is not None:
        word = "smallest" if row is report.smallest(row.dispatch) else str(verdict)
        cells.append(f"[{STYLES[verdict]}]{word}[/]")
    return cells


def memory_text(row: SizeRow, report: SizeReport) -> str:
    """What a GPU holds of the model's experts, in bytes where their size is known."""
    held = report.memory(row.size)
    return f"{held / GIB:,.1f} GiB" if report.expert_bytes else f"{held:,}"


def definitions(report: SizeReport) -> str:
    """What the columns mean."""
    held = "weights of" if report.expert_bytes else "experts of"
    if report.in_seconds:
        return (
            f"redundant: slots beyond one for each expert. a GPU holds: {held} all layers. slowest "
            "GPUs: their expected time for the experts of a step, summed over the layers."
        )
    return (
        f"redundant: slots beyond one for each expert. a GPU holds: {held} all layers. "
        "balancedness: summed mean GPU loads over summed largest; no plan has more than the best "
        "possible, proven."
    )


def conclusions(report: SizeReport) -> list[str]:
    """Which sizes meet the target, seen and unseen, a sentence each; none without a target.

    With a cost: which size is the fastest.
    """
    if report.in_seconds:
        return [_fastest(report, dispatch) for dispatch in report.dispatches]
    wanted = [] if report.target is None else report.dispatches
    found = [_conclusion(report, dispatch) for dispatch in wanted]
    if report.held_out_names:
        found += [_unseen(report, dispatch) for dispatch in wanted]
    return found


def _unseen(report: SizeReport, dispatch: str) -> str:
    named = f"{dispatch}: " if len(report.dispatches) > 1 else ""
    row = report.smallest_held_out(dispatch)
    if row is None:
        return f"{named}no static plan keeps {report.target:g} on all that is held out."
    return (
        f"{named}a static plan keeps {report.target:g} on all that is held out from "
        f"{row.size.num_slots} slots on {row.size.num_gpus} GPUs."
    )


def _fastest(report: SizeReport, dispatch: str) -> str:
    named = f"{dispatch}: " if len(report.dispatches) > 1 else ""
    row = report.fastest(dispatch)
    if row is None:
        return f"{named}no size has a plan."
    proven = "no other size of the sweep can be faster"
    if not report.is_proven_fastest(row):
        proven = "others may still be faster: their bounds are below it"
    return (
        f"{named}{row.size.num_slots} slots on {row.size.num_gpus} GPUs "
        f"({row.size.redundant(report.num_experts)} redundant experts) are the fastest, with "
        f"{worth(row.objective, True)} a step for the experts of all layers; {proven}."
    )


def _conclusion(report: SizeReport, dispatch: str) -> str:
    named = f"{dispatch}: " if len(report.dispatches) > 1 else ""
    rows = [row for row in report.rows if row.dispatch == dispatch and row.result is not None]
    cannot = sum(row.target_status(report.target) == TargetStatus.CANNOT for row in rows)
    smallest = report.smallest(dispatch)
    if smallest is None:
        return (
            f"{named}no size of the sweep reaches {report.target:g}; {cannot} of {len(rows)} "
            "provably cannot. Look at more slots, or give more time."
        )
    size = smallest.size
    proven = "no smaller one of the sweep can"
    if not report.is_proven_smallest(smallest):
        proven = "smaller ones are open: more time may find a plan"
    return (
        f"{named}{size.num_slots} slots on {size.num_gpus} GPUs reach {report.target:g} "
        f"({size.redundant(report.num_experts)} redundant experts); {proven}."
    )


def held_out_table(report: SizeReport) -> Table:
    """Every size on the workloads that its plan was not made for: mean and worst of them."""
    names = report.held_out_names
    what = names[0] if len(names) == 1 else f"{len(names)} workloads"
    table = titled(f"Balancedness on {what}, held out")
    table.caption, table.caption_justify = HELD_OUT, "left"
    several = len(report.dispatches) > 1
    columns = ["GPUs", "slots", "redundant a GPU", "planned-for", "static", "worst"]
    for name in [*(["dispatch"] * several), *columns, "re-planned", "worst", "best possible"]:
        table.add_column(name, justify="left" if name == "dispatch" else "right")
    before = None
    for row in report.rows:
        if not row.held_out:
            continue
        if before not in (None, (row.dispatch, row.size.num_gpus)):
            table.add_section()
        before = (row.dispatch, row.size.num_gpus)
        static = [score.static for score in row.held_out]
        replanned = [score.replanned for score in row.held_out]
        figures = [row.balancedness, np.mean(static), min(static), np.mean(replanned)]
        figures += [min(replanned), np.mean([score.best_possible for score in row.held_out])]
        table.add_row(
            *([row.dispatch] * several),
            str(row.size.num_gpus),
            str(row.size.num_slots),
            f"{row.size.redundant_per_gpu(report.num_experts):.2f}",
            *(f"{figure:.4f}" for figure in figures),
        )
    return table


def size_json(report: SizeReport) -> dict[str, Any]:
    """A report as a script wants it."""
    return {
        "num_layers": report.num_layers,
        "num_experts": report.num_experts,
        "unit": "seconds" if report.in_seconds else "load",
        "target_balancedness": report.target,
        "smallest": {
            dispatch: None if row is None else _size_json(row, report)
            for dispatch in report.dispatches
            for row in [report.smallest(dispatch)]
        },
        "sizes": [_row_json(row, report) for row in report.rows],
    }


def _size_json(row: SizeRow, report: SizeReport) -> dict[str, Any]:
    return {
        "dispatch": row.dispatch,
        "num_gpus": row.size.num_gpus,
        "num_slots": row.size.num_slots,
        "slots_per_gpu": row.size.slots_per_gpu,
        "num_redundant_experts": row.size.redundant(report.num_experts),
        "redundant_per_gpu": row.size.redundant_per_gpu(report.num_experts),
        "memory_per_gpu": report.memory(row.size),
        "memory_unit": "bytes" if report.expert_bytes else "experts, all layers",
    }


def _row_json(row: SizeRow, report: SizeReport) -> dict[str, Any]:
    status = row.target_status(report.target)
    return {
        **_size_json(row, report),
        "objective": row.objective,
        "lower_bound": row.lower_bound,
        "balancedness": None if row.in_seconds else row.balancedness,
        "best_possible_balancedness": None if row.in_seconds else row.best_possible,
        "verdict": None if status == TargetStatus.NONE else str(status),
        "on_frontier": report.is_pareto_optimal(row),
        "seconds": row.result.elapsed if row.result else None,
        "problem": row.problem,
        "held_out": list(row.held_out),
    }


def size_csv(report: SizeReport) -> str:
    """One line a size, and for each held-out workload two more columns."""
    rows = [_row_json(row, report) for row in report.rows]
    for row in rows:
        for score in row.pop("held_out"):
            row[f"static on {score.name}"] = score.static
            row[f"re-planned on {score.name}"] = score.replanned
    fields = list(dict.fromkeys(name for row in rows for name in row))
    text = StringIO()
    writer = csv.DictWriter(text, fields, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: "" if value is None or value != value else value for name, value in row.items()}
        for row in rows
    )
    return text.getvalue()
