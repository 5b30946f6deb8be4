"""The steps of problems whose tokens are split freely: a placement designed for that."""

from __future__ import annotations

import math
import threading
from collections import Counter
from typing import TYPE_CHECKING

from eplb_opt.solver import Outcome, Step, Task

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Slices of proposals for one unit of effort.
SLICES_PER_EFFORT = 8
#: Turns without a better plan that end a layer's search in a call without limit, each so long.
IDLE_TURNS, OPEN_TURN_SECONDS = 8, 1.0
#: A run stops so long before its turn ends: what comes after the end of the call is lost.
RESERVE_SECONDS = 0.1
#: Of a layer's even share of the time: bounds and the output want some too.
DESIGN_SHARE = 0.9


def design_steps(problem: Problem, noise: float) -> list[Step]:
    """One long run on every layer, and more for those with the largest gaps.

    A run cools to the end of its turn, and a long one finds more than several short ones.

    Parameters
    ----------
    problem
        Under optimal dispatch.
    noise
        See `DesignSearch`. Where it is above 0 a plan replaces another when it is better on the
        known loads and their noisy copies together, though it may be worse on the former alone.
    """
    idle: Counter[int] = Counter()
    lock = threading.Lock()

    def run(task: Task) -> Outcome:
        with lock:  # the first turn of a process loads or compiles the kernels, once
            from eplb_opt.search.annealing.design import DesignSearch
        search = DesignSearch(task.problem, task.start, task.seed, noise)
        if search.is_trivial:
            return Outcome(finished=True)
        search.settle()
        if task.effort is not None:
            search.run_slices(task.effort * SLICES_PER_EFFORT)
        elif math.isinf(task.deadline.at):
            search.run_until(task.deadline.sooner(OPEN_TURN_SECONDS))
        else:
            search.run_until(
                task.deadline.earlier(min(RESERVE_SECONDS, task.deadline.remaining / 8))
            )
        found = search.best
        search.restart(task.start)
        search.look()  # on the same loads as what was found: the better one stays
        idle[task.layer_idx] = 0 if search.best == found else idle[task.layer_idx] + 1
        in_vain = math.isinf(task.call_deadline.at) and idle[task.layer_idx] >= IDLE_TURNS
        return Outcome(search.placed(), finished=in_vain, preferred=noise > 0)

    long = Step("design", run, DESIGN_SHARE, 0.01, max_attempts=1, in_rounds=True)
    return [long, Step("redesign", run, min_seconds=0.05, max_attempts=10**9, in_rounds=True)]
