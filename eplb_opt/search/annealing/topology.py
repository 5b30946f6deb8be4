"""Annealing of one layer with a priced topology: homes, how it cools, and when it stops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.bounds import FLAT_BOUNDS, Bound, layer_home_bound
from eplb_opt.bounds.topology import HomeBound, home_bound
from eplb_opt.certificates import Certificate
from eplb_opt.core import annealing
from eplb_opt.placement.homes import homes_of
from eplb_opt.problem import topology
from eplb_opt.problem.scenarios import blended
from eplb_opt.search.annealing.cooling import SLICES_PER_EFFORT, Cooling, Runs
from eplb_opt.search.annealing.layer import THRESHOLDS
from eplb_opt.search.annealing.machine import machine_of
from eplb_opt.search.at_home import plan_at_home
from eplb_opt.search.idle import IdleTurns
from eplb_opt.search.seeds import SALT
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.bounds.scenario_homes import ScenarioHomeBound
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options


COOLING = Cooling(first_heat=0.003, last_heat=3e-6)
#: With several loads runs begin cooler. But no exact model solves small layers then, and in layers
#: of so few slots a move changes much: there they begin hotter.
SEVERAL_COOLING = Cooling(first_heat=0.001, last_heat=1e-6)
FEW_SLOTS, HOT_COOLING = 24, Cooling(first_heat=0.1, last_heat=3e-6)


@dataclass(frozen=True)
class TopologyParams:
    """Settings of the annealing for a priced topology.

    Parameters
    ----------
    transfers, near, homeward, settling
        Chances among 1024; see `annealing.TopologySearch`.
    cooling
        How runs cool; temperatures in mean GPU loads.
    """

    transfers: int = 200
    near: int = 200
    homeward: int = 960
    settling: int = 400
    cooling: Cooling = COOLING


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
        self.problem, self.params = problem, params or _params_for(problem)
        rules = problem.topology
        part, scenario = parts_of_scenarios(problem)
        self.is_trivial = part.shape[1] == 0 or rules is None
        self.runs = Runs(self, self.params.cooling, problem.num_slots)
        self.start = np.ascontiguousarray(start, dtype=np.int64)
        if rules is None or self.is_trivial:
            return
        # A hair below the limit, for the core adds up in floating point.
        most = 2.0 if rules.max_off_home is None else rules.max_off_home - 1e-12
        self._search = annealing.TopologySearch(
            machine_of(problem, problem.colocation == "forbid"),
            np.ascontiguousarray((part * scenario).sum(axis=1)),
            np.ascontiguousarray(homes_of(problem, self.start[None])[0]),
            topology.node_of_gpus(problem),
            rules.price,
            most,
            rules.anchored,
            self.start,
            annealing.Chance(THRESHOLDS, SALT + 1 + seed),
            part,
            scenario,
            problem.has_scenarios and problem.objective == "max",
        )
        self.runs.step_at(0.0, 0.0, 1)

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

    def go_on(self) -> None:
        """Go on from the best plan."""
        self.restart(self.placed())

    def run_until(self, deadline: Deadline) -> None:
        """Anneal until the deadline: one run that cools, or several where there is time."""
        self.runs.until(deadline)

    def run_slices(self, slices: int) -> None:
        """Anneal for a number of slices in runs that cool."""
        self.runs.counted(slices)

    @property
    def largest_load(self) -> float:
        """The largest GPU load now, relative to the mean."""
        return float(self._search.largest_load)

    def advance(self, doublings: int, temperature: float, slices: int, seconds: float) -> None:
        """Anneal some slices, fewer where the seconds are over."""
        params = self.params
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


def _params_for(problem: Problem) -> TopologyParams:
    if not problem.has_scenarios:
        return TopologyParams()
    is_tiny = problem.num_slots <= FEW_SLOTS
    return TopologyParams(cooling=HOT_COOLING if is_tiny else SEVERAL_COOLING)


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
        self.bound: HomeBound | ScenarioHomeBound | None = None
        self.idle = IdleTurns()

    def solve(self, task: Task) -> Answer:
        """Anneal in a run that cools to the end of the turn; the first one proves the bound too."""
        is_first = self.search is None
        if self.search is None:
            self.search = TopologySearch(self.problem, task.start, task.seed)
        search = self.search
        if search.is_trivial:
            return Answer(verdict=Verdict.FINISHED)
        # With several loads a bound takes longer than a first short run.
        is_short = is_first and task.effort is None and self.problem.has_scenarios
        proof = None
        if self.bound is None and not is_short:
            self.bound = bound_of_layer(self.problem)
            proof = certificate_of(self.bound)
        before = search.best
        self._begin(search, task)
        if task.effort is None:
            search.run_until(task.deadline)
        else:
            search.run_slices(task.effort * SLICES_PER_EFFORT)
        verdict = self.idle.verdict(search.best < before, IDLE_TURNS, task.call_deadline)
        answer = Answer(search.placed(), verdict=verdict)
        if proof is None:
            return answer
        return replace(answer, bound=Bound(proof.bound, proof.kind), certificate=proof)

    def _begin(self, search: TopologySearch, task: Task) -> None:
        """Go on from the best plan, or from one for the next choice of homes."""
        better: list[np.ndarray] = []
        if self.bound is not None:
            pairs = zip(self.bound.choices, self.bound.of_choice, strict=True)
            better = [choice for choice, value in pairs if value < task.objective]
        # Several loads leave a first run so far from its end that the next one goes on from there.
        goes_on = task.attempt % 2 != self.problem.has_scenarios
        if len(better) < 2 or goes_on:
            search.restart(search.placed())
            return
        choice = better[task.attempt // 2 % len(better)]
        homes = choice[topology.group_of_experts(self.problem)]
        search.restart(plan_at_home(blended(self.problem), homes), homes)


def parts_of_scenarios(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Each expert's part of all tokens in each scenario of one layer, and what these count.

    Returns
    -------
    float64 [num_experts, num_scenarios] and float64 [num_scenarios]; scenarios without load or
    weight are left out.
    """
    rows = problem.load.reshape(-1, problem.num_experts)
    shares = np.array([float(share) for share in problem.shares])
    counts = (rows.sum(axis=1) > 0) & (shares > 0)
    parts = rows[counts] / rows[counts].sum(axis=1, keepdims=True)
    return np.ascontiguousarray(parts.T), shares[counts]


def certificate_of(bound: HomeBound | ScenarioHomeBound) -> Certificate:
    """What proves a bound again, of a layer with some load."""
    if isinstance(bound, HomeBound):
        data: dict[str, int | list[int]] = {"levels": list(bound.levels), "scale": bound.scale}
        return Certificate("topology", bound.value, data)
    data = {}
    for r, part in enumerate(bound.parts):
        data[f"levels_{r}"], data[f"scale_{r}"] = list(part.levels), part.scale
    return Certificate("scenario_topology", bound.value, data)


def bound_of_layer(problem: Problem) -> HomeBound | ScenarioHomeBound:
    """The bound of one layer, from the best bounds of its largest loads."""
    if problem.has_scenarios:
        return layer_home_bound(problem)
    flat = max(method(problem)[0] for method in FLAT_BOUNDS.values())
    return home_bound(problem, flat)
