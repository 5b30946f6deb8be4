"""Steps for layers that serve several loads at once, or stand on GPUs that differ."""

from __future__ import annotations

import math
import threading
from collections import Counter
from typing import TYPE_CHECKING

from eplb_opt.solver import Outcome, Step, Task

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.search.annealing.layer import AnnealSearch

#: Slices of proposals for one unit of effort.
SLICES_PER_EFFORT = 16
#: Turns without a better plan that end a layer's search in a call without limit.
IDLE_TURNS = 8


def annealing_steps(problem: Problem) -> list[Step]:
    """A short run on every layer, then one that takes all the time there is.

    A run cools to the end of its turn, and a long one finds more than several short ones.
    """
    name = "scenarios" if problem.has_scenarios else "rules"
    searches: dict[int, AnnealSearch] = {}
    idle: Counter[int] = Counter()
    lock = threading.Lock()

    def run(task: Task) -> Outcome:
        with lock:  # the first turn of a process loads or compiles the kernels, once
            from eplb_opt.search.annealing.layer import AnnealSearch
            from eplb_opt.search.annealing.starts import best_start
        search = searches.get(task.layer_idx)
        if search is None:
            search = searches[task.layer_idx] = AnnealSearch(task.problem, task.start, task.seed)
            if search.is_trivial:
                return Outcome(finished=True)
            best_start(search)
        before = search.best
        search.restart(search.placed())
        if task.effort is None:
            search.run_until(task.deadline)
        else:
            search.run_slices(task.effort * SLICES_PER_EFFORT)
        idle[task.layer_idx] = 0 if search.best < before else idle[task.layer_idx] + 1
        # Without any limit something has to end the search: many turns in vain.
        in_vain = math.isinf(task.call_deadline.at) and idle[task.layer_idx] >= IDLE_TURNS
        return Outcome(search.placed(), finished=in_vain)

    def first(task: Task) -> Outcome:
        return Outcome(refused=True) if task.effort is not None else run(task)

    return [
        Step(f"{name}_first", first, 0.08, 0.002, max_attempts=1, in_rounds=True),
        Step(name, run, min_seconds=0.01, max_attempts=10**9, in_rounds=True),
    ]
