"""What a plan is worth after the worst loss, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.report.tables import WORST_LAYERS, amount, names_of, titled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from eplb_opt.planner.evaluate import Evaluation
    from eplb_opt.planner.plan_for_loss import LossPlan


def loss_table(found: LossPlan, whole: Evaluation, of: str, layer_ids: Sequence[int] = ()) -> Table:
    """The layers with the largest loads after the worst loss, and the whole model.

    Parameters
    ----------
    found
        From `plan_for_loss`.
    whole
        What its plan is worth while nothing is lost.
    of
        "gpu" or "node": what is lost.
    layer_ids
        Names of the layers, [num_layers]; by default their places.
    """
    unit = {"gpu": "GPU"}.get(of, of)
    survives = "no loss takes an expert" if found.after.survives else "some losses take experts"
    table = titled(f"Largest GPU load after the worst loss of one {unit}; {survives}")
    headings = ("layer", "all there", f"one {unit} lost", "which", "experts lost", "not prepared")
    for heading in (*headings, "at least"):
        table.add_column(heading, justify="right")
    after, unprepared = found.after.largest_load, found.unprepared.largest_load
    lost = found.after.experts_lost
    names = names_of(layer_ids, len(after))
    for at in np.argsort(-after, kind="stable")[:WORST_LAYERS].tolist():
        table.add_row(
            names[at],
            amount(whole.objective[at]),
            amount(after[at]),
            str(found.after.worst[at]),
            str(lost[at]),
            _unprepared(unprepared[at], int(found.unprepared.experts_lost[at])),
            amount(found.lower_bound[at]),
        )
    table.add_section()
    table.add_row(
        f"all {len(after)}",
        amount(float(whole.objective.sum())),
        amount(float(after.sum())),
        "",
        str(int(lost.max())),
        _unprepared(float(unprepared.sum()), int(found.unprepared.experts_lost.max())),
        amount(float(found.lower_bound.sum())),
        style="bold",
    )
    return table


def _unprepared(load: float, experts_lost: int) -> str:
    """A plan that was made for the whole machine alone."""
    return f"{amount(load)} ({experts_lost} lost)" if experts_lost else amount(load)
