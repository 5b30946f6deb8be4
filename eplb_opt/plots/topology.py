"""Load against what is served off home."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.plots.axes import BOUND, DOTTED, INCUMBENT, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eplb_opt.planner.topologies import TopologyReport

#: Colour and marker of each kind of plan.
MARKS = {
    "strict": (DOTTED, "s"),
    "anchored": (PALETTE[2], "^"),
    "priced": (INCUMBENT, "o"),
    "flat": (PALETTE[3], "D"),
}
#: What is away, for an axis and for the title: without senders and with them.
AWAY = {False: ("served off home", "is off home"), True: ("that cross nodes", "crosses nodes")}
#: Points of the line that nothing is proven to lie below.
POINTS = 200


def topology(report: TopologyReport, ax: Axes | None = None) -> Axes:
    """Largest load of every plan against its off-home share, above what is proven possible.

    Where links have costs, or tokens sources, against the mean cost of a link. Where every GPU
    sends to one replica, what is off home is what crosses nodes.

    Parameters
    ----------
    report
        The plans, from `eplb_opt.topologies`.
    ax
        The axes to draw on; those of a new figure by default.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    """
    ax = new_axes(ax)
    part = 1 if report.counts_links else 100
    for kind, (colour, marker) in MARKS.items():
        rows = sorted((row for row in report.rows if row.kind == kind), key=lambda r: r.off_home)
        if not rows:
            continue
        away = [part * row.off_home for row in rows]
        above = [100 * (row.load - 1) for row in rows]
        ax.plot(away, above, color=colour, marker=marker, label=kind)
        if kind == "priced":
            _name_prices(ax, [row.price for row in rows], list(zip(away, above, strict=True)))
    most = max(row.off_home for row in report.rows)
    share = np.linspace(0.0, max(most, 0.01), POINTS)
    proven = 100 * (report.load_bound(share) - 1)
    ax.fill_between(part * share, proven, color=BOUND, alpha=0.25, linewidth=0, label="impossible")
    # The strict plan stands far above the others: powers of ten show both.
    ax.set_yscale("symlog", linthresh=0.1)
    ax.set_ylim(bottom=0)
    is_sent = report.rows[-1].result.problem.splits_by_sender
    where, what = AWAY[is_sent]
    told, what = f"% of assignments {where}", f"what {what}"
    if report.counts_links:
        told, what = "mean cost of an assignment's link", "links"
    ax.set_xlabel(told)
    ax.set_ylabel("% that the largest load is above the mean")
    ax.set_title(f"Load against locality, by price of {what}")
    ax.legend()
    return ax


def _name_prices(ax: Axes, prices: list[float | None], at: list[tuple[float, float]]) -> None:
    """The price beside each mark, in turn above and below: neighbours stand close together.

    Prices whose marks lie on one another, to a hundredth of a percent, have one text.
    """
    names: dict[tuple[float, float], list[str]] = {}
    for price, (away, above) in zip(prices, at, strict=True):
        names.setdefault((round(away, 2), round(above, 2)), []).append(f"{price:g}")
    for i, (point, texts) in enumerate(names.items()):
        offset = (5, 5) if i % 2 else (-5, -14)
        text = ", ".join(texts)
        ax.annotate(text, point, offset, textcoords="offset points", fontsize="small")
