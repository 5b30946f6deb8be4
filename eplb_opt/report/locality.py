"""A checked plan's load and locality, layer by layer, for a terminal and for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.placement import homes, scoring
from eplb_opt.report.gap_columns import gap_text
from eplb_opt.report.tables import WORST_LAYERS, names_of, titled
from eplb_opt.report.words import DISPATCH_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table

    from eplb_opt.planner.evaluate import Evaluation
    from eplb_opt.problem.problem import Problem
    from eplb_opt.report.steps import BatchNoise

CAPTION = (
    "load: largest over mean GPU load. objective: load plus {price:g} x {away}. The last row has "
    "the means."
)


def locality_table(
    problem: Problem,
    placed: np.ndarray,
    score: Evaluation,
    layer_ids: Sequence[int] = (),
    noise: BatchNoise | None = None,
) -> Table:
    """The whole model and its worst layers: load, what is off home, and both at the price.

    Parameters
    ----------
    problem
        A problem with a topology.
    placed
        int64 [num_layers, num_slots], a plan that obeys its rules.
    score
        From `evaluate`.
    layer_ids
        Names of the layers, [num_layers]; by default their places.
    noise
        What a gap must be above to be felt in a step; by default no gap is marked.
    """
    away, shown = _away(problem)
    rules = problem.topology
    table = titled(
        f"The plan obeys every rule; scored under {DISPATCH_WORDS[problem.dispatch]} on "
        f"{problem.num_nodes} nodes"
    )
    table.caption = CAPTION.format(price=0.0 if rules is None else rules.price, away=away)
    table.caption_justify = "left"
    for heading in ("layer", "load", away, "objective", "proven bound", "gap at most"):
        table.add_column(heading, justify="right")
    load, off = 1 / score.balancedness, _off_home(problem, placed)
    names = names_of(layer_ids, len(score.gap))
    for layer_idx in np.argsort(-score.gap, kind="stable")[:WORST_LAYERS].tolist():
        table.add_row(
            names[layer_idx],
            f"{load[layer_idx]:.4f}",
            shown(off[layer_idx]),
            f"{score.objective[layer_idx]:.4f}",
            f"{score.lower_bound[layer_idx]:.4f}",
            gap_text(score.gap[layer_idx], noise),
        )
    table.add_section()
    table.add_row(
        f"all {len(score.gap)}",
        f"{load.mean():.4f}",
        shown(off.mean()),
        f"{score.objective.mean():.4f}",
        f"{score.lower_bound.mean():.4f}",
        gap_text(score.model_gap, noise),
        style="bold",
    )
    return table


def locality_json(problem: Problem, placed: np.ndarray) -> dict[str, Any]:
    """What a script is told of it; nothing where the problem has no topology.

    Returns
    -------
    dict
        "load" (largest over mean), "off_home" (float64 [num_layers]) and "homes" (int64
        [num_layers, num_experts]; None where GPUs send).
    """
    if not problem.has_topology:
        return {}
    ratios = scoring.load_ratios(problem, placed)
    return {
        "load": [float(ratio) for ratio in ratios],
        "off_home": _off_home(problem, placed),
        "homes": None if problem.splits_by_sender else homes.homes_of(problem, placed),
    }


def _off_home(problem: Problem, placed: np.ndarray) -> np.ndarray:
    return np.array([float(share) for share in homes.off_home(problem, placed)])


def _away(problem: Problem) -> tuple[str, Callable[[float], str]]:
    """What the column is called, and how its figures are shown."""
    if problem.splits_by_sender:
        return "crossing", _percent
    if problem.topology is not None and not problem.topology.counts_off_home:
        return "link cost", "{:.4f}".format
    return "off home", _percent


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
