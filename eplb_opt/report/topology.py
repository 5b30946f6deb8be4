"""Table, JSON and CSV of strict, anchored, priced and flat plans side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb_opt.report.columns import Column, csv_text
from eplb_opt.report.tables import titled
from eplb_opt.report.words import percent

if TYPE_CHECKING:
    from rich.table import Table

    from eplb_opt.planner.topologies import TopologyReport, TopologyRow

DEFINITIONS = (
    "Means over the layers. load: largest over mean GPU load, proven between the bound and it. off "
    "home: share of assignments that replicas off their expert's home node serve, by the uniform "
    "split. objective: load plus price x off home, what was minimised."
)
HEADINGS = ("plan", "load", "off home", "objective", "proven bound", "gap")


def topology_table(report: TopologyReport) -> Table:
    """A row for each plan; those that no other beats in load and off home both stand out."""
    problem = report.rows[-1].result.problem
    table = titled(
        f"Topology: {problem.num_layers} layers x {problem.num_experts} experts, "
        f"{problem.num_slots} slots on {problem.num_gpus} GPUs"
    )
    table.caption, table.caption_justify = DEFINITIONS, "left"
    for name in HEADINGS:
        table.add_column(name, justify="left" if name == "plan" else "right")
    front = {id(row) for row in report.front}
    for row in report.rows:
        table.add_row(*_cells(row), style="bold" if id(row) in front else "")
    return table


def _cells(row: TopologyRow) -> list[str]:
    figures = (row.objective, row.lower_bound)
    return [
        row.name,
        f"{row.load:.4f}",
        f"{100 * row.off_home:.1f} %",
        *(f"{value:.4f}" for value in figures),
        percent(row.gap),
    ]


def topology_json(report: TopologyReport) -> dict[str, Any]:
    """The report as a script wants it."""
    front = {id(row) for row in report.front}
    return {
        "rows": [
            {
                "kind": row.kind,
                "price": row.price,
                "load": row.load,
                "off_home": row.off_home,
                "objective": row.objective,
                "lower_bound": row.lower_bound,
                "gap": row.gap,
                "is_on_front": id(row) in front,
                "elapsed_seconds": row.result.elapsed,
                "messages": list(row.result.messages),
            }
            for row in report.rows
        ],
        "messages": list(report.messages),
    }


def topology_csv(report: TopologyReport) -> str:
    """A line for each plan; shares and gaps are fractions."""
    names = ("kind", "price", "load", "off_home", "objective", "lower_bound", "gap")
    columns = [
        Column(name, name=name, values=[_or_empty(getattr(row, name)) for row in report.rows])
        for name in names
    ]
    return csv_text(columns)


def _or_empty(value: Any) -> Any:
    return "" if value is None else value
