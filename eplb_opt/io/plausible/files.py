"""Suspicions about several recordings beside each other."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.io.plausible.question import listed, note, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eplb_opt.io.loads import Loads
    from eplb_opt.io.plausible.question import Finding


def other_layers(recorded: Sequence[Loads]) -> Finding | None:
    """Files that name other layers."""
    named = [loads for loads in recorded if loads.names_layers]
    for loads in named[1:]:
        if loads.layer_ids != named[0].layer_ids:
            return refusal(
                f"{loads.source} has the layers {listed(loads.layer_ids)}, {named[0].source} "
                f"{listed(named[0].layer_ids)}; one plan cannot serve both."
            )
    return None


def the_same_twice(recorded: Sequence[Loads]) -> Finding | None:
    """Two files with the same loads."""
    for one, other in combinations(recorded, 2):
        if one.load.shape == other.load.shape and (one.load == other.load).all():
            return note(
                f"{one.source} and {other.source} hold the same loads: as two workloads they count "
                "twice."
            )
    return None


def a_total_beside_parts(recorded: Sequence[Loads]) -> Finding | None:
    """A file that is the sum of all others."""
    if len(recorded) < 3:
        return None
    totals = [loads.total for loads in recorded]
    if len({total.shape for total in totals}) > 1:
        return None
    together = np.sum(totals, axis=0)
    for loads, total in zip(recorded, totals, strict=True):
        if total.any() and (2 * total == together).all():
            return refusal(
                f"{loads.source} is the sum of the other {len(recorded) - 1} files; together they "
                "count every token twice. Give the parts, or the sum."
            )
    return None


#: In this order.
CHECKS: tuple[Callable[[Sequence[Loads]], Finding | None], ...] = (
    other_layers,
    a_total_beside_parts,
    the_same_twice,
)
