"""The figures of the HTML report, as the page's script takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.placement.scoring import replica_counts
from eplb_opt.report.figures import hottest_experts, load_shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.report.gap import GapReport
    from eplb_opt.report.page_before import Before
    from eplb_opt.result import Result

#: Experts of each layer whose replicas are shown.
NUM_HOTTEST = 16
#: More points are thinner than a pixel.
MAX_HISTORY = 500
#: Plans get their colours in this order; the first ones differ most.
KINDS = ("ours", "given", "heuristic")


def page_data(
    result: Result, report: GapReport, before: Before, after: np.ndarray, layer_ids: Sequence[int]
) -> dict[str, Any]:
    """Everything that is drawn, rounded to what can be seen or is shown on hover.

    Parameters
    ----------
    result, report
        Ours, and every plan against its bounds.
    before
        The plan that ours takes the place of.
    after
        GPU load over mean of ours, float64 [num_layers, num_gpus].
    layer_ids
        Place of each layer among the model's hidden layers.
    """
    problem = result.problem
    # Without scenarios a ratio has a load to it, in the caller's unit.
    unit = [float(problem.unit(i)) for i in range(problem.num_layers)]
    mean = (
        None
        if problem.counts_ratios
        else _significant(problem.load.sum(axis=1) * np.array(unit) / float(problem.capacity), 10)
    )
    return {
        "layerIds": list(layer_ids),
        "gaps": gap_series(report),
        "mean": mean,
        "before": {"name": before.name, "ratio": _significant(before.ratios, 7)},
        "after": {"name": "eplb-opt", "ratio": _significant(after, 7)},
        "hottest": _hottest(result, before),
        "history": _history(result),
        "moves": None if result.moves is None else result.moves.tolist(),
        "slots": problem.num_slots,
    }


def gap_series(report: GapReport) -> list[dict[str, Any]]:
    """One line a plan, ours first; others with the same gaps in all layers share theirs."""
    lines: dict[tuple[float, ...], dict[str, Any]] = {}
    for row in sorted(report.rows, key=lambda row: KINDS.index(row.kind)):
        if row.layer_gap is None:
            continue
        key = (float(row.kind == "ours"), *row.layer_gap.tolist())
        if key in lines:
            lines[key]["names"].append(row.name)
            continue
        lines[key] = {"names": [row.name], "kind": row.kind, "gap": _significant(row.layer_gap, 4)}
    return list(lines.values())


def _hottest(result: Result, before: Before) -> dict[str, Any]:
    problem = result.problem
    experts = hottest_experts(problem, NUM_HOTTEST)

    def counts(placed: np.ndarray) -> list[Any]:
        all_counts = replica_counts(placed, problem.num_experts)
        shown: list[Any] = np.take_along_axis(all_counts, experts, axis=1).tolist()
        return shown

    return {
        "expert": experts.tolist(),
        "share": _significant(load_shares(problem, experts), 4),
        "before": counts(before.placed),
        "after": counts(result.plan.physical_to_logical),
    }


def _history(result: Result) -> list[list[float]]:
    """Seconds, incumbent and bound of the whole model, up to the return; thinned."""
    points = result.history
    step = -(-len(points) // MAX_HISTORY) or 1
    kept = [*points[:-1:step], *points[-1:]]
    found = [[round(p.seconds, 4), p.objective, p.lower_bound] for p in kept]
    return [*found, [round(result.elapsed, 4), *found[-1][1:]]] if found else []


def _significant(values: np.ndarray, digits: int) -> list[Any]:
    """Nested lists of floats, rounded to `digits` digits; what is not finite becomes None."""

    def short(value: Any) -> Any:
        if isinstance(value, list):
            return [short(part) for part in value]
        return float(f"{value:.{digits}g}") if np.isfinite(value) else None

    return [short(part) for part in values.tolist()]
