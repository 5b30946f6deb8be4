"""The walk through the tables of checks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.plausible import counts, files, in_force, shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eplb_opt.io.loads import Loads
    from eplb_opt.io.placement import StoredPlan
    from eplb_opt.io.plausible.question import Finding, Question


def examine(recorded: Sequence[Loads], question: Question) -> tuple[str, ...]:
    """Look at recordings before they are planned for.

    Parameters
    ----------
    recorded
        The loads of each file, of which several are workloads beside each other.
    question
        What is asked of them.

    Returns
    -------
    tuple of str
        What is odd, in sentences; the file's name stands before them where there are several.

    Raises
    ------
    FormatError
        For the first thing that is surely wrong, with the numbers and the mend.
    """
    notes: list[str] = []
    for loads in (each.watched() for each in recorded):
        name = f"{loads.source}: " if loads.source else ""
        notes += [note if note.startswith(name) else name + note for note in loads.origin.notes]
        if not np.isfinite(loads.load).all():
            continue  # the problem refuses it
        found = (check(loads, question) for check in (*shapes.CHECKS, *counts.CHECKS))
        notes += _passed(found, name)
    if len(recorded) > 1:
        notes += _passed((check(recorded) for check in files.CHECKS), "")
    return tuple(dict.fromkeys(notes))


def examine_current(
    stored: StoredPlan, name: str, loads: Loads, question: Question
) -> tuple[str, ...]:
    """Look at the plan in force beside the loads and the options.

    Parameters
    ----------
    stored
        The plan with all that its file tells.
    name
        The option and the file, for messages.
    loads
        What is planned for.
    question
        What is asked.

    Returns
    -------
    tuple of str
        What is odd.

    Raises
    ------
    FormatError
        For the first contradiction.
    """
    found = (check(stored, loads, question) for check in in_force.CHECKS)
    return tuple(_passed(found, f"{name}: "))


def with_experts(loads: Loads, num_experts: int) -> Loads:
    """Loads of so many experts: those that are added have none.

    Raises
    ------
    FormatError
        Where there are more already.
    """
    if num_experts < loads.num_experts:
        raise FormatError(
            f"{loads.source}: there are {loads.num_experts} experts, more than the {num_experts} "
            "that are asked for."
        )
    more = num_experts - loads.num_experts
    origin = replace(loads.origin, may_lack_experts=False)
    padded = np.pad(loads.load, ((0, 0), (0, 0), (0, more)))
    return replace(loads, load=padded, origin=origin)


def _passed(found: Iterable[Finding | None], before: str) -> list[str]:
    """The notes among the findings.

    Raises
    ------
    FormatError
        For the first refusal.
    """
    notes = []
    for finding in found:
        if finding is None:
            continue
        if finding.is_refusal:
            raise FormatError(before + finding.text)
        notes.append(before + finding.text)
    return notes
