"""Annealing of one layer whose copies carry unequal parts, or loads that are not proportional.

Under rank modulo and nearest copy a whole number of GPUs sends to each copy, which depends on
where the copies of its expert stand. With a cost the copies carry equal parts, and what one of
them costs is read from a table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.core import annealing
from eplb_opt.problem.topology import node_of_gpus
from eplb_opt.search.across_nodes import plans_across
from eplb_opt.search.annealing.cooling import SLICES_PER_EFFORT, Cooling, Runs
from eplb_opt.search.annealing.crossing import (
    PRICED,
    PRICED_TRANSFERS,
    TURNS_OF_STARTS,
    crossing_of,
    has_price,
    proven,
    try_starts,
)
from eplb_opt.search.annealing.layer import THRESHOLDS, relative_loads
from eplb_opt.search.annealing.machine import machine_of, speeds_fit
from eplb_opt.search.by_senders import ANY_STEPS, MOST_COPIES, Work, descended, descends
from eplb_opt.search.idle import IdleTurns
from eplb_opt.search.seeds import SALT
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

Rule = annealing.ByCount | annealing.RankModulo | annealing.Nearest

#: How runs cool, in mean GPU loads, where exchanges have made the plan that they begin with; and
#: elsewhere.
COOLING, HOT = Cooling(first_heat=5e-4, last_heat=1e-8), Cooling(first_heat=0.005, last_heat=1e-7)
#: The proposals among 1024 that transfer a copy.
TRANSFERS = 120
#: Exchanges for a unit of effort, and in a turn that neither a clock nor counted work ends; in one
#: with a clock they have this part of it.
STEPS_PER_EFFORT, OPEN_TURN_STEPS, DESCENT_SHARE = 100, 20_000, 0.5
#: Plans are kept for counts of moves up to so many times the slots; beyond, the best one of all.
MOST_COUNTED = 8
#: Turns without a better plan that end the search on a layer in a call without limit.
IDLE_TURNS = 8


class ShareSearch:
    """Anytime search on one layer for the least largest load, as dispatch or cost have it.

    Parameters
    ----------
    problem
        A problem of one layer with dispatch "nearest" or "rank_modulo", or with a cost.
    start
        int64 [num_slots], a valid plan, -1 in closed slots; groups of experts stay on the nodes
        that they have in it.
    seed
        The seed of the random numbers; it decides the plan after any number of slices.
    moves
        int64 [num_gpus, num_experts], what an expert counts that is new on a GPU, 0 where the plan
        in force has it; then the best plan is kept for every count of moves.
    """

    def __init__(
        self, problem: Problem, start: np.ndarray, seed: int, moves: np.ndarray | None = None
    ) -> None:
        self.problem, self.start = problem, start
        used = problem.open_slots > 0
        most = min(int(problem.is_open.sum()) - problem.num_experts + 1, MOST_COPIES)
        is_sent = problem.splits_by_sender
        has_loads = is_sent and not problem.has_cost
        values, share = sent_loads(problem) if has_loads else costs_of_copies(problem, most)
        counts = np.bincount(start[problem.is_open], minlength=problem.num_experts)
        self.is_trivial = bool(
            values.shape[1] == 0
            or int(used.sum()) == 1
            or not speeds_fit(problem)
            or counts.max() > most
        )
        if self.is_trivial:
            return
        self._search = annealing.ShareSearch(
            machine_of(problem, problem.colocation == "forbid"),
            rule_of(problem, most),
            values,
            share,
            problem.has_scenarios and problem.objective == "max",
            self._open(start),
            annealing.Chance(THRESHOLDS, SALT + 1 + seed),
            crossing_of(problem),
            None if moves is None else np.ascontiguousarray(moves[used]),
            1 if moves is None else int(min(moves.max(), MOST_COUNTED) * len(start)) + 1,
        )
        self.transfers = PRICED_TRANSFERS if has_price(problem) else TRANSFERS
        cooling = COOLING if descends(problem) else HOT
        self.runs = Runs(
            self, PRICED if has_price(problem) else cooling, int(problem.is_open.sum())
        )
        self.runs.step_at(0.0, 0.0, 1)

    @property
    def best(self) -> float:
        """The best plan's objective, relative to the mean."""
        return float(self._search.best)

    @property
    def largest_load(self) -> float:
        """The largest GPU load now, relative to the mean."""
        return float(self._search.largest_load)

    @property
    def best_value(self) -> np.ndarray:
        """The best objective with each count of moves; one where moves do not count."""
        return self._search.values()

    def placed(self) -> np.ndarray:
        """The best plan, int64 [num_slots]; -1 in closed slots."""
        return self.plan_with_moves(-1)

    def plan_with_moves(self, num_moves: int) -> np.ndarray:
        """The best plan with that count of moves, int64 [num_slots]; -1 for any count."""
        placed = np.full(self.problem.num_slots, -1, dtype=np.int64)
        placed[self.problem.is_open] = self._search.plan(num_moves)
        return placed

    def restart(self, start: np.ndarray) -> None:
        """Go on from another plan; the best one is kept."""
        self._search.restart(self._open(start))

    def go_on(self) -> None:
        """Go on from the best plan."""
        self._search.restart(self._search.plan())

    def run_until(self, deadline: Deadline) -> None:
        """Anneal until the deadline: one run that cools, or several where there is time."""
        self.runs.until(deadline)

    def run_slices(self, slices: int) -> None:
        """Anneal for a number of slices in runs that cool."""
        self.runs.counted(slices)

    def advance(
        self,
        doublings: int,
        temperature: float,
        slices: int,
        seconds: float,
        move_price: float = 0.0,
    ) -> None:
        """Anneal some slices, fewer where the seconds are over; each move costs its price."""
        self._search.anneal(doublings, temperature, self.transfers, slices, seconds, move_price)

    def _open(self, placed: np.ndarray) -> np.ndarray:
        return np.array(placed[self.problem.is_open], dtype=np.int64)


class ShareSolver:
    """The annealing for dispatch by senders and for costs, as a solver of the schedule.

    Parameters
    ----------
    problem
        A problem of one layer.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem, self.descends = problem, descends(problem)
        self.search: ShareSearch | None = None
        self.starts = plans_across(problem) if has_price(problem) else []
        self.turns = 0
        self.idle = IdleTurns()

    def solve(self, task: Task) -> Answer:
        """Anneal in a run that cools to the end of the turn, from what exchanges make of the best.

        Exchanges of the heaviest GPU take part where every GPU sends to one copy. With a price on
        what crosses nodes the first turns begin from several plans, and the first one proves the
        bound too.
        """
        search = self.search
        is_first = search is None
        if search is None:
            search = self.search = ShareSearch(self.problem, task.start, task.seed)
        if search.is_trivial:
            return Answer(verdict=Verdict.FINISHED)
        before = search.best
        search.go_on()
        if self.descends:
            search.restart(descended(self.problem, search.placed(), work_of(task)))
            search.runs.step_at(0.0, 0.0, 1)
            search.go_on()
        slices = None if task.effort is None else task.effort * SLICES_PER_EFFORT
        if self.turns < TURNS_OF_STARTS:
            slices = try_starts(search, self.starts, task.deadline, slices)
        self.turns += 1
        if slices is None:
            search.run_until(task.deadline)
        else:
            search.run_slices(slices)
        verdict = self.idle.verdict(search.best < before, IDLE_TURNS, task.call_deadline)
        answer = Answer(search.placed(), verdict=verdict)
        found = proven(self.problem) if is_first and self.problem.has_topology else None
        return answer if found is None else replace(answer, bound=found[0], certificate=found[1])


def work_of(task: Task) -> Work:
    """The exchanges of a turn; every turn draws others."""
    seed = task.seed + task.attempt
    if task.effort is not None:
        return Work(task.effort * STEPS_PER_EFFORT, seed=seed)
    if task.deadline.is_open:
        return Work(OPEN_TURN_STEPS, seed=seed)
    return Work(ANY_STEPS, task.deadline.remaining * DESCENT_SHARE, seed=seed)


def rule_of(problem: Problem, most: int) -> Rule:
    """How the core splits an expert's tokens over its copies, of which there are `most` at most."""
    if not problem.splits_by_sender:
        return annealing.ByCount(most)
    used = problem.open_slots > 0
    if problem.dispatch == "rank_modulo":
        return annealing.RankModulo(problem.num_senders, most)
    # Nodes of which no GPU is left are not counted.
    node = np.unique(node_of_gpus(problem)[used], return_inverse=True)[1]
    first = np.concatenate(([0], np.cumsum(problem.open_slots[used])))
    return annealing.Nearest(node.astype(np.int64), first, most)


def sent_loads(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """The load of a copy to which 0, 1, ... GPUs send, and the weights of the scenarios.

    Returns
    -------
    float64 [num_experts * (senders + 1), num_scenarios], relative to the mean GPU load, and
    float64 [num_scenarios].
    """
    weight, share = relative_loads(problem)
    parts = np.arange(problem.num_senders + 1) / problem.num_senders
    values = weight[:, None, :] * parts[None, :, None]
    return values.reshape(len(weight) * len(parts), weight.shape[1]), share


def costs_of_copies(problem: Problem, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The cost of each of 0, 1, ... copies, over that of a GPU where no expert has two.

    Where every GPU sends to one copy, the cost of one to which 0, 1, ... GPUs send.

    Returns
    -------
    float64 [num_experts * (most + 1), 1], or [num_experts * (senders + 1), 1], without a column
    where nothing costs anything, and float64 [1].
    """
    sent = None if problem.costs is None else problem.costs.sent
    table = (problem.replica_cost[0, :, : most + 1] if sent is None else sent[0]).astype(np.float64)
    alone = table[:, 1 if sent is None else -1]
    mean = max(alone.sum() / int((problem.open_slots > 0).sum()), table.max() / 1e6)
    columns = 1 if table.any() else 0
    return table.reshape(-1, 1)[:, :columns] / max(mean, 1e-300), np.ones(columns)
