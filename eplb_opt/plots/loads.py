"""One plan under several loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.plots.axes import BOUND, INCUMBENT, new_axes
from eplb_opt.report.scenarios import scenario_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from matplotlib.axes import Axes

    from eplb_opt.result import Result


def scenarios(
    result: Result, ax: Axes | None = None, *, held_out: Mapping[str, Any] | None = None
) -> Axes:
    """Balancedness of the plan under every load it was made for, and under others.

    Parameters
    ----------
    result
        The result to draw, from `plan`.
    ax
        The axes to draw on; those of a new figure by default.
    held_out
        Name -> [num_layers, num_experts] loads that the plan has not seen.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    ProblemError
        When a load has another shape.
    """
    table = scenario_table(result.problem, {"eplb-opt": result.plan}, held_out or {})
    ax = new_axes(ax)
    values = np.array(table.rows["eplb-opt"])
    is_seen = np.arange(len(values)) < table.num_seen
    for part, colour, hatch, label in (
        (is_seen, INCUMBENT, "", "planned for"),
        (~is_seen, BOUND, "//", "held out"),
    ):
        if part.any():
            at = np.flatnonzero(part)
            bars = ax.bar(at, values[part], label=label, facecolor=colour, edgecolor="white")
            for bar in bars:
                bar.set_hatch(hatch)
            ax.bar_label(bars, fmt="%.3f", fontsize="small")
    ax.set_xticks(range(len(values)), table.loads, rotation=20, ha="right")
    ax.set_ylabel("balancedness, whole model")
    ax.set_ylim(0, 1.08)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax
