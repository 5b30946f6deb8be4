"""Maps of layers: GPU loads, and replicas of the hottest experts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.scoring import replica_counts as counts_of
from eplb_opt.plots.axes import SHADES, new_axes
from eplb_opt.report.figures import gpu_ratios, hottest_experts

if TYPE_CHECKING:
    from typing import Any

    from matplotlib.axes import Axes

    from eplb_opt.result import Result


def heat_map(
    result: Result,
    ax: Axes | None = None,
    *,
    plan: Any = None,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Load of every GPU in every layer over the layer's mean, as a map.

    Parameters
    ----------
    result
        The result to draw, from `plan`.
    ax
        The axes to draw on; those of a new figure by default.
    plan
        Another plan than the result's, such as the one before: a Plan or [num_layers, num_slots].
    limits
        The ends of the scale, so that two maps can be compared; by default those of this map.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    """
    ax = new_axes(ax)
    plan = result.plan if plan is None else plan
    ratios = gpu_ratios(result.problem, getattr(plan, "physical_to_logical", plan))
    low, high = limits or (None, None)
    image = ax.imshow(ratios, SHADES, aspect="auto", interpolation="none", vmin=low, vmax=high)
    ax.set_xlabel("GPU")
    ax.set_ylabel("layer")
    ax.set_title(f"GPU load over the mean, at most {ratios.max():.4g}")
    _add_scale(ax, image, "load over mean")
    return ax


def replica_counts(result: Result, ax: Axes | None = None, *, num_experts: int = 16) -> Axes:
    """Replicas of each layer's hottest experts, the hottest first.

    Parameters
    ----------
    result
        The result to draw, from `plan`.
    ax
        The axes to draw on; those of a new figure by default.
    num_experts
        The number of experts to show of each layer.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    """
    ax = new_axes(ax)
    experts = hottest_experts(result.problem, num_experts)
    placed = result.plan.physical_to_logical
    counts = np.take_along_axis(counts_of(placed, result.problem.num_experts), experts, axis=1)
    ends = (0.5, counts.shape[1] + 0.5, len(counts) - 0.5, -0.5)  # ranks count from 1
    image = ax.imshow(counts, SHADES, aspect="auto", interpolation="none", extent=ends)
    ax.set_xlabel("expert, by falling load")
    ax.set_ylabel("layer")
    ax.set_title(f"Replicas of the {experts.shape[1]} hottest experts of each layer")
    _add_scale(ax, image, "replicas")
    return ax


def _add_scale(ax: Axes, image: Any, label: str) -> None:
    figure = ax.get_figure(root=True)
    if figure is not None:
        figure.colorbar(image, ax=ax, label=label)
