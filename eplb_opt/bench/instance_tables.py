"""What is known of the stored instances."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.problem.rounding import round_down, round_up
from eplb_opt.report.tables import amount, percent, titled
from eplb_opt.result import ObjectiveBounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from eplb_opt.bench.best_known import Known
    from eplb_opt.bench.instance import Instance


@dataclass(frozen=True)
class InstanceRow:
    """An instance with its best known objective and bound, summed over the layers.

    `objective`, `lower_bound` and `gap` are NaN while nothing is known; they are in what the
    instance's objective is counted in.
    """

    name: str
    layers: int
    experts: int
    slots: int
    gpus: int
    nodes: int
    terms: str
    objective: float
    lower_bound: float
    gap: float
    layers_optimal: int


def instance_rows(
    table: Mapping[str, Instance], known: Mapping[str, tuple[Known, ...]]
) -> list[InstanceRow]:
    """One row an instance, in the order of the table.

    Parameters
    ----------
    table
        Instances by name.
    known
        What is known of each.
    """
    return [instance_row(instance, known[name]) for name, instance in table.items()]


def instance_row(instance: Instance, known: tuple[Known, ...]) -> InstanceRow:
    """The row of one instance."""
    problem = instance.problem()
    objective, lower, gap = np.nan, np.nan, np.nan
    if known:
        total = ObjectiveBounds(
            sum((layer.objective.value for layer in known), Fraction(0)),
            sum((layer.lower_bound.value for layer in known), Fraction(0)),
        )
        objective, lower, gap = round_up(total.objective), round_down(total.lower), total.gap
    return InstanceRow(
        instance.name,
        problem.num_layers,
        problem.num_experts,
        problem.num_slots,
        problem.num_gpus,
        problem.num_nodes,
        described(instance),
        objective,
        lower,
        gap,
        sum(layer.is_closed for layer in known),
    )


def described(instance: Instance) -> str:
    """The terms of an instance beyond its machine, in few words; empty where there are none."""
    words = []
    if instance.scenarios:
        words.append(f"scenarios, {instance.terms.get('objective', 'mean')}")
    if instance.in_force:
        words.append(f"at most {instance.max_moves} moves a layer")
    left = {"num_nodes", "num_groups", "objective"}
    words += [_word(key, value) for key, value in instance.terms.items() if key not in left]
    return ", ".join(words)


def _word(key: str, value: Any) -> str:
    if isinstance(value, dict) and not any(isinstance(part, list) for part in value.values()):
        inner = ", ".join(f"{name} {part}" for name, part in value.items())
        return f"{key}: {inner}"
    return f"{key} {value}" if isinstance(value, str | int | float) else key


def instance_table(rows: list[InstanceRow]) -> Table:
    """The rows for a terminal."""
    table = titled("Stored instances, sums over the layers")
    headings = ("instance", "layers x experts", "slots x GPUs")
    for heading in (*headings, "best known", "proven bound", "gap", "optimal"):
        table.add_column(heading, justify="left" if heading == "instance" else "right")
    for row in rows:
        known = (
            ("-", "-") if np.isnan(row.gap) else (amount(row.objective), amount(row.lower_bound))
        )
        table.add_row(
            row.name,
            f"{row.layers} x {row.experts}",
            f"{row.slots} x {row.gpus}{f' / {row.nodes}' if row.nodes > 1 else ''}",
            *known,
            percent(row.gap),
            f"{row.layers_optimal} of {row.layers}",
        )
    return table


def known_table(instance: Instance, known: tuple[Known, ...]) -> Table:
    """What is known of one instance, layer by layer, and how, for a terminal.

    Parameters
    ----------
    instance
        The instance.
    known
        [num_layers].
    """
    terms = described(instance)
    table = titled(f"{instance.name}{': ' if terms else ''}{terms}")
    for heading in ("layer", "best known", "run", "proven bound", "proof", "run", "gap"):
        table.add_column(heading, justify="left" if heading == "proof" else "right")
    records = [record for layer in known for record in (layer.objective, layer.lower_bound)]
    runs = list(dict.fromkeys(record.run for record in records))
    for layer_idx, layer in enumerate(known):
        best, lower = layer.objective, layer.lower_bound
        table.add_row(
            str(layer_idx),
            amount(round_up(best.value)),
            str(runs.index(best.run) + 1),
            amount(round_down(lower.value)),
            lower.proof,
            str(runs.index(lower.run) + 1),
            percent(ObjectiveBounds(best.value, lower.value).gap),
        )
    table.caption = "\n".join(
        f"run {place}: {run.by}, {run.how}, {run.seconds:g} s, {run.date}"
        for place, run in enumerate(runs, 1)
    )
    table.caption_justify = "left"
    return table
