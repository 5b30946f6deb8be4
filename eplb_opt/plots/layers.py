"""A figure a layer: gaps of plans, and slots moved."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.planner.evaluate import evaluate
from eplb_opt.plots.axes import INCUMBENT, LINEAR_PERCENT, PALETTE, new_axes
from eplb_opt.report.gap import proven_bounds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from matplotlib.axes import Axes

    from eplb_opt.result import Result

#: Lines of the same colour differ in these styles.
MARKERS = "os^vDPX*"


def gaps(result: Result, ax: Axes | None = None, *, plans: Mapping[str, Any] | None = None) -> Axes:
    """Gap of every layer to its proven bound, for our plan and any others.

    In percent, on a logarithmic scale that has a 0.

    Parameters
    ----------
    result
        The result, from `plan`; all plans are compared with its bounds.
    ax
        The axes to draw on; those of a new figure by default.
    plans
        Name -> a Plan or [num_layers, num_slots] ids.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    PlanError
        When a plan breaks a rule of the problem.
    """
    ax = new_axes(ax)
    bounds = proven_bounds(result)
    lines = {"eplb-opt": result.gap} | {
        name: evaluate(result.problem, plan, bounds).gap for name, plan in (plans or {}).items()
    }
    layer_idx = np.arange(len(result.gap))
    style = zip(itertools.cycle(PALETTE), itertools.cycle(MARKERS), strict=False)
    for (name, gap), (colour, marker) in zip(lines.items(), style, strict=False):
        ax.plot(layer_idx, 100 * gap, color=colour, marker=marker, markersize=3.5, label=name)
    ax.set_yscale("symlog", linthresh=LINEAR_PERCENT)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("layer")
    ax.set_ylabel("% above the proven bound")
    ax.set_title(f"{len(layer_idx)} layers, gap of ours {100 * result.model_gap:.2g} %")
    ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def moves(result: Result, ax: Axes | None = None) -> Axes:
    """Slots of every layer whose expert is new on its GPU.

    Parameters
    ----------
    result
        The result of a call with a plan in force, `plan(..., current=...)`.
    ax
        The axes to draw on; those of a new figure by default.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    ValueError
        For a result that was planned without a plan in force.
    """
    if result.moves is None:
        raise ValueError("There are no moves to draw: plan with current=, the plan in force.")
    ax = new_axes(ax)
    ax.bar(np.arange(len(result.moves)), result.moves, color=INCUMBENT)
    ax.set_xlabel("layer")
    ax.set_ylabel("slots moved")
    slots = result.problem.num_slots * len(result.moves)
    ax.set_title(f"{int(result.moves.sum()):,} of {slots:,} slots hold another expert than before")
    return ax
