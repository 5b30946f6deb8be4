"""The dispatch of an engine, and the drop-ins' plans where every GPU sends to one copy.

Like `every_rank`, a function of the arguments and of variables that are the same on all ranks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from eplb_opt.engines.serving.senders import (
    SENDER_DISPATCHES,
    Maps,
    SenderRules,
    rebalance_by_senders,
)
from eplb_opt.errors import ProblemError

if TYPE_CHECKING:
    import numpy as np

#: How the engine sends tokens to copies, where the drop-in's own default is not what runs; must be
#: equal on all ranks.
DISPATCH_VARIABLE = "EPLB_OPT_DISPATCH"
#: The five numbers of a `MoveCost`, as "expert_bytes=...,bandwidth=...,..."; where it is set, time
#: decides how much moves, and the tolerance does not count. Must be equal on all ranks.
COST_VARIABLE = "EPLB_OPT_MOVE_COST"
UNIFORM = "uniform"
KNOWN = (UNIFORM, *SENDER_DISPATCHES)


def chosen_dispatch(default: str) -> str:
    """The dispatch that EPLB_OPT_DISPATCH names, else the default.

    What moving costs is weighed under the uniform split alone: with EPLB_OPT_MOVE_COST that is the
    default everywhere.

    Raises
    ------
    ProblemError
        When the variable names an unknown one, or one that EPLB_OPT_MOVE_COST does not go with.
    """
    named, has_cost = os.environ.get(DISPATCH_VARIABLE, "").strip(), COST_VARIABLE in os.environ
    value = named or (UNIFORM if has_cost else default)
    if value not in KNOWN:
        raise ProblemError(f"{DISPATCH_VARIABLE}={value!r} is unknown; known: {', '.join(KNOWN)}.")
    if value != UNIFORM and has_cost:
        raise ProblemError(
            f"{COST_VARIABLE} does not go with {DISPATCH_VARIABLE}={value}: take "
            "EPLB_OPT_MOVE_TOLERANCE, or the uniform split."
        )
    return value


def place_by_senders(
    load: np.ndarray,
    sizes: tuple[int, int, int, int],
    effort: int,
    held: np.ndarray | None,
    rules: SenderRules,
) -> Maps:
    """The plan of a drop-in for a dispatch by senders; what stays on its GPU keeps its slot.

    Parameters
    ----------
    load
        [num_layers, num_experts].
    sizes
        Slots a layer, groups, nodes to which groups are bound, and GPUs.
    effort
        Steps of a layer.
    held
        The map in force, int64 [num_layers, num_slots], or None; a layer of it with an empty slot
        is made anew.
    rules
        The dispatch; its tolerance and gain count where there is a map in force, and a tolerance
        of 0 plans freely.

    Raises
    ------
    ProblemError
        For loads or sizes that cannot be planned.
    """
    if held is not None and rules.tolerance == 0:
        rules = SenderRules(rules.dispatch, rules.num_nodes, None, rules.min_gain)
    return rebalance_by_senders(load, *sizes, rules=rules, effort=effort, current=held)
