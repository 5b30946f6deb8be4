"""What moving slots buys, as a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb_opt.migration import (
    UNLIMITED_SHARE,
    Faults,
    Frontier,
    find_frontiers,
    make_frontier,
    read_price,
    valid_current,
)
from eplb_opt.planner.arguments import DEFAULT_TIME_LIMIT, Default, Spending, read_budget
from eplb_opt.planner.planner import plan

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


def frontier(
    problem: Problem,
    current: Any,
    *,
    time_limit: float | Default | None = DEFAULT_TIME_LIMIT,
    effort: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    cross_node_price: int = 1,
) -> Frontier:
    """What moving slots buys: the least objective for every number of moved slots.

    Parameters
    ----------
    problem
        Loads and topology.
    current
        The plan in force, a Plan or [num_layers, num_slots] ids; valid.
    time_limit, effort, seed, workers
        Limits, seed and threads of the call, as for `plan`.
    cross_node_price
        What a move to a node counts on which its expert did not stand, as for `plan`.

    Returns
    -------
    Frontier
        The least objective found for each number of moved slots; its `plan` has the plan for
        a limit.

    Raises
    ------
    ProblemError
        For an argument that cannot be used.
    """
    held = valid_current(problem, current)
    price = read_price(problem, held, cross_node_price)
    budget, limit = read_budget(Spending(time_limit, effort, 0.0, seed, workers))
    share = limit if limit is None else limit * UNLIMITED_SHARE
    result = plan(
        problem,
        time_limit=share,
        effort=effort,
        current=held,
        seed=seed,
        workers=workers,
        cross_node_price=cross_node_price,
    )
    best, faults = result.plan.physical_to_logical, Faults()
    frontiers = find_frontiers(problem, held, best, budget, faults=faults, price=price)
    messages = dict.fromkeys((*result.messages, *faults.messages))
    return make_frontier(problem, held, frontiers, tuple(messages), price)
