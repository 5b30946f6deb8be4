"""Figures of a result; each takes an optional axes and returns it, and none is shown or saved."""

from __future__ import annotations

import itertools
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import FormatError, MissingDependency
from eplb_opt.io.files import write_atomically
from eplb_opt.replay.report import block_means

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eplb_opt.io.files import PathLike
    from eplb_opt.migration import Frontier
    from eplb_opt.replay import PolicyRun, ReplayReport
    from eplb_opt.result import Result

#: Colours that stay apart for every kind of colour vision, and in print by their lightness.
INCUMBENT, BOUND = "#0072b2", "#d55e00"
#: Dotted, so that a line of another colour shows under it.
DOTTED = "#000000"
PALETTE = (INCUMBENT, BOUND, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", DOTTED)
HEURISTIC = "0.6"
#: Stretches that a line over time is thinned to; more are thinner than a pixel.
MAX_POINTS = 400


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


def replay(report: ReplayReport, ax: Axes | None = None) -> Axes:
    """Held-out balancedness over time: our policies in colours, heuristics in grey.

    Each plan's steps are averaged, or several plans' of a very long recording.

    Parameters
    ----------
    report
        From `eplb_opt.replay.replay`.
    ax
        To draw on; a new figure's by default.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    ValueError
        When no policy has figures.
    """
    runs = [run for run in report.ranked() if not run.problem]
    if not runs:
        raise ValueError("There is nothing to draw: no policy has figures.")
    ax = _axes(ax)
    blocks = -(-report.num_steps // report.every) - 1
    size = report.every * -(-blocks // MAX_POINTS)
    means = {run.name: block_means(run.held_out, size) for run in runs}
    edges = report.every + size * np.arange(len(means[runs[0].name]) + 1)
    edges[-1] = report.num_steps
    _draw_heuristics(ax, [run for run in runs if run.is_heuristic], means, edges)
    # A policy keeps its colour from plot to plot, whichever rank it has.
    names = [run.name for run in report.runs if not run.is_heuristic]
    colours = dict(zip(names, itertools.cycle(PALETTE), strict=False))
    for run in runs:
        if not run.is_heuristic:
            label = f"{run.name} ({run.mean:.3f})"
            line = ax.stairs(means[run.name], edges, baseline=None, linewidth=1.6, label=label)
            line.set_edgecolor(colours[run.name])
            if colours[run.name] == DOTTED:
                line.set_linestyle(":")
    ax.set_xlabel("step")
    ax.set_ylabel("held-out balancedness")
    often = f"re-planned every {report.every} steps" if report.every > 1 else "re-planned each step"
    ax.set_title(f"{report.num_slots} slots on {report.num_gpus} GPUs, {often}")
    # Beside the lines, never over them.
    ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def save(ax: Axes, path: PathLike) -> None:
    """Write the figure of some axes to a file, in the format that its name tells.

    Raises
    ------
    FormatError
        When the format is unknown or the system refuses.
    """
    content, kind = BytesIO(), Path(path).suffix.removeprefix(".") or "png"
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("These axes belong to no figure.")
    try:
        figure.savefig(content, format=kind, dpi=150)
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from error
    write_atomically(path, content.getvalue())


def _draw_heuristics(
    ax: Axes, runs: list[PolicyRun], means: dict[str, np.ndarray], edges: np.ndarray
) -> None:
    """The best of them as a line, all of them as the band that they fill."""
    if not runs:
        return
    best = runs[0]
    if len(runs) > 1:
        every = np.array([means[run.name] for run in runs])
        low, high = every.min(axis=0), every.max(axis=0)
        ax.stairs(
            high,
            edges,
            baseline=low,
            fill=True,
            color=HEURISTIC,
            alpha=0.35,
            linewidth=0,
            label=f"{len(runs)} heuristics, worst to best",
        )
        # Limits are not taken from a baseline by themselves.
        ax.update_datalim(np.column_stack([edges[:-1], low]))
        ax.autoscale_view()
    label = f"{best.name} ({best.mean:.3f})"
    ax.stairs(means[best.name], edges, baseline=None, color="0.35", linestyle="--", label=label)


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
    return Figure(figsize=(8, 4), layout="constrained").add_subplot()
