"""What a call begins with: a plan, its score and a bound, and better ones as far as time allows."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import first_bounds
from eplb_opt.clock import Deadline
from eplb_opt.planner.first_plans import first_plan
from eplb_opt.planner.incumbents import Incumbents
from eplb_opt.search import starts

if TYPE_CHECKING:
    from eplb_opt.planner.arguments import Request

#: Where a first plan or a first bound can be had for less, each takes no more than this part of the
#: time; and what is made better of the plan no more than this part of the rest.
FIRST_SHARE, MENDING_SHARE = 0.35, 0.7


def begin(request: Request) -> tuple[Incumbents, float, float]:
    """The first plan with its exact score and a first bound.

    Parameters
    ----------
    request
        The checked arguments of a call.

    Returns
    -------
    The incumbents; the seconds that making the plan took, and those of its score and bound.
    """
    left = request.budget.deadline.remaining
    most = FIRST_SHARE * left if _has_clock(request) else math.inf
    began = time.monotonic()
    first = first_plan(request.problem, most)
    made = time.monotonic()
    bounds = first_bounds(request.problem, most)
    incumbents = Incumbents(request.problem, first, bounds, request.started)
    return incumbents, made - began, time.monotonic() - made


def mend(request: Request, incumbents: Incumbents, deadline: Deadline, seconds: float) -> None:
    """Offer what is better than the first plan, where there is time to make another like it.

    Without a clock, and in a call without time, all of it is offered.

    Parameters
    ----------
    request, incumbents
        The call's arguments, and its best plans.
    deadline
        The end of all work but the output.
    seconds
        What making the first plan took.
    """
    until = Deadline()
    if _has_clock(request):
        until = deadline.earlier(incumbents.scoring_seconds)
        if until.remaining < seconds:
            return
        until = until.part(MENDING_SHARE)
    for placed in starts.better_plans(request.problem, incumbents.placed, until):
        incumbents.offer_plans(placed)
        if until.expired:
            return


def _has_clock(request: Request) -> bool:
    return request.budget.effort is None and request.time_limit != 0
