"""What is known of the stored instances."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench import library
from eplb_opt.problem.rounding import round_down, round_up
from eplb_opt.report.tables import amount, percent, titled
from eplb_opt.result import ObjectiveBounds

if TYPE_CHECKING:
    from rich.table import Table

    from eplb_opt.bench.best_known import Known


@dataclass(frozen=True)
class InstanceRow:
    """An instance with its best known objective and bound, summed over the layers.

    `objective`, `lower_bound` and `gap` are NaN while a layer has no value.
    """

    name: str
    layers: int
    experts: int
    slots: int
    gpus: int
    nodes: int
    objective: float
    lower_bound: float
    gap: float
    layers_optimal: int


def instance_rows(ledger: dict[str, tuple[Known, ...]]) -> list[InstanceRow]:
    """One row an instance, in the order of the library."""
    return [_row(name, ledger[name]) for name in library.names()]


def _row(name: str, known: tuple[Known, ...]) -> InstanceRow:
    problem = library.get(name).problem()
    pairs = [
        (layer.objective.value, layer.lower_bound.value)
        for layer in known
        if layer.objective is not None and layer.lower_bound is not None
    ]
    objective, lower, gap = np.nan, np.nan, np.nan
    if len(pairs) == problem.num_layers:
        total = ObjectiveBounds(
            sum((pair[0] for pair in pairs), Fraction(0)),
            sum((pair[1] for pair in pairs), Fraction(0)),
        )
        objective, lower, gap = round_up(total.objective), round_down(total.lower), total.gap
    return InstanceRow(
        name,
        problem.num_layers,
        problem.num_experts,
        problem.num_slots,
        problem.num_gpus,
        problem.num_nodes,
        objective,
        lower,
        gap,
        sum(objective == lower for objective, lower in pairs),
    )


def instance_table(rows: list[InstanceRow]) -> Table:
    """The rows for a terminal."""
    table = titled("Stored instances, sums over the layers")
    headings = ("instance", "layers", "experts", "slots", "GPUs", "nodes")
    for heading in (*headings, "best known", "proven bound", "gap", "optimal"):
        table.add_column(heading, justify="left" if heading == "instance" else "right")
    for row in rows:
        shape = (row.layers, row.experts, row.slots, row.gpus, row.nodes)
        known = (
            ("-", "-") if np.isnan(row.gap) else (amount(row.objective), amount(row.lower_bound))
        )
        optimal = f"{row.layers_optimal} of {row.layers}"
        table.add_row(row.name, *map(str, shape), *known, percent(row.gap), optimal)
    return table
