"""Table, JSON and CSV of strict, anchored, priced and flat plans side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb_opt.report.columns import Column, csv_text, fill
from eplb_opt.report.tables import titled
from eplb_opt.report.words import percent

if TYPE_CHECKING:
    from rich.table import Table

    from eplb_opt.planner.topologies import TopologyReport

DEFINITIONS = (
    "Means over the layers. load: largest over mean GPU load, proven between the bound and it. off "
    "home: share of assignments that replicas off their expert's home node serve, by the uniform "
    "split. objective: load plus price x off home, what was minimised."
)
OF_SEVERAL = "All of them put together over the loads by their weights."
#: Characters of a line where the screen does not tell.
WIDTH = 120


def topology_table(report: TopologyReport, width: int = WIDTH) -> Table:
    """A row for each plan; those that no other beats in load and off home both stand out."""
    problem = report.rows[-1].result.problem
    several = f"{problem.num_scenarios} loads, " if problem.has_scenarios else ""
    table = titled(
        f"Topology: {several}{problem.num_layers} layers x {problem.num_experts} experts, "
        f"{problem.num_slots} slots on {problem.num_gpus} GPUs"
    )
    more = f" {OF_SEVERAL}" if problem.has_scenarios else ""
    table.caption, table.caption_justify = DEFINITIONS + more, "left"
    on_front = on_the_front(report)
    styles = ["bold" if i in on_front else "" for i in range(len(report.rows))]
    fill(table, topology_columns(report), width, styles)
    return table


def on_the_front(report: TopologyReport) -> set[int]:
    """Places of the rows that no other beats in load and off home both."""
    front = {id(row) for row in report.front}
    return {i for i, row in enumerate(report.rows) if id(row) in front}


def topology_columns(report: TopologyReport) -> list[Column]:
    """One row a plan, for a terminal, the page and CSV; shares and gaps of CSV are fractions."""
    rows = report.rows
    return [
        Column("plan", [row.name for row in rows], is_text=True),
        Column(name="kind", values=[row.kind for row in rows], places=frozenset()),
        Column(name="price", values=[_or_empty(row.price) for row in rows], places=frozenset()),
        _figures("load", "load", [row.load for row in rows]),
        Column(
            "off home",
            [f"{100 * row.off_home:.1f} %" for row in rows],
            name="off_home",
            values=[row.off_home for row in rows],
        ),
        _figures("objective", "objective", [row.objective for row in rows]),
        _figures("proven bound", "lower_bound", [row.lower_bound for row in rows]),
        Column("gap", [percent(row.gap) for row in rows], name="gap", values=[r.gap for r in rows]),
    ]


def _figures(heading: str, name: str, values: list[float]) -> Column:
    return Column(heading, [f"{value:.4f}" for value in values], name=name, values=values)


def topology_json(report: TopologyReport) -> dict[str, Any]:
    """The report as a script wants it."""
    on_front = on_the_front(report)
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
                "is_on_front": i in on_front,
                "elapsed_seconds": row.result.elapsed,
                "messages": list(row.result.messages),
            }
            for i, row in enumerate(report.rows)
        ],
        "messages": list(report.messages),
    }


def topology_csv(report: TopologyReport) -> str:
    """A line for each plan; shares and gaps are fractions."""
    return csv_text(topology_columns(report))


def _or_empty(value: Any) -> Any:
    return "" if value is None else value
