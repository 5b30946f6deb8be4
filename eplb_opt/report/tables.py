"""Tables for a terminal, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from eplb_opt.report.gap import model_balancedness
from eplb_opt.report.gap_columns import gap_text
from eplb_opt.report.step_time import worth
from eplb_opt.report.words import DISPATCH_WORDS

# Where they are looked for: a table needs both.
from eplb_opt.report.words import amount as amount
from eplb_opt.report.words import describe as describe
from eplb_opt.report.words import duration as duration
from eplb_opt.report.words import percent as percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.planner.evaluate import Evaluation
    from eplb_opt.report.steps import BatchNoise
    from eplb_opt.result import Result

#: Layers that a summary shows one by one.
WORST_LAYERS = 5


def titled(title: str) -> Table:
    """An empty table, at least as wide as its title."""
    return Table(title=title, title_justify="left", min_width=len(title))


def _objective_word(result: Result) -> str:
    if result.problem.has_topology:
        return "load / mean + price"
    if result.problem.counts_seconds:
        return "slowest GPU"
    return "largest load / mean" if result.problem.has_scenarios else "largest GPU load"


def names_of(layer_ids: Sequence[int], num_layers: int) -> list[str]:
    """What the layers are called: as in their file, else by their places."""
    return [str(layer_id) for layer_id in (layer_ids or range(num_layers))]


def result_table(
    result: Result, layer_ids: Sequence[int] = (), noise: BatchNoise | None = None
) -> Table:
    """The whole model and its worst layers, with the moves where there is a plan in force.

    Parameters
    ----------
    result
        From `plan`.
    layer_ids
        Names of the layers, [num_layers]; by default their places.
    noise
        What a gap must be above to be felt in a step; by default no gap is marked.
    """
    table = titled(f"Plan: {describe(result)}")
    moves = result.moves
    columns = (
        "layer",
        _objective_word(result),
        "proven bound",
        "gap",
        "balancedness",
        *(() if moves is None else ("moves",)),
        "status",
        "bound by",
    )
    for column in columns:
        table.add_column(column, justify="left" if column in ("status", "bound by") else "right")
    objective, lower, gap = result.objective, result.lower_bound, result.gap
    in_seconds = result.problem.counts_seconds
    balance, names = result.balancedness, names_of(layer_ids, len(gap))
    worst = np.argsort(-gap, kind="stable")[:WORST_LAYERS]
    for layer_idx in worst.tolist():
        table.add_row(
            names[layer_idx],
            worth(objective[layer_idx], in_seconds),
            worth(lower[layer_idx], in_seconds),
            gap_text(gap[layer_idx], noise),
            f"{balance[layer_idx]:.4f}",
            *(() if moves is None else (str(moves[layer_idx]),)),
            result.status[layer_idx],
            result.bound_source[layer_idx],
        )
    table.add_section()
    table.add_row(
        f"all {len(gap)}",
        worth(float(objective.sum()), in_seconds),
        worth(float(lower.sum()), in_seconds),
        gap_text(result.model_gap, noise),
        f"{model_balancedness(balance, objective):.4f}",
        *(() if moves is None else (f"{moves.sum():,}",)),
        f"{result.status.count('optimal')} optimal",
        "",
        style="bold",
    )
    return table


def evaluation_table(
    score: Evaluation,
    dispatch: str = "uniform",
    layer_ids: Sequence[int] = (),
    in_seconds: bool = False,
    noise: BatchNoise | None = None,
) -> Table:
    """A checked plan's figures under one dispatch: the whole model and its worst layers."""
    table = titled(f"The plan obeys every rule; scored under {DISPATCH_WORDS[dispatch]}")
    largest = "slowest GPU" if in_seconds else "largest GPU load"
    for heading in ("layer", largest, "proven bound", "gap at most", "balancedness"):
        table.add_column(heading, justify="right")
    names = names_of(layer_ids, len(score.gap))
    for layer_idx in np.argsort(-score.gap, kind="stable")[:WORST_LAYERS].tolist():
        table.add_row(
            names[layer_idx],
            worth(score.objective[layer_idx], in_seconds),
            worth(score.lower_bound[layer_idx], in_seconds),
            gap_text(score.gap[layer_idx], noise),
            f"{score.balancedness[layer_idx]:.4f}",
        )
    table.add_section()
    table.add_row(
        f"all {len(score.gap)}",
        worth(float(score.objective.sum()), in_seconds),
        worth(float(score.lower_bound.sum()), in_seconds),
        gap_text(score.model_gap, noise),
        f"{model_balancedness(score.balancedness, score.objective):.4f}",
        style="bold",
    )
    return table


def bound_table(result: Result, layer_ids: Sequence[int] = ()) -> Table:
    """The proven bound of every layer, and the best plan known for comparison."""
    table = titled(f"Bounds: {describe(result)}")
    for heading in ("layer", "proven bound", "best plan found", "gap", "bound by"):
        table.add_column(heading, justify="left" if heading == "bound by" else "right")
    in_seconds = result.problem.counts_seconds
    rows = zip(result.lower_bound, result.objective, result.gap, result.bound_source, strict=True)
    names = names_of(layer_ids, len(result.gap))
    for name, (lower, objective, gap, source) in zip(names, rows, strict=True):
        texts = worth(lower, in_seconds), worth(objective, in_seconds)
        table.add_row(name, *texts, percent(gap), source)
    table.add_section()
    table.add_row(
        f"all {len(result.gap)}",
        worth(float(result.lower_bound.sum()), in_seconds),
        worth(float(result.objective.sum()), in_seconds),
        percent(result.model_gap),
        f"{result.status.count('optimal')} optimal",
        style="bold",
    )
    return table
