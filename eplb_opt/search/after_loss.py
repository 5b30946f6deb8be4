"""Simulated annealing of the largest load after any single loss, on one layer."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.core import annealing
from eplb_opt.placement.scoring import FLOAT_DOUBT
from eplb_opt.search.annealing.layer import LARGEST_EXPONENT, THRESHOLDS
from eplb_opt.search.annealing.machine import machine_of, speeds_fit
from eplb_opt.search.seeds import SALT

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

#: The first temperatures of the runs, as shares of the best load; each run cools to 0.
HEATS = (0.003, 0.0003, 0.001)
#: The search minimises a p-norm of loads with p = 2**doublings; a run uses these one by one.
DOUBLINGS = (4, 5, 6)
#: Proposals of one call of the core; calls of a run where work is counted; and the most calls of a
#: run for each slot under a clock.
CALL_PROPOSALS, RUN_CALLS, CALLS_PER_SLOT = 500, 12, 4


def least_load_after_loss(
    problem: Problem,
    start: np.ndarray,
    guarded: np.ndarray,
    per_unit: int,
    deadline: Deadline,
    seed: int = 0,
    calls: int | None = None,
) -> np.ndarray:
    """A plan whose largest load after any single loss is at most the start's, by floats.

    No loss takes more tokens for good than the worst one does at the start.

    Parameters
    ----------
    problem
        A problem of one layer, without scenarios.
    start
        int64 [num_slots], valid; -1 in closed slots.
    guarded
        bool [num_experts], the experts that stand on two units and must stay on two.
    per_unit
        The number of GPUs that are lost together.
    deadline
        The end of the search; not looked at where `calls` is given.
    seed
        The seed of the search's random numbers.
    calls
        The calls of the core, as counted work that takes the place of the deadline; None under a
        clock.

    Returns
    -------
    ndarray
        Logical expert of each slot, int64 [num_slots].
    """
    if not problem.load.any() or not speeds_fit(problem):
        return start
    search = _search(problem, start, guarded, per_unit, seed)
    num_slots = int(problem.is_open.sum())
    most = search.most_taken * (1 + FLOAT_DOUBT)
    run = done = 0
    while not deadline.expired and (calls is None or done < calls):
        length = RUN_CALLS if calls is not None else CALLS_PER_SLOT * num_slots
        began, heat = time.monotonic(), HEATS[run % len(HEATS)] * search.best
        spare = math.inf if calls is not None else max(deadline.at - began, 1e-9)
        at = 0
        while at < length and not deadline.expired and (calls is None or done < calls):
            passed = max(at / length, (time.monotonic() - began) / spare)
            if calls is not None:
                passed = at / length
            left = max(1 - passed, 0.0)
            doublings = _fitting(DOUBLINGS[min(int(3 * passed), 2)], search.largest_load)
            seconds = deadline.at - time.monotonic()
            search.anneal(most, doublings, heat * left * left, CALL_PROPOSALS, seconds)
            at, done = at + 1, done + 1
        run += 1
        search.restart()
    placed = np.full(problem.num_slots, -1, dtype=np.int64)
    placed[problem.is_open] = search.plan()
    return placed


def _search(
    problem: Problem, start: np.ndarray, guarded: np.ndarray, per_unit: int, seed: int
) -> annealing.LossSearch:
    used = problem.open_slots > 0
    load = problem.load[0]
    return annealing.LossSearch(
        machine_of(problem, problem.colocation == "forbid", spread=False),
        load / load.sum() * float(problem.capacity / problem.fastest),
        np.unique(np.flatnonzero(used) // per_unit, return_inverse=True)[1].astype(np.int64),
        np.asarray(guarded, dtype=bool),
        np.array(start[problem.is_open], dtype=np.int64),
        annealing.Chance(THRESHOLDS, SALT + 1 + seed),
    )


def _fitting(doublings: int, largest: float) -> int:
    """The doublings that float64 bears, with room for a load to become four times as large."""
    digits = max(int(np.frexp(largest)[1]), 0) + 2
    while digits << doublings > LARGEST_EXPONENT:
        doublings -= 1
    return doublings
