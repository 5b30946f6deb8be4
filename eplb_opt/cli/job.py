"""The options of a job directory: begun once, gone on with on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from eplb_opt.cli.stopping import CUT_SHORT
from eplb_opt.planner.job import is_begun

if TYPE_CHECKING:
    from pathlib import Path


def check_job(job: Path | None, resume: bool) -> None:
    """Refuse to go on from an older job where nobody asks for that.

    A folder without a job is no fault with --resume: a batch system repeats one command, the first
    time too.
    """
    if resume and job is None:
        raise typer.BadParameter("--resume goes on from the folder of --job; give that, too.")
    if job is not None and not resume and is_begun(job):
        raise typer.BadParameter(
            f"{job} holds a job already: go on from it with --resume, or name another folder."
        )


def outcome_with(job: Path | None) -> str:
    """What has become of work that a signal cut short."""
    if job is None:
        return CUT_SHORT
    return f"{CUT_SHORT}; the same command with --resume goes on from {job}"
