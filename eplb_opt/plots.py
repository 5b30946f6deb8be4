"""Figures of a result; each takes an optional axes and returns it, and none is shown or saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import MissingDependency

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eplb_opt.migration import Frontier
    from eplb_opt.result import Result

#: Colours that stay apart for every kind of colour vision, and in print by their lightness.
INCUMBENT, BOUND = "#0072b2", "#d55e00"


def history(result: Result, ax: Axes | None = None) -> Axes:
    """Incumbent and proven bound of the whole model over time, closing on each other.

    Both are drawn as the distance from the last bound, in percent of it.

    Parameters
    ----------
    result
        From `plan`, with at least one point of history.
    ax
        To draw on; a new figure's by default.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    ValueError
        For a result without history or without load.
    """
    if not result.history or result.history[-1].lower_bound <= 0:
        raise ValueError("There is no history of bounds to draw: the plan has none, or no load.")
    ax = _axes(ax)
    seconds = np.array([point.seconds for point in result.history])
    objective = np.array([point.objective for point in result.history])
    lower = np.array([point.lower_bound for point in result.history])
    best = lower[-1]
    upper_line, lower_line = 100 * (objective / best - 1), 100 * (lower / best - 1)
    ax.step(seconds, upper_line, where="post", color=INCUMBENT, label="best plan")
    ax.step(seconds, lower_line, where="post", color=BOUND, linestyle="--", label="proven bound")
    ax.fill_between(seconds, lower_line, upper_line, step="post", color=INCUMBENT, alpha=0.12)
    ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    ax.set_xlabel("seconds since the call")
    ax.set_ylabel("% above the last proven bound")
    ax.set_title(f"{result.problem.num_layers} layers, gap {100 * result.model_gap:.2g} %")
    ax.legend(frameon=False)
    return ax


def pareto(frontier: Frontier, ax: Axes | None = None) -> Axes:
    """What moving slots buys: the least sum of the layers' objectives by slots moved.

    Drawn as the distance from the best plan found, in percent of it.

    Parameters
    ----------
    frontier
        From `frontier`.
    ax
        To draw on; a new figure's by default.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    ValueError
        For a problem without load.
    """
    best = frontier.objective[-1]
    if best <= 0:
        raise ValueError("There is nothing to draw: the layers have no load.")
    ax = _axes(ax)
    above = 100 * (frontier.objective / best - 1)
    ax.step(frontier.moves, above, where="post", color=INCUMBENT, label="least found")
    ax.set_xlabel("slots moved, all layers")
    ax.set_ylabel("% above the best plan found")
    ax.set_title(f"{len(frontier.layers)} layers, {frontier.current.num_slots} slots each")
    return ax


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency("matplotlib", "plots") from error
    # A figure of its own, not pyplot's: nothing global is touched, no display is asked for.
    return Figure(figsize=(7, 4), layout="constrained").add_subplot()
