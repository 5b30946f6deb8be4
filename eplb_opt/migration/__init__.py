"""Plans near the plan in force: what each number of moved slots buys, and what a limit allows.

A call with a plan in force may limit how many slots change (`limits.MoveLimits`). For each layer
`near_plans.find_frontiers` looks for plans that trade moves for objective: a list of `FrontPoint`,
from the plan in force to the best plan. Where every GPU sends to one copy, exchanges from
`sender_descents` make them, and an annealing that pays for moves, load and what crosses nodes.
`sharing` deals a limit for the whole model out to the layers, and `frontier.Frontier` is the same
trade for the whole model. `naming` gives the GPUs of the best plan the names under which least
moves. A `MovePrice` says what a move counts: more across nodes where the call asks for it.
`answer.NearAnswer` puts these together into the rows that `planner.plan` returns, whatever fails on
the way; start reading there.
"""

from eplb_opt.migration.answer import NearAnswer
from eplb_opt.migration.frontier import Frontier, make_frontier
from eplb_opt.migration.limits import MoveLimits, move_limits, read_price, valid_current
from eplb_opt.migration.naming import naming_seconds
from eplb_opt.migration.near_plans import Faults, FrontPoint, find_frontiers

#: The part of a call that looks for the best plan of all; the rest looks for near ones.
UNLIMITED_SHARE = 0.2
#: The same with a topology: its near plans come from counted descents or, where GPUs send, begin
#: at the best plan as well.
UNLIMITED_SHARE_AT_PRICE = 0.5

__all__ = [
    "UNLIMITED_SHARE",
    "UNLIMITED_SHARE_AT_PRICE",
    "Faults",
    "FrontPoint",
    "Frontier",
    "MoveLimits",
    "NearAnswer",
    "find_frontiers",
    "make_frontier",
    "move_limits",
    "naming_seconds",
    "read_price",
    "valid_current",
]
