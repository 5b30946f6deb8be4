"""A plan under the ways that tokens reach its copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.report.gap import model_balancedness
from eplb_opt.report.tables import WORST_LAYERS, amount, names_of, titled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from eplb_opt.placement.dispatch_rules import DispatchScore


HEADINGS = ("uniform split", "nearest copy", "difference", "optimal dispatch", "rank modulo")


def dispatch_table(score: DispatchScore, layer_ids: Sequence[int] = ()) -> Table:
    """The layers where uniform split and nearest copy differ most, and the whole model."""
    table = titled("How tokens reach the copies: largest GPU load (balancedness)")
    for heading in ("layer", *HEADINGS):
        table.add_column(heading, justify="right")
    excess = score.nearest / np.maximum(score.uniform, np.finfo(float).tiny) - 1
    names = names_of(layer_ids, len(excess))
    for layer_idx in np.argsort(-np.abs(excess), kind="stable")[:WORST_LAYERS].tolist():
        table.add_row(
            names[layer_idx],
            _cell(score.uniform[layer_idx], score.uniform_balancedness[layer_idx]),
            _cell(score.nearest[layer_idx], score.nearest_balancedness[layer_idx]),
            signed(excess[layer_idx]),
            _cell(score.optimal[layer_idx], score.optimal_balancedness[layer_idx]),
            _cell(score.rank_modulo[layer_idx], score.rank_modulo_balancedness[layer_idx]),
        )
    table.add_section()
    table.add_row(
        f"all {len(excess)}",
        _model_cell(score.uniform, score.uniform_balancedness),
        _model_cell(score.nearest, score.nearest_balancedness),
        signed(score.nearest_excess),
        _model_cell(score.optimal, score.optimal_balancedness),
        _model_cell(score.rank_modulo, score.rank_modulo_balancedness),
        style="bold",
    )
    return table


def _cell(objective: float, balancedness: float) -> str:
    return f"{amount(objective)} ({balancedness:.4f})"


def _model_cell(objective: np.ndarray, balancedness: np.ndarray) -> str:
    return _cell(float(objective.sum()), model_balancedness(balancedness, objective))


def signed(fraction: float) -> str:
    """A difference in percent with its sign.

    >>> signed(0.123), signed(-0.01), signed(0.0)
    ('+12.3 %', '-1 %', '0')
    """
    return f"{100 * fraction:+.3g} %" if fraction else "0"
