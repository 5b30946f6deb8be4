"""Prefill and decode of one recording, and the weights of several loads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import typer

from eplb_opt.cli.recordings import recordings
from eplb_opt.workloads.phases import BOTH, DECODE, PREFILL, Phases, phases

if TYPE_CHECKING:
    from eplb_opt.cli.options import Files
    from eplb_opt.io import Loads
    from eplb_opt.io.plausible import Question


def of_phase(files: Files, question: Question) -> tuple[list[Loads], Files, tuple[str, ...]]:
    """The recordings of the files, of one phase where that is asked for; both phases are two.

    Parameters
    ----------
    files, question
        What is read, and what it is looked at for; see `recordings`.

    Returns
    -------
    The loads, the files with what was found about them, and what to say.
    """
    if files.phase is None:
        return *recordings(files, question), ()
    if files.with_scenarios or len(files.loads) > 1:
        raise typer.BadParameter("--phase takes one recording, and no --scenarios.")
    (whole,), read = recordings(replace(files, with_scenarios=True), question)
    found = phases(whole.load)
    files = replace(read, with_scenarios=False)
    if files.phase == BOTH and not files.weights:
        files = replace(files, weights=(float(found.num_prefill), float(found.num_decode)))
    names = (PREFILL, DECODE) if files.phase == BOTH else (str(files.phase),)
    parts = [
        replace(whole, load=load[None], source=f"{name} of {whole.source or files.loads[0]}")
        for name, load in zip(names, found.loads(str(files.phase)), strict=True)
    ]
    return parts, files, (_told(found, files),)


def scenario_weights(files: Files, load: np.ndarray) -> np.ndarray | None:
    """The weights of the loads, float64 [num_scenarios]; None where all weigh the same.

    Parameters
    ----------
    files
        What was asked.
    load
        What is planned for, [num_layers, num_experts] or with scenarios before.
    """
    if not files.weights:
        return None
    num = len(load) if load.ndim == 3 else 1
    if len(files.weights) != num or num == 1:
        raise typer.BadParameter(
            f"there are {len(files.weights)} of --weight for {num} loads; give one for each of "
            "several."
        )
    return np.array(files.weights)


def _told(found: Phases, files: Files) -> str:
    text = (
        f"{found.num_prefill} steps are taken for prefill and {found.num_decode} for decode: those "
        f"from {found.least_prefill:,.0f} assignments on over all layers."
    )
    if files.phase == BOTH:
        shares = np.array(files.weights) / sum(files.weights)
        text += (
            f" They weigh {shares[0]:.3g} and {shares[1]:.3g}; --weight, twice, gives their shares "
            "of the time."
        )
    return text
