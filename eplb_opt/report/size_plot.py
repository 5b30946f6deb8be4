"""Figures of a sweep over sizes; each takes an optional axes and returns it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from eplb_opt.errors import import_optional
from eplb_opt.workloads.sizing import TargetStatus

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eplb_opt.workloads.sizing import SizeReport, SizeRow

#: Colours that can be told from each other with every kind of colour vision, and in print by their
#: lightness.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DISPATCH_LINES = ("-", "--", ":")
GIB = 2**30
#: The mark of a size; the smallest that meets the target is a star instead.
MARKERS = dict.fromkeys(TargetStatus, "o") | {TargetStatus.CANNOT: "x"}
LEGEND = (
    ("o", "0.4", "meets the target"),
    ("o", "white", "open"),
    ("x", "0.4", "provably misses it"),
)
#: Field of `HeldOut` -> words, line and marker.
KINDS = {"static": ("static", "-", "o"), "replanned": ("re-planned", "--", "s")}


def sizes(report: SizeReport) -> Axes:
    """The frontier, and beside it the held-out workloads where there are any, on one figure."""
    panels = 2 if report.held_out_names else 1
    figure = _figure(panels)
    axes = [figure.add_subplot(1, panels, place + 1) for place in range(panels)]
    if report.held_out_names:
        held_out(report, axes[1])
    return trade_off(report, axes[0])


def trade_off(report: SizeReport, ax: Axes | None = None) -> Axes:
    """Largest GPU load against memory, each size from its proven bound to its plan.

    A line a GPU count goes through the plans; the band reaches down to the bounds, and no plan can
    be below it. Sizes whose plan meets the target are filled, the smallest is a star, and sizes
    that provably miss it are crosses. Loads are drawn over the mean GPU load, 1 is perfect, so
    that GPU counts share an axis; seconds of a step as they are.

    Parameters
    ----------
    report
        The sizes, from `sizing.sweep`.
    ax
        The axes to draw on; those of a new figure by default.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    """
    ax = ax if ax is not None else _figure(1).add_subplot()
    for dispatch in report.dispatches:
        for gpus in report.gpu_counts:
            _draw_sizes(ax, report, dispatch, gpus)
    if report.target is not None:
        for marker, face, words in LEGEND:
            ax.plot([], [], marker, color="0.4", markerfacecolor=face, label=words)
        words = f"balancedness {report.target:g}"
        ax.axhline(1 / report.target, color="0.4", linewidth=0.9, linestyle=":", label=words)
    ax.set_xlabel(f"memory of a GPU, {_unit(report)}")
    if report.expert_bytes is None:
        _whole_ticks(ax)
    ax.set_ylabel(
        "slowest GPUs of all layers, ms a step"
        if report.in_seconds
        else "largest over mean GPU load"
    )
    ax.set_title("Each size between its proven bound and its plan", loc="left")
    ax.legend(frameon=False, fontsize="small")
    return ax


def _draw_sizes(ax: Axes, report: SizeReport, dispatch: str, gpus: int) -> None:
    """One GPU count under one dispatch."""
    rows = report.of(dispatch, gpus)
    if not rows:
        return
    colour = PALETTE[report.gpu_counts.index(gpus) % len(PALETTE)]
    line = DISPATCH_LINES[report.dispatches.index(dispatch) % len(DISPATCH_LINES)]
    memory = [_memory(row, report) for row in rows]
    plans = [_height(row) for row in rows]
    bounds = [1e3 * row.lower_bound if row.in_seconds else 1 / row.best_possible for row in rows]
    label = f"{gpus} GPUs" + (f", {dispatch} dispatch" if len(report.dispatches) > 1 else "")
    ax.plot(memory, plans, color=colour, linestyle=line, label=label)
    ax.fill_between(memory, bounds, plans, color=colour, alpha=0.18, linewidth=0)
    for row, x in zip(rows, memory, strict=True):
        _mark(ax, report, row, x, colour)


def held_out(report: SizeReport, ax: Axes | None = None) -> Axes:
    """What one more slot a GPU buys on workloads that the plan was not made for.

    Parameters
    ----------
    report
        The sizes, from `sizing.sweep` with held-out loads.
    ax
        The axes to draw on; those of a new figure by default.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    ValueError
        For a report without held-out workloads.
    """
    if not report.held_out_names:
        raise ValueError("There is nothing to draw: the sweep had no held-out workloads.")
    ax = ax if ax is not None else _figure(1).add_subplot()
    keys = [(gpus, dispatch) for gpus in report.gpu_counts for dispatch in report.dispatches]
    for place, (gpus, dispatch) in enumerate(keys):
        rows = [row for row in report.of(dispatch, gpus) if row.held_out]
        colour = PALETTE[place % len(PALETTE)]
        extra = [row.size.redundant_per_gpu(report.num_experts) for row in rows]
        name = _name(report, dispatch, gpus)
        for kind, (words, line, marker) in KINDS.items():
            values = np.array([[getattr(score, kind) for score in row.held_out] for row in rows])
            mean = values.mean(axis=1)
            ax.plot(extra, mean, line, color=colour, marker=marker, ms=4, label=f"{name}{words}")
            if kind == "static":
                low, high = values.min(axis=1), values.max(axis=1)
                ax.fill_between(extra, low, high, color=colour, alpha=0.15, linewidth=0)
    ax.set_xlabel("redundant slots a GPU")
    _whole_ticks(ax)
    ax.set_ylabel("balancedness on held-out workloads")
    ax.set_title("What one more slot buys; band: worst to best workload", loc="left")
    ax.legend(frameon=False, fontsize="small")
    return ax


def _name(report: SizeReport, dispatch: str, gpus: int) -> str:
    parts = [f"{gpus} GPUs"] if len(report.gpu_counts) > 1 else []
    parts += [f"{dispatch} dispatch"] if len(report.dispatches) > 1 else []
    return "".join(f"{part}, " for part in parts)


def _mark(ax: Axes, report: SizeReport, row: SizeRow, x: float, colour: str) -> None:
    verdict, y = row.target_status(report.target), _height(row)
    best = report.fastest if report.in_seconds else report.smallest
    is_smallest = row is best(row.dispatch)
    marker = "*" if is_smallest else MARKERS[verdict]
    face = "white" if verdict == TargetStatus.OPEN else colour
    look: dict[str, Any] = {
        "color": colour,
        "markerfacecolor": face,
        "markersize": 6.0,
        "zorder": 3.0,
    }
    if is_smallest:
        size = row.size
        look |= {"markersize": 15.0, "zorder": 4.0, "markeredgecolor": "white", "linestyle": "none"}
        several = len(report.dispatches) > 1
        word = "fastest" if report.in_seconds else "smallest"
        name = f"{word}, {row.dispatch}" if several else word
        look["label"] = f"{name}: {size.num_slots} slots on {size.num_gpus} GPUs"
    ax.plot([x], [y], marker, **look)


def _height(row: SizeRow) -> float:
    """Where a plan is drawn: milliseconds of a step, or its largest over mean GPU load."""
    return 1e3 * row.objective if row.in_seconds else 1 / row.balancedness


def _memory(row: SizeRow, report: SizeReport) -> float:
    held = report.memory(row.size)
    return held / GIB if report.expert_bytes else held / report.num_layers


def _unit(report: SizeReport) -> str:
    return "GiB of experts" if report.expert_bytes else "slots a layer"


def _whole_ticks(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _figure(columns: int) -> Figure:
    figure = import_optional("matplotlib.figure", "plots")
    # A figure of its own, not pyplot's: nothing global is touched, no display is asked for.
    return cast("Figure", figure.Figure(figsize=(7 * columns, 4.5), layout="constrained"))
