"""The loads of several files, or of many snapshots, and the problem that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.cli import options as opt
from eplb_opt.io.recordings.together import planned_for

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
