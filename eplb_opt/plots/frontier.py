"""What moving slots buys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.plots.axes import INCUMBENT, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eplb_opt.migration import Frontier


def pareto(frontier: Frontier, ax: Axes | None = None) -> Axes:
    """What moving slots buys: the least sum of the layers' objectives by slots moved.

    Drawn as the distance from the best plan found, in percent of it.

    Parameters
    ----------
    frontier
        The frontier of the model, from `eplb_opt.frontier`.
    ax
        The axes to draw on; those of a new figure by default.

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
    ax = new_axes(ax)
    above = 100 * (frontier.objective / best - 1)
    ax.step(frontier.moves, above, where="post", color=INCUMBENT, label="least found")
    ax.set_xlabel("slots moved, all layers")
    ax.set_ylabel("% above the best plan found")
    ax.set_title(f"{len(frontier.layers)} layers, {frontier.current.num_slots} slots each")
    return ax
