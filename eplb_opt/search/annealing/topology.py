"""Annealing of one layer with a priced topology: homes, how it cools, and when it stops."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.bounds import FLAT_BOUNDS, Bound
from eplb_opt.bounds.topology import HomeBound, home_bound
from eplb_opt.certificates import Certificate
from eplb_opt.core import annealing
from eplb_opt.placement.homes import homes_of
from eplb_opt.problem import topology
from eplb_opt.search.annealing.layer import LARGEST_EXPONENT, THRESHOLDS
from eplb_opt.search.annealing.machine import machine_of
from eplb_opt.search.at_home import plan_at_home
from eplb_opt.search.idle import IdleTurns
from eplb_opt.search.seeds import SALT
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options


@dataclass(frozen=True)
class TopologyParams:
    """Settings of the annealing for a priced topology.

    Parameters
    ----------
    first_heat, last_heat
        The temperature at the beginning and at the end of a run, in mean GPU loads; between them it
        falls by the same factor in equal parts of the run.
    doublings
        The search minimises a p-norm of loads with p = 2**doublings, one after the other.
    transfers, near, homeward, settling
        Chances among 1024; see `annealing.TopologySearch`.
    run_slices
        The most slices of a run for each slot; a longer turn has several runs.
    """

    first_heat: float = 0.003
    last_heat: float = 3e-6
    doublings: tuple[int, ...] = (5, 6, 7, 8, 9)
    transfers: int = 200
    near: int = 200
    homeward: int = 960
    settling: int = 400
    run_slices: int = 200


#: Slices of a call of the core: where work is counted, and the most under a clock.
COUNTED_SLICES, MAX_CALL_SLICES = 8, 256
#: Seconds that a call of the core takes before the clock is looked at.
CALL_SECONDS = 0.002
#: Slices for one unit of effort, and of a turn that neither a clock nor counted work ends.
SLICES_PER_EFFORT, OPEN_TURN_SLICES = 16, 20_000
#: Turns without a better plan that end the search on a layer in a call without limit.
IDLE_TURNS = 8


class TopologySearch:
    """Anytime search on one layer for the least load and price of what is off home.

    Parameters
    ----------
    problem
        A problem of one layer with a topology.
    start
        int64 [num_slots], a valid plan.
    seed
        The seed of the random numbers; it decides the plan after any number of slices.
    """

    def __init__(
        self, problem: Problem, start: np.ndarray, seed: int, params: TopologyParams | None = None
    ) -> None:
        self.problem, self.params = problem, params or TopologyParams()
        rules = problem.topology
        total = int(problem.load.sum())
        self.is_trivial = total == 0 or rules is None
        self.call_slices = COUNTED_SLICES
        self.start = np.ascontiguousarray(start, dtype=np.int64)
        if rules is None or total == 0:
            return
        # A hair below the limit, for the core adds up in floating point.
        most = 2.0 if rules.max_off_home is None else rules.max_off_home - 1e-12
        self._search = annealing.TopologySearch(
            machine_of(problem, problem.colocation == "forbid"),
            problem.load[0] / total,
            np.ascontiguousarray(homes_of(problem, self.start[None])[0]),
            topology.node_of_gpus(problem),
            rules.price,
            most,
            rules.anchored,
            self.start,
            annealing.Chance(THRESHOLDS, SALT + 1 + seed),
        )
        self._advance(0.0, 0.0, 1)

    @property
    def best(self) -> float:
        """The best plan's objective."""
        return float(self._search.best)

    def placed(self) -> np.ndarray:
        """The best plan, int64 [num_slots]."""
        return self.start if self.is_trivial else self._search.plan()

    def restart(self, start: np.ndarray, homes: np.ndarray | None = None) -> None:
        """Go on from another plan, with given homes or those that go with it."""
        rows = np.ascontiguousarray(start, dtype=np.int64)
        if homes is None:
            homes = homes_of(self.problem, rows[None])[0]
        self._search.restart(rows, np.ascontiguousarray(homes))

    def run_until(self, deadline: Deadline) -> None:
        """Anneal until the deadline: one run that cools, or several where there is time."""
        if math.isinf(deadline.at):
            self.run_slices(OPEN_TURN_SLICES)
            return
        while time.monotonic() < deadline.at:
            self._run_until(deadline)
            self.restart(self.placed())

    def _run_until(self, deadline: Deadline) -> None:
        began = last = time.monotonic()
        longest = self.params.run_slices * self.problem.num_slots
        length, done = max(deadline.at - began, 1e-9), 0
        while last < deadline.at and done < longest:
            passed = max((last - began) / length, done / longest)
            self._advance(passed, self._heat(passed), self.call_slices, deadline.at - last)
            done += self.call_slices
            now = time.monotonic()
            faster = now - last < CALL_SECONDS
            slices = self.call_slices * 2 if faster else self.call_slices // 2
            self.call_slices = min(max(slices, 1), MAX_CALL_SLICES)
            last = now

    def run_slices(self, slices: int) -> None:
        """Anneal for a number of slices in runs that cool."""
        longest = self.params.run_slices * self.problem.num_slots
        while slices > 0:
            length = min(slices, longest)
            for done in range(0, length, COUNTED_SLICES):
                passed = done / length
                self._advance(passed, self._heat(passed), min(COUNTED_SLICES, length - done))
            slices -= length
            if slices > 0:
                self.restart(self.placed())

    def _heat(self, passed: float) -> float:
        params = self.params
        # Rounded, because machines differ in how they round powers.
        ratio = params.last_heat / params.first_heat
        return float(f"{params.first_heat * ratio**passed:.9e}")

    def _advance(
        self, passed: float, temperature: float, slices: int, seconds: float = math.inf
    ) -> None:
        params = self.params
        doublings = params.doublings[
            min(int(passed * len(params.doublings)), len(params.doublings) - 1)
        ]
        # A swap can double a GPU's load, and its power must stay a number.
        digits = math.frexp(self._search.largest_load)[1] + 1
        while digits << doublings > LARGEST_EXPONENT:
            doublings -= 1
        self._search.anneal(
            doublings,
            temperature,
            params.transfers,
            params.near,
            params.homeward,
            params.settling,
            slices,
            seconds,
        )


class TopologySolver:
    """The annealing for a priced topology as a solver of the schedule.

    Where homes are chosen with the plan, turns begin from the best plan so far and, in between,
    from a plan for another choice of homes: the next of those whose bound is below the best plan.

    Parameters
    ----------
    problem
        A problem of one layer with a topology.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.search: TopologySearch | None = None
        self.bound = HomeBound(Fraction(0), (), 1, np.zeros((0, 0), dtype=np.int64), ())
        self.idle = IdleTurns()

    def solve(self, task: Task) -> Answer:
        """Anneal in a run that cools to the end of the turn; the first one proves the bound too."""
        is_first = self.search is None
        if self.search is None:
            self.search = TopologySearch(self.problem, task.start, task.seed)
            self.bound = bound_of_layer(self.problem)
        search = self.search
        if search.is_trivial:
            return Answer(verdict=Verdict.FINISHED)
        before = search.best
        self._begin(search, task)
        if task.effort is None:
            search.run_until(task.deadline)
        else:
            search.run_slices(task.effort * SLICES_PER_EFFORT)
        verdict = self.idle.verdict(search.best < before, IDLE_TURNS, task.call_deadline)
        answer = Answer(search.placed(), verdict=verdict)
        if not is_first or not self.bound.levels:
            return answer
        data: dict[str, int | list[int]] = {
            "levels": list(self.bound.levels),
            "scale": self.bound.scale,
        }
        value = self.bound.value
        certificate = Certificate("topology", value, data)
        return replace(answer, bound=Bound(value, "topology"), certificate=certificate)

    def _begin(self, search: TopologySearch, task: Task) -> None:
        """Go on from the best plan, or from one for the next choice of homes."""
        better = [
            choice
            for choice, value in zip(self.bound.choices, self.bound.of_choice, strict=True)
            if value < task.objective
        ]
        if len(better) < 2 or task.attempt % 2:
            search.restart(search.placed())
            return
        choice = better[task.attempt // 2 % len(better)]
        homes = choice[topology.group_of_experts(self.problem)]
        search.restart(plan_at_home(self.problem, homes), homes)


def bound_of_layer(problem: Problem) -> HomeBound:
    """The bound of one layer, from the best bound of its largest load."""
    flat = max(method(problem)[0] for method in FLAT_BOUNDS.values())
    return home_bound(problem, flat)
