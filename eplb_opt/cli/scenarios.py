"""The loads of several files, or of many snapshots, as one plan is to serve them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.cli import options as opt
from eplb_opt.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eplb_opt.cli.options import LoadFormat
    from eplb_opt.io import Loads


def recordings(
    paths: Sequence[Path], load_format: LoadFormat | None, with_scenarios: bool
) -> list[Loads]:
    """The recorded loads of all files; only their sums where the snapshots are not asked for."""
    method = opt.read if with_scenarios else opt.total
    return [method(path, load_format) for path in paths]


def planned_for(recorded: Sequence[Loads], with_scenarios: bool) -> np.ndarray:
    """The loads of all files: their sum where there is one file, else scenarios.

    Raises
    ------
    FormatError
        When the files are of different models.
    """
    shape = recorded[0].load.shape[1:]
    for loads in recorded[1:]:
        if loads.load.shape[1:] != shape:
            raise FormatError(
                f"{loads.source} has {loads.num_layers} layers x {loads.num_experts} experts, but "
                f"{recorded[0].source} has {shape[0]} x {shape[1]}; one plan cannot serve both."
            )
    if with_scenarios:
        return np.concatenate([loads.load for loads in recorded])
    totals = [loads.total for loads in recorded]
    return totals[0] if len(totals) == 1 else np.stack(totals)
