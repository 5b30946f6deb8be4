"""Plans that move little: what each number of moved slots buys, and what a limit leaves."""

from eplb_opt.migration.answer import NearAnswer
from eplb_opt.migration.frontier import Frontier, make_frontier
from eplb_opt.migration.limits import MoveLimits, move_limits, valid_current
from eplb_opt.migration.naming import naming_seconds
from eplb_opt.migration.near_plans import Faults, FrontPoint, find_frontiers

#: The part of a call that looks for the best plan of all; the rest looks for near ones.
UNLIMITED_SHARE = 0.2

__all__ = [
    "UNLIMITED_SHARE",
    "Faults",
    "FrontPoint",
    "Frontier",
    "MoveLimits",
    "NearAnswer",
    "find_frontiers",
    "make_frontier",
    "move_limits",
    "naming_seconds",
    "valid_current",
]
