"""Plans of a layer with few moves from counted descents, in a millisecond.

They start from the plan in force and mend the heaviest GPU until all are below a level, lower from
descent to descent; the compiled core does it for the serving path.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.clock import Deadline
from eplb_opt.core import near, serving

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from eplb_opt.problem.problem import Problem

#: Steps of a descent at most; most layers need 10 to 40.
STEPS = 400


def plans_by_descent(
    layer: Problem,
    current: np.ndarray,
    levels: Sequence[Fraction] = (),
    seconds: float = math.inf,
) -> list[np.ndarray]:
    """Plans from the one in force on that cost ever more moves for ever less load.

    Parameters
    ----------
    layer
        A problem of one layer.
    current
        int64 [num_slots], the plan in force, which is valid.
    levels
        Largest GPU loads, in the layer's integer units, that are tried before a fixed series.
    seconds
        No further plan is looked for afterwards; a descent takes milliseconds on the largest
        machines.

    Returns
    -------
    Plans, int64 [num_slots] each, valid but not yet scored; none where the layer has rules that
    descents do not know.
    """
    if not layer.is_plain:
        return []
    binds_groups = layer.is_hierarchical
    groups, nodes = (layer.num_groups, layer.num_nodes) if binds_groups else (1, 1)
    planner = near.Planner(
        layer.num_experts,
        (layer.num_slots, groups, nodes, layer.num_gpus),
        np.ones(layer.num_gpus, dtype=bool),
        1,
        layer.colocation == "forbid",
    )
    weights, unit = serving.fixed_point(np.ascontiguousarray(layer.load))
    held = np.ascontiguousarray(current[None], dtype=np.int64)
    deadline = Deadline.after(seconds)
    found = []
    for level in levels:
        # Rounded up: what is a trifle above is told apart where it is scored exactly.
        wanted = np.array([int(float(level) / float(unit[0])) + 1])
        found += list(planner.below(weights, held, wanted, STEPS)[0])
    if deadline.expired:
        return found
    limit = None if deadline.is_open else deadline.remaining
    return [*planner.front(weights, held, STEPS, limit)[0][1:], *found]
