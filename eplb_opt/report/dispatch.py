"""A plan under the ways that tokens reach its copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.report.gap import model_balancedness
from eplb_opt.report.tables import WORST_LAYERS, amount, titled

if TYPE_CHECKING:
    from rich.table import Table

    from eplb_opt.dispatch_rules import DispatchScore


def dispatch_table(score: DispatchScore) -> Table:
    """The layers where the two ways differ most, and the whole model."""
    table = titled("How tokens reach the copies: largest GPU load and balancedness")
    for heading in ("layer", "uniform split", "nearest copy", "apart", "uniform", "nearest"):
        table.add_column(heading, justify="right")
    apart = score.nearest / np.maximum(score.uniform, np.finfo(float).tiny) - 1
    for layer_idx in np.argsort(-np.abs(apart), kind="stable")[:WORST_LAYERS].tolist():
        table.add_row(
            str(layer_idx),
            amount(score.uniform[layer_idx]),
            amount(score.nearest[layer_idx]),
            signed(apart[layer_idx]),
            f"{score.uniform_balancedness[layer_idx]:.4f}",
            f"{score.nearest_balancedness[layer_idx]:.4f}",
        )
    table.add_section()
    table.add_row(
        f"all {len(apart)}",
        amount(float(score.uniform.sum())),
        amount(float(score.nearest.sum())),
        signed(score.apart),
        f"{model_balancedness(score.uniform_balancedness, score.uniform):.4f}",
        f"{model_balancedness(score.nearest_balancedness, score.nearest):.4f}",
        style="bold",
    )
    return table


def signed(fraction: float) -> str:
    """A difference in percent with its sign.

    >>> signed(0.123), signed(-0.01), signed(0.0)
    ('+12.3 %', '-1 %', '0')
    """
    return f"{100 * fraction:+.3g} %" if fraction else "0"
