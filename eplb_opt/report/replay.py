"""Tables of a replay."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from rich.markup import escape

from eplb_opt.report.tables import titled
from eplb_opt.report.words import DISPATCH_WORDS, duration, percent
from eplb_opt.workloads.replay.report import lowest, mean_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from eplb_opt.placement.move_cost import MoveCost
    from eplb_opt.workloads.replay import Choice, PolicyRun, ReplayReport

GIB, MIB = 2**30, 2**20
DEFINITION = (
    "balancedness of a step: mean GPU load, summed over the layers, over the largest, summed "
    "likewise; 'on slots' the same for single slots. planned-for: on the loads a plan was made "
    "from. moves: slots whose expert is new on its GPU."
)


def replay_table(report: ReplayReport, notes: Sequence[str] = ()) -> Table:
    """Every policy and heuristic, best held-out mean first.

    Parameters
    ----------
    report
        The replay.
    notes
        Further sentences below the table.
    """
    title = (
        f"Balancedness on the steps that follow: {report.num_steps - report.every} of "
        f"{report.num_steps} steps, re-planned every {report.every}"
    )
    if report.dispatch:
        title += f", {DISPATCH_WORDS[report.dispatch]}"
    table = titled(title)
    lines = [DEFINITION]
    if report.move_cost is not None:
        lines += about_net(report.move_cost, {"": report})
    lines += notes
    table.caption, table.caption_justify = "\n".join(lines), "left"
    headings = [
        "policy",
        "held-out",
        "worst step",
        "on slots",
        "planned-for",
        "plans",
        "moves a plan",
    ]
    if report.expert_bytes is not None:
        headings.append("moved")
    headings.append("a plan takes")
    if report.move_cost is not None:
        headings.append("net")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for run in report.ranked():
        table.add_row(*_cells(run, report), style="" if run.is_heuristic else "bold green")
    return table


def _cells(run: PolicyRun, report: ReplayReport) -> list[str]:
    if run.problem:
        return [escape(run.name), f"[red]{escape(run.problem)}[/red]"]
    cells = [
        escape(run.name),
        f"{run.mean:.4f}",
        f"{lowest(run.held_out):.4f}",
        f"{mean_of(run.held_out_slots):.4f}",
        f"{mean_of(run.seen):.4f}",
        str(len(run.moves)),
        _moves(run, report),
    ]
    if report.expert_bytes is not None:
        cells.append(f"{_gib(int(run.moves.sum()) * report.expert_bytes)} GiB")
    cells.append(duration(float(np.median(run.seconds))))
    if report.move_cost is not None:
        cells.append("" if run.net is None else _net(run.net.total))
    return cells


def _gib(num_bytes: int) -> str:
    gib = num_bytes / GIB
    return f"{gib:,.0f}" if gib >= 100 else f"{gib:.3g}"


def _net(seconds: float) -> str:
    text = f"{seconds:+.3g} s"
    return f"[red]{text}[/red]" if seconds < 0 else text


def about_net(cost: MoveCost, reports: Mapping[str, ReplayReport]) -> list[str]:
    """What a net is, and with whom re-planning loses time.

    Parameters
    ----------
    cost
        What moving costs.
    reports
        Replays by the name of their loads; "" where there is one alone.
    """
    lines = [
        "net: seconds saved against the drop-ins' first plan, never changed, less those for moving "
        f"and planning; {cost.expert_bytes / MIB:.3g} MiB an expert at {cost.bandwidth / 1e9:.3g} "
        f"GB/s, steps of {duration(cost.step_seconds)} of which {percent(cost.moe_share)} grow "
        f"with the fullest GPU, {cost.steps_until_next} steps between two re-plans."
    ]
    for name, report in reports.items():
        lost = [f"{run.name} ({-run.net.total:.3g} s)" for run in report.losing if run.net]
        if lost:
            lines.append(f"{name or 'Here'}: re-planning loses time with {', '.join(lost)}.")
    return lines


def _moves(run: PolicyRun, report: ReplayReport) -> str:
    """Moved slots a re-plan, the first plan aside, and their share of all."""
    if len(run.moves) < 2:
        return "0"
    each = run.moves[1:].mean()
    return f"{each:.0f} ({100 * each / (report.num_layers * report.num_slots):.0f} %)"


def net_table(name: str, report: ReplayReport) -> Table:
    """What re-planning cost and brought on one series of loads, the best net first."""
    windows = len(report.runs[0].moves) if report.runs else 0
    table = titled(f"{name}: {report.num_slots} slots on {report.num_gpus} GPUs, {windows} plans")
    headings = ("policy", "held-out", "moves a plan", "moved", "a plan takes", "net")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for run in sorted(report.ranked(), key=lambda run: -run.net.total if run.net else math.inf):
        name, held_out, _, _, _, _, *rest = [*_cells(run, report), *[""] * len(headings)]
        cells = [name, held_out, *rest[: len(headings) - 2]]
        table.add_row(*cells, style="" if run.is_heuristic else "bold green")
    return table


def choice_table(choice: Choice) -> Table:
    """Every method of representing the past, best held-out mean first."""
    table = titled(f"What to plan for: {choice.name}")
    for heading in ("method", "held-out", "planned-for"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for run in choice.report.ranked():
        table.add_row(run.name, f"{run.mean:.4f}", f"{mean_of(run.seen):.4f}")
    table.add_section()
    table.add_row("the leader so far", f"{choice.held_out:.4f}", "")
    return table
