"""What changes with time: a call that closes its gap, and a recording replayed."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.plots.axes import BOUND, DOTTED, HEURISTIC, INCUMBENT, PALETTE, new_axes
from eplb_opt.workloads.replay.report import block_means

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eplb_opt.result import Result
    from eplb_opt.workloads.replay import PolicyRun, ReplayReport

#: Stretches that a line over time is thinned to; more are thinner than a pixel.
MAX_POINTS = 400
#: What a title adds.
DISPATCH_TITLES = {"optimal": ", optimal dispatch"}


def history(result: Result, ax: Axes | None = None) -> Axes:
    """Incumbent and proven bound of the whole model over time, closing on each other.

    Both are drawn as the distance from the last bound, in percent of it.

    Parameters
    ----------
    result
        The result to draw, from `plan`, with at least one point of history.
    ax
        The axes to draw on; those of a new figure by default.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    ValueError
        For a result without history or without load.
    """
    if not result.history or result.history[-1].lower_bound <= 0:
        raise ValueError("There is no history of bounds to draw: the plan has none, or no load.")
    ax = new_axes(ax)
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
        The report, from `eplb_opt.workloads.replay.replay`.
    ax
        The axes to draw on; those of a new figure by default.

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
    ax = new_axes(ax)
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
    often += DISPATCH_TITLES.get(report.dispatch, "")
    ax.set_title(f"{report.num_slots} slots on {report.num_gpus} GPUs, {often}")
    # Beside the lines, never over them.
    ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


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
