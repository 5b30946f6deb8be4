"""Plans near the one in force where every GPU sends an expert's tokens to one copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.survivors import keep_slots
from eplb_opt.search.by_senders import Work, descended

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from eplb_opt.problem.problem import Problem

#: How far above the mean GPU load the descents end.
TOLERANCES = (0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.001, 0.0003, 0.0)
#: Exchanges of a descent at most.
STEPS = 400
#: A hair below a level, for the core rounds it.
BELOW = 1e-12


def plans_by_exchanges(
    layer: Problem, current: np.ndarray, levels: Sequence[Fraction]
) -> list[np.ndarray]:
    """What exchanges of the heaviest GPU make of the plan in force, each int64 [num_slots].

    What stays on its GPU keeps its slot. No plan is above the one in force.

    Parameters
    ----------
    layer
        A problem of one layer for which `search.by_senders.descends` holds.
    current
        int64 [num_slots], the plan in force; it obeys the problem's rules.
    levels
        Largest GPU loads that are to be reached with few moves, in the problem's integer units.
    """
    total = int(layer.load.sum())
    if not total:
        return []
    asked = [float(level * layer.num_gpus / total - 1) - BELOW for level in levels]
    found = [
        descended(layer, current, Work(STEPS, tolerance=tolerance, near=True))
        for tolerance in (*(max(each, 0.0) for each in asked), *TOLERANCES)
    ]
    return list(keep_slots(np.array(found), np.array([current] * len(found)), layer.num_gpus))
