"""What the plans of a comparison send between nodes, by recorded tokens, and the price of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb_opt.errors import ProblemError
from eplb_opt.problem.topology import equal_nodes
from eplb_opt.workloads.tokens.visits import NodeVisits, visits_of_plans

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    sent
        For each row, to how many nodes a token is sent, in the mean over the layers: besides its
        own, where the recording says where tokens start; else all.
    prices
        For each row, the price per (exchange time / expert time) that its traffic measures on the
        way from the plan that keeps most at home, see `measured_price`. None for that plan itself,
        where a row keeps as much at home, and where the price is on links or sources. The way saves
        less and less: what is off home first adds nodes, and what is off home later meets nodes
        that the token visits anyway. So near home the price is higher than that of the whole way,
        to the flat plan.
    kept, free
        Places of the row that keeps most at home and of the flat one; None without such.
    """

    visits: tuple[NodeVisits, ...]
    sent: tuple[float, ...]
    prices: tuple[float | None, ...]
    kept: int
    free: int | None

    def times(self, loads: Sequence[float], exchange: float) -> list[float]:
        """Time of each row's layers, in that of the experts at a mean load.

        Parameters
        ----------
        loads
            The largest over the mean GPU load of each row.
        exchange
            Time of a layer's exchange where experts stand anywhere, as far as it is not hidden,
            over that of its experts.

        Returns
        -------
        list of float
            The load, plus `exchange` in proportion to the nodes that tokens are sent to; empty
            without a flat plan.
        """
        if self.free is None:
            return []
        most = self.sent[self.free]
        return [load + exchange * sent / most for load, sent in zip(loads, self.sent, strict=True)]


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
    kept = min(range(len(rows)), key=lambda i: rows[i].off_home)
    free = next((i for i, row in enumerate(rows) if row.kind == "flat"), None)
    # A price is on what is off home; where links have costs or tokens sources it is on these.
    has_homes = rules is None or rules.counts_off_home
    prices: list[float | None] = []
    for row, found in zip(rows, visits, strict=True):
        away = row.off_home - rows[kept].off_home
        whole = None if free is None else visits[free]
        is_told = has_homes and whole is not None and away > 0
        prices.append(measured_price(visits[kept], found, away, whole) if is_told else None)
    return TopologyTraffic(visits, tuple(sent_by(*visits)), tuple(prices), kept, free)


def sent_by(*visits: NodeVisits) -> list[float]:
    """To how many nodes a token is sent under each plan, in the mean over the layers.

    Nodes besides its own where the recording says where tokens start; else all nodes. Where tokens
    start on every node equally often, whatever their experts, the ratios are the same.

    Parameters
    ----------
    *visits
        What tokens do under the plans.
    """
    others = [each.remote_nodes for each in visits if each.remote_nodes is not None]
    nodes = others if len(others) == len(visits) else [each.nodes for each in visits]
    return [float(each.mean()) for each in nodes]


def measured_price(
    kept: NodeVisits, free: NodeVisits, off_home: float, whole: NodeVisits | None = None
) -> float:
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
        What they do under one that keeps less there.
    off_home
        By how much the second one's off-home share is above the first one's, above 0.
    whole
        What they do where experts stand anywhere, if that is another plan than the second one.

    Returns
    -------
    float
        At least 0.

    Raises
    ------
    ProblemError
        When the first plan does not keep more at home, or tokens are sent nowhere.
    """
    few, many, most = sent_by(kept, free, free if whole is None else whole)
    if not off_home > 0 or not most > 0:
        raise ProblemError(
            f"off_home={off_home:g} and {most:g} nodes a token: there is nothing to be saved."
        )
    return max(0.0, (many - few) / most / off_home)
