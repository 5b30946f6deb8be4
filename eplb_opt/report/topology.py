"""Table, JSON and CSV of strict, anchored, priced and flat plans side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb_opt.report.columns import Column, csv_text, fill
from eplb_opt.report.tables import titled
from eplb_opt.report.words import DISPATCH_WORDS, percent

if TYPE_CHECKING:
    from rich.table import Table

    from eplb_opt.planner.topologies import TopologyReport
    from eplb_opt.workloads.tokens.traffic import TopologyTraffic

DEFINITIONS = (
    "Means over the layers. load: largest over mean GPU load, proven between the bound and it. off "
    "home: share of assignments that replicas off their expert's home node serve, by the uniform "
    "split. objective: load plus price x off home, what was minimised."
)
#: The same where links have costs, or tokens sources.
OF_LINKS = (
    "Means over the layers. load: largest over mean GPU load, proven between the bound and it. "
    "link cost: mean over all assignments, by the uniform split. objective: load plus price x link "
    "cost, what was minimised."
)
#: The same where every GPU sends an expert's tokens to one replica.
SENT_DEFINITIONS = (
    "Means over the layers, by {dispatch}. load: largest over mean GPU load, proven between the "
    "bound and it. crossing: share of assignments that are served on another node than they come "
    "from. objective: load plus price x crossing, what was minimised."
)
TOKEN_DEFINITIONS = (
    " By the recorded tokens, expected under the uniform split: nodes, GPUs: distinct ones that a "
    "token visits. other nodes: besides the one that it starts on. crossing: share of assignments "
    "that are served on another node than their token starts on. price x/t: what a share off home "
    "adds, from the row that keeps most at home. time: load plus the exchange."
)
OF_SEVERAL = "All of them put together over the loads by their weights."
#: Characters of a line where the screen does not tell.
WIDTH = 120
#: Which of these go first where there is no room.
RANKS = {"gpus": 3, "nodes": 2, "crossing": 1}
#: Heading and field of what recorded tokens do.
TOKEN_FIGURES = (
    ("nodes", "nodes"),
    ("GPUs", "gpus"),
    ("other nodes", "remote_nodes"),
    ("crossing", "crossing"),
)


def topology_table(
    report: TopologyReport,
    width: int = WIDTH,
    traffic: TopologyTraffic | None = None,
    exchange: float | None = None,
) -> Table:
    """A row for each plan; those that no other beats in load and off home both stand out."""
    problem = report.rows[-1].result.problem
    several = f"{problem.num_scenarios} loads, " if problem.has_scenarios else ""
    table = titled(
        f"Topology: {several}{problem.num_layers} layers x {problem.num_experts} experts, "
        f"{problem.num_slots} slots on {problem.num_gpus} GPUs"
    )
    sent = SENT_DEFINITIONS.format(dispatch=DISPATCH_WORDS[problem.dispatch])
    table.caption = sent if problem.splits_by_sender else DEFINITIONS
    if report.counts_links:
        table.caption = OF_LINKS
    table.caption_justify = "left"
    if problem.has_scenarios:
        table.caption += f" {OF_SEVERAL}"
    if traffic is not None:
        table.caption += TOKEN_DEFINITIONS
    on_front = on_the_front(report)
    styles = ["bold" if i in on_front else "" for i in range(len(report.rows))]
    fill(table, topology_columns(report, traffic, exchange), width, styles)
    return table


def on_the_front(report: TopologyReport) -> set[int]:
    """Places of the rows that no other beats in load and off home both."""
    front = {id(row) for row in report.front}
    return {i for i, row in enumerate(report.rows) if id(row) in front}


def topology_columns(
    report: TopologyReport,
    traffic: TopologyTraffic | None = None,
    exchange: float | None = None,
) -> list[Column]:
    """One row a plan, for a terminal, the page and CSV; shares and gaps of CSV are fractions."""
    rows, has_links = report.rows, report.counts_links
    is_sent = rows[-1].result.problem.splits_by_sender
    away = "crossing" if is_sent else "off home"
    columns = [
        Column("plan", [row.name for row in rows], is_text=True),
        Column(name="kind", values=[row.kind for row in rows], places=frozenset()),
        Column(name="price", values=[_or_empty(row.price) for row in rows], places=frozenset()),
        _figures("load", "load", [row.load for row in rows]),
        Column(
            "link cost" if has_links else away,
            [f"{row.off_home:.4f}" if has_links else f"{100 * row.off_home:.1f} %" for row in rows],
            name="off_home",
            values=[row.off_home for row in rows],
        ),
        _figures("objective", "objective", [row.objective for row in rows]),
        _figures("proven bound", "lower_bound", [row.lower_bound for row in rows]),
        Column("gap", [percent(row.gap) for row in rows], name="gap", values=[r.gap for r in rows]),
    ]
    return columns if traffic is None else columns + _token_columns(report, traffic, exchange)


def _token_columns(
    report: TopologyReport, traffic: TopologyTraffic, exchange: float | None
) -> list[Column]:
    """What recorded tokens do under each plan; what the recording does not tell is left out."""
    columns = []
    for heading, name in TOKEN_FIGURES:
        found = [getattr(visits, name) for visits in traffic.visits]
        if found[0] is None:
            continue
        values = [float(value.mean()) for value in found]
        shown = [f"{100 * v:.1f} %" if name == "crossing" else f"{v:.3f}" for v in values]
        columns.append(Column(heading, shown, rank=RANKS.get(name, 0), name=name, values=values))
    shown = ["" if price is None else f"{price:.2f}" for price in traffic.prices]
    prices = [_or_empty(price) for price in traffic.prices]
    columns.append(Column("price x/t", shown, name="price_of_exchange", values=prices))
    times = [] if exchange is None else traffic.times([row.load for row in report.rows], exchange)
    if times:
        columns.append(Column("time", [f"{t:.4f}" for t in times], name="time", values=times))
    return columns


def price_words(report: TopologyReport, traffic: TopologyTraffic) -> tuple[str, ...]:
    """What the recorded tokens say of the price."""
    if traffic.free is None or traffic.prices[traffic.free] is None:
        return ()
    kept, free = report.rows[traffic.kept], report.rows[traffic.free]
    few, most = traffic.sent[traffic.kept], traffic.sent[traffic.free]
    is_other = all(visits.remote_nodes is not None for visits in traffic.visits)
    return (
        f"By these tokens the price of the whole way is {traffic.prices[traffic.free]:.3g} x / t, "
        "if a layer's exchange takes x (experts anywhere, not hidden) and its experts t: "
        f"{kept.name} sends a token to {few:.2f} {'other ' if is_other else ''}nodes, {free.name} "
        f"to {most:.2f}, with {100 * (free.off_home - kept.off_home):.0f} % of the assignments "
        "more off home. The first percents off home cost more: see the rows near home.",
    )


def _figures(heading: str, name: str, values: list[float]) -> Column:
    return Column(heading, [f"{value:.4f}" for value in values], name=name, values=values)


def topology_json(
    report: TopologyReport,
    traffic: TopologyTraffic | None = None,
    exchange: float | None = None,
) -> dict[str, Any]:
    """The report as a script wants it."""
    on_front = on_the_front(report)
    document: dict[str, Any] = {
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
    if traffic is not None:
        for column in _token_columns(report, traffic, exchange):
            for row, value in zip(document["rows"], column.values, strict=True):
                row[column.name] = None if value == "" else value
    return document


def near_home_json(report: TopologyReport, within: float | None) -> dict[str, Any]:
    """How little is off home with loads close to the best; nothing where nobody asked."""
    if within is None:
        return {}
    found = report.near_home(within)
    return {
        "near_home": {
            "tolerance": within,
            "physical_to_logical": found.plan.physical_to_logical,
            "load": found.load,
            "off_home": found.off_home,
            "off_home_bound": found.off_home_bound,
        }
    }


def near_home_words(report: TopologyReport, within: float) -> str:
    """The same as a sentence."""
    found = report.near_home(within)
    is_sent = report.rows[-1].result.problem.splits_by_sender
    return (
        f"With each layer's load at most {100 * within:g} % above the best one found, the plans "
        f"above have {100 * found.off_home.mean():.1f} % {'crossing' if is_sent else 'off home'} "
        f"at a load of {found.load.mean():.4f}; no plan has less than "
        f"{100 * found.off_home_bound.mean():.1f} %."
    )


def topology_csv(
    report: TopologyReport,
    traffic: TopologyTraffic | None = None,
    exchange: float | None = None,
) -> str:
    """A line for each plan; shares and gaps are fractions."""
    return csv_text(topology_columns(report, traffic, exchange))


def _or_empty(value: Any) -> Any:
    return "" if value is None else value
