"""The loads of several files, or of many snapshots, and the problem that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.cli import options as opt
from eplb_opt.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eplb_opt.cli.options import Asked, LoadFormat
    from eplb_opt.io import Loads
    from eplb_opt.problem.problem import Problem


def read_problem(asked: Asked) -> tuple[list[Loads], Problem]:
    """The recorded loads of the files, and the problem of serving them on the machine.

    Parameters
    ----------
    asked
        The files and the machine, as the command line gives them.

    Raises
    ------
    FormatError
        When a file cannot be read, or the files are of different models.
    ProblemError
        When the loads do not fit the machine.
    """
    recorded = recordings(asked.loads, asked.load_format, asked.with_scenarios)
    return recorded, asked.machine.problem(planned_for(recorded, asked.with_scenarios))


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
