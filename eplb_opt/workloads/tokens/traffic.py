"""What the plans of a comparison send between nodes, by recorded tokens, and the price of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb_opt.errors import ProblemError
from eplb_opt.problem.topology import equal_nodes
from eplb_opt.workloads.tokens.visits import NodeVisits, visits_of_plans

if TYPE_CHECKING:
    from eplb_opt.io.recordings.recording import Progress
    from eplb_opt.io.recordings.tokens import TokenRecording
    from eplb_opt.planner.topologies import TopologyReport


@dataclass(frozen=True, eq=False)
class TopologyTraffic:
    """What recorded tokens do under each plan of a `TopologyReport`.

    Parameters
    ----------
    visits
        For each row of the report, in its order.
    price
        The price per (exchange time / expert time) that the plans measure, see `measured_price`,
        from the plan that keeps most at home to the flat one; None where the report lacks them, or
        nothing is saved.
    kept, free
        Places of these two rows; None where there is no price.
    """

    visits: tuple[NodeVisits, ...]
    price: float | None
    kept: int | None
    free: int | None


def topology_traffic(
    report: TopologyReport, tokens: TokenRecording, *, progress: Progress | None = None
) -> TopologyTraffic:
    """Measure the plans of a comparison by recorded tokens, in one walk.

    Parameters
    ----------
    report
        Plans from `eplb_opt.topologies`.
    tokens
        A recording of the layers that were planned, from `eplb_opt.io.open_tokens`.
    progress
        Called with the bytes read and the bytes there are.

    Raises
    ------
    PlanError
        When the plans are not of the recording's layers and experts.
    FormatError
        When the recording is damaged.
    """
    rows = report.rows
    problems = [row.result.problem for row in rows]
    # The flat problem has one node; any other row knows them.
    machine = max(problems, key=lambda problem: problem.num_nodes)
    rules = next((p.topology for p in problems if p.topology is not None), None)
    nodes = equal_nodes(machine) if rules is None or rules.nodes is None else rules.nodes
    visits = tuple(visits_of_plans(tokens, [row.result.plan for row in rows], nodes, progress))
    flat = [i for i, row in enumerate(rows) if row.kind == "flat"]
    if not flat or len(rows) < 2:
        return TopologyTraffic(visits, None, None, None)
    free = flat[0]
    kept = min(range(len(rows)), key=lambda i: rows[i].off_home)
    try:
        price = measured_price(
            visits[kept], visits[free], rows[free].off_home - rows[kept].off_home
        )
    except ProblemError:
        return TopologyTraffic(visits, None, None, None)
    return TopologyTraffic(visits, price, kept, free)


def sent_by(kept: NodeVisits, free: NodeVisits) -> tuple[float, float]:
    """To how many nodes a token is sent under two plans, in the mean over the layers.

    Nodes besides its own where the recording says where tokens start; else all nodes. Where tokens
    start on every node equally often, whatever their experts, both have the same ratio.

    Parameters
    ----------
    kept, free
        What tokens do under the plans.
    """
    if kept.remote_nodes is None or free.remote_nodes is None:
        return float(kept.nodes.mean()), float(free.nodes.mean())
    return float(kept.remote_nodes.mean()), float(free.remote_nodes.mean())


def measured_price(kept: NodeVisits, free: NodeVisits, off_home: float) -> float:
    """The price of a topology, per (exchange time / expert time), by what two plans send.

    Let the exchange of a layer take x seconds where experts stand anywhere, in proportion to the
    nodes that tokens are sent to, and its experts t seconds. Keeping `off_home` more of the
    assignments at home saves a part s of x, so the price is s x / (off_home t). This function gives
    s / off_home; `Topology(price=)` wants it times x / t, with x what computation does not hide.

    Parameters
    ----------
    kept
        What tokens do under a plan that keeps much at home.
    free
        What they do under one without nodes.
    off_home
        By how much the second one's off-home share is above the first one's, above 0.

    Returns
    -------
    float
        At least 0.

    Raises
    ------
    ProblemError
        When the first plan does not keep more at home, or tokens are sent nowhere.
    """
    few, most = sent_by(kept, free)
    if not off_home > 0 or not most > 0:
        raise ProblemError(
            f"off_home={off_home:g} and {most:g} nodes a token: there is nothing to be saved."
        )
    return max(0.0, (1.0 - few / most) / off_home)
