"""What measurements say together: performance profiles, and gaps by the time that was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.plots.axes import LINEAR_PERCENT, PALETTE, new_axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

#: Lines that lie on each other show by their dashes; with nine colours no two methods look alike.
DASHES = ("-", "--", ":", "-.")
#: A method that takes no limit is a single point, which has no dashes.
MARKERS = "osD^vPX*hp<>d"


def profile(gaps: Mapping[str, Sequence[float]], ax: Axes | None = None) -> Axes:
    """On what share of the cases each method is within a distance of the best of all.

    Performance profiles are of Dolan and More, "Benchmarking optimization software with performance
    profiles" (2002).

    Parameters
    ----------
    gaps
        By method, one number a case: objective over the best objective, less 1; infinity where
        there is no plan.
    ax
        The axes to draw on; those of a new figure by default.

    Raises
    ------
    ValueError
        Without methods, or without cases.
    MissingDependency
        Without matplotlib.
    """
    if not gaps or not all(len(values) for values in gaps.values()):
        raise ValueError("There are no measurements to draw.")
    ax = new_axes(ax)
    finite = [100 * gap for values in gaps.values() for gap in values if np.isfinite(gap)]
    right = max([*finite, LINEAR_PERCENT]) * 1.5
    for place, (name, values) in enumerate(gaps.items()):
        falling = np.sort([100 * gap for gap in values if np.isfinite(gap)])
        share = 100 * np.arange(1, len(falling) + 1) / len(values)
        ax.step(
            [0, *falling, right],
            [0, *share, share[-1] if len(share) else 0],
            where="post",
            label=name,
            **_look(place),
        )
    ax.set_xscale("symlog", linthresh=LINEAR_PERCENT)
    ax.set_xlim(0, right)
    ax.set_ylim(0, 101)
    ax.set_xlabel("objective above the best of all, percent")
    ax.set_ylabel("share of the cases, percent")
    ax.set_title("Who comes how near to the best")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize="x-small")
    return ax


def anytime(points: Mapping[str, Sequence[tuple[float, float]]], ax: Axes | None = None) -> Axes:
    """What more time brings: each method's gap by the seconds that it was given.

    Parameters
    ----------
    points
        By method, pairs of seconds and gap, by seconds; a method that takes no limit has one.
    ax
        The axes to draw on; those of a new figure by default.

    Raises
    ------
    ValueError
        Without points.
    MissingDependency
        Without matplotlib.
    """
    if not any(points.values()):
        raise ValueError("There are no measurements to draw.")
    ax = new_axes(ax)
    for place, (name, pairs) in enumerate(points.items()):
        seconds, gap = np.array(pairs, dtype=float).reshape(-1, 2).T
        marker = MARKERS[place % len(MARKERS)]
        ax.plot(seconds, 100 * gap, marker=marker, markersize=5, label=name, **_look(place))
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=LINEAR_PERCENT)
    ax.set_ylim(
        0, 150 * max(LINEAR_PERCENT, *(gap for pairs in points.values() for _, gap in pairs))
    )
    ax.set_xlabel("seconds an instance")
    ax.set_ylabel("median gap, percent")
    ax.set_title("What more time brings")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize="x-small")
    return ax


def _look(place: int) -> dict[str, Any]:
    return {
        "color": PALETTE[place % len(PALETTE)],
        "linestyle": DASHES[place % len(DASHES)],
        "alpha": 0.8,
    }
