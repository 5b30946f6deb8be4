"""Annealing of one layer with a priced topology: homes, how it cools, and when it stops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import isinf
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.bounds import FLAT_BOUNDS, Bound, layer_home_bound
from eplb_opt.bounds.links import FEW_STEPS, MANY_STEPS
from eplb_opt.bounds.priced import PricedBound, priced_bound
from eplb_opt.bounds.topology import HomeBound, home_bound
from eplb_opt.certificates import Certificate, bound_source
from eplb_opt.core import annealing
from eplb_opt.placement.homes import homes_of
from eplb_opt.problem import topology
from eplb_opt.problem.scenarios import blended
from eplb_opt.search.annealing.cooling import SLICES_PER_EFFORT, Cooling, Runs
from eplb_opt.search.annealing.layer import THRESHOLDS
from eplb_opt.search.annealing.machine import machine_of, speeds_fit
from eplb_opt.search.annealing.packed import NodeArguments, PackedNodes, PackedRuns, slots_alike
from eplb_opt.search.at_home import plan_at_home
from eplb_opt.search.idle import IdleTurns
from eplb_opt.search.seeds import SALT
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from fractions import Fraction

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


#: Where the core pairs replicas by itself. Counts decide more there: a replica's weight is that of
#: half a GPU, and the pairs of a whole node follow from it.
PAIRED = TopologyParams(
    transfers=400, homeward=400, settling=100, cooling=Cooling(first_heat=0.002, last_heat=1e-5)
)
#: Turns without a better plan that end the search on a layer in a call without limit.
IDLE_TURNS = 8
#: A first turn of fewer seconds has no bound: where homes are known, or every node takes one group,
#: and where there are more choices, each with a bound of its own.
FIRST_BOUND, FIRST_OF_CHOICES = 0.01, 0.05
#: A better bound, which takes some times as long as the first one, is for turns so many times that.
LONG_TURN = 40


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
        self.problem, self.params = problem, params or params_for(problem)
        rules = problem.topology
        part, scenario = parts_of_scenarios(problem)
        self.is_trivial = part.shape[1] == 0 or rules is None or not speeds_fit(problem)
        self.runs = Runs(self, self.params.cooling, problem.num_slots)
        self.start = np.ascontiguousarray(start, dtype=np.int64)
        self.packed: PackedRuns | None = None
        if rules is None or self.is_trivial:
            return
        # A hair below the limit, for the core adds up in floating point; but nothing is 0 there.
        most = np.inf if rules.max_off_home is None else max(rules.max_off_home - 1e-12, 0.0)
        is_there = problem.open_slots > 0
        node = topology.node_of_gpus(problem)[is_there]
        # The core takes the mean over as many GPUs as the fastest; what it adds up is so much more.
        self.scale = float(len(node) * problem.fastest / problem.capacity)
        links = problem.link_costs
        places, place = np.unique(links.place[is_there], return_inverse=True)
        given = NodeArguments(
            machine_of(problem, problem.colocation == "forbid"),
            np.ascontiguousarray((part * scenario).sum(axis=1)),
            node,
            rules.price * self.scale,
            most,
            rules.anchored,
            np.ascontiguousarray(links.table[0][:, places] / links.unit[0]),
            place,
            links.by_home,
        )
        num_slots = slots_alike(problem) if given.costs_by_node else 0
        if num_slots > 2:
            self.packed = PackedRuns(self, PackedNodes(problem, given, seed))
        several = (part, scenario, problem.objective == "max") if problem.has_scenarios else ()
        kind = annealing.PairedSearch if num_slots == 2 else annealing.TopologySearch
        self.now = self.start[problem.is_open], np.ascontiguousarray(self.homes(self.start))
        self._search: annealing.PairedSearch | annealing.TopologySearch = kind(
            given.machine,
            given.share,
            self.now[1],
            given.node,
            given.price,
            given.most,
            given.anchored,
            self.now[0],
            annealing.Chance(THRESHOLDS, SALT + 1 + seed),
            given.cost,
            given.place,
            given.by_home,
            *several,
        )
        self.runs.step_at(0.0, 0.0, 1)

    @property
    def best(self) -> float:
        """The best plan's objective."""
        return float(self._search.best) / self.scale

    def placed(self) -> np.ndarray:
        """The best plan, int64 [num_slots]."""
        if self.is_trivial:
            return self.start
        placed = np.full(self.problem.num_slots, -1, dtype=np.int64)
        placed[self.problem.is_open] = self._search.plan()
        return placed

    def homes(self, placed: np.ndarray) -> np.ndarray:
        """The home nodes that go with a plan, int64 [num_experts]."""
        return np.asarray(homes_of(self.problem, placed[None])[0])

    def restart(self, start: np.ndarray, homes: np.ndarray | None = None) -> None:
        """Go on from another plan, with given homes or those that go with it."""
        rows = np.ascontiguousarray(start, dtype=np.int64)
        homes = self.homes(rows) if homes is None else homes
        self.restart_at(rows[self.problem.is_open], np.ascontiguousarray(homes))

    def restart_at(self, slots: np.ndarray, homes: np.ndarray) -> None:
        """Go on from the open slots of another plan, with given homes; int64 both."""
        self.now = slots, homes
        self._search.restart(slots, homes)

    def go_on(self) -> None:
        """Go on from the best plan."""
        self.restart(self.placed())

    def run_until(self, deadline: Deadline) -> None:
        """Anneal until the deadline: one run that cools, or several where there is time."""
        if self.packed is None or not self.packed.is_due():
            self.runs.until(deadline)
        else:
            self.packed.until(deadline)

    def run_slices(self, slices: int) -> None:
        """Anneal for a number of slices in runs that cool."""
        if self.packed is None or not self.packed.is_due():
            self.runs.counted(slices)
        else:
            self.packed.counted(slices)

    @property
    def largest_load(self) -> float:
        """The largest GPU load now, relative to the mean."""
        return float(self._search.largest_load)

    def advance(self, doublings: int, temperature: float, slices: int, seconds: float) -> None:
        """Anneal some slices, fewer where the seconds are over."""
        params = self.params
        self._search.anneal(
            doublings,
            temperature * self.scale,
            params.transfers,
            params.near,
            params.homeward,
            params.settling,
            slices,
            seconds,
        )


def params_for(problem: Problem) -> TopologyParams:
    """The settings that suit a layer."""
    if not problem.has_scenarios:
        return PAIRED if pairs_follow(problem) else TopologyParams()
    is_tiny = problem.num_slots <= FEW_SLOTS
    return TopologyParams(cooling=HOT_COOLING if is_tiny else SEVERAL_COOLING)


def pairs_follow(problem: Problem) -> bool:
    """Whether the core need not decide which replicas of a node share a GPU.

    With two slots on every GPU, the heaviest one does with the lightest, and so on; where replicas
    of an expert may not share a GPU, that may be forbidden, and costs may differ within a node.
    """
    return slots_alike(problem) == 2 and not problem.link_costs.tells_gpus_apart


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

    #: Slices of a run of its own on a tiny layer with several loads.
    part_slices = HOT_COOLING.run_slices

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.search: TopologySearch | None = None
        self.bound: HomeBound | ScenarioHomeBound | None = None
        self.idle = IdleTurns()
        # Newton steps of the bounds that are still to come, where GPUs have costs of their own by
        # node before by GPU; and the steps of the last one with its seconds.
        rules = problem.topology
        is_known = rules is None or rules.homes is not None
        has_one = is_known or problem.num_groups == problem.num_nodes
        self.first_bound = FIRST_BOUND if has_one else FIRST_OF_CHOICES
        by_gpu = problem.link_costs.num_places > problem.num_nodes
        by_node = ((FEW_STEPS, True),) if by_gpu else ()
        self.next_steps = ((0, False), *by_node, (FEW_STEPS, False), (MANY_STEPS, False))
        self.num_quick, self.steps, self.seconds = 2, (0, False), 0.0

    def solve(self, task: Task) -> Answer:
        """Anneal in a run that cools to the end of the turn; the first ones prove the bound too."""
        # A bound takes longer than a first short run: with several loads always.
        is_first = self.search is None and task.effort is None
        several = self.problem.has_scenarios
        is_short = is_first and (several or task.deadline.remaining < self.first_bound)
        if self.search is None:
            self.search = self.make_search(task.start, task.seed)
        priced = None if is_short else self._priced(task)
        search = self.search
        if search.is_trivial:
            return Answer(verdict=Verdict.FINISHED)
        before = search.best
        if task.effort is None:
            self._begin(search, task.attempt, task.objective)
            search.run_until(task.deadline)
        else:
            self._run_counted(search, task, task.effort * SLICES_PER_EFFORT)
        verdict = self.idle.verdict(search.best < before, IDLE_TURNS, task.call_deadline)
        answer = Answer(search.placed(), verdict=verdict)
        certificate = None if priced is None else self.certificate_of(priced)
        if certificate is None:
            return answer
        bound = Bound(certificate.bound, bound_source(certificate))
        return replace(answer, bound=bound, certificate=certificate)

    def _priced(self, task: Task) -> PricedBound | None:
        """The next bound: the first turns of a clock have quick ones, and long turns the best."""
        if not self.next_steps:
            return None
        before, is_counted = task.deadline.remaining, task.effort is not None
        is_long = is_counted or before >= LONG_TURN * self.seconds
        if not (is_long or self.num_quick):
            return None
        self.num_quick = max(self.num_quick - 1, 0)
        self.steps = self.next_steps[-1 if is_counted else 0]
        self.next_steps = () if is_counted else self.next_steps[1:]
        priced = self.prove()
        self.seconds = 0.0 if isinf(before) else before - task.deadline.remaining
        self.bound = priced.homes or self.bound
        rules = self.problem.topology
        has_one = self.problem.splits_by_sender or self.problem.has_scenarios
        if has_one or rules is None or rules.chooses_homes:
            self.next_steps = ()  # those bounds take no steps
        return priced

    def make_search(self, start: np.ndarray, seed: int) -> TopologySearch:
        """The search from a plan."""
        return TopologySearch(self.problem, start, seed)

    def prove(self) -> PricedBound:
        """The bound of the layer, with the choices of homes by theirs."""
        if self.problem.has_scenarios:
            return scenario_bound_of_layer(self.problem)
        return priced_bound(self.problem, flat_bound_of_layer(self.problem), *self.steps)

    def leads_elsewhere(
        self, search: TopologySearch, better: list[np.ndarray], objective: Fraction
    ) -> bool:
        """Whether the choices below the objective hold another one than the best plan's."""
        return len(better) > 1

    def certificate_of(self, priced: PricedBound) -> Certificate | None:
        """What proves a bound again; None where there is nothing to prove."""
        return Certificate(priced.source, priced.value, priced.data) if priced.data else None

    def _run_counted(self, search: TopologySearch, task: Task, slices: int) -> None:
        """Anneal for a number of slices; tiny layers with several loads in runs of their own."""
        is_cut = self.problem.has_scenarios and self.problem.num_slots <= FEW_SLOTS
        parts = max(slices // self.part_slices, 1) if is_cut else 1
        for part in range(parts):
            self._begin(search, task.attempt * parts + part, task.objective)
            search.run_slices(slices // parts)

    def _begin(self, search: TopologySearch, attempt: int, objective: Fraction) -> None:
        """Go on from the best plan, or from one for the next choice of homes."""
        better: list[np.ndarray] = []
        if self.bound is not None:
            bounds: tuple[Fraction | float, ...] = self.bound.of_choice
            pairs = zip(self.bound.choices, bounds, strict=True)
            better = [choice for choice, value in pairs if value < objective]
        # Several loads leave a first run so far from its end that the next one goes on from there.
        goes_on = attempt % 2 != self.problem.has_scenarios
        if goes_on or not self.leads_elsewhere(search, better, objective):
            search.restart(search.placed())
            return
        choice = better[attempt // 2 % len(better)]
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


def scenario_bound_of_layer(problem: Problem) -> PricedBound:
    """The bound of one layer with several loads, with what proves it again."""
    bound = layer_home_bound(problem)
    data: dict[str, int | list[int]] = {}
    for r, part in enumerate(bound.parts):
        data[f"levels_{r}"], data[f"scale_{r}"] = list(part.levels), part.scale
    is_proof = any(part.levels for part in bound.parts)
    return PricedBound(bound.value, "scenario_topology", data if is_proof else {}, bound)


def bound_of_layer(problem: Problem) -> HomeBound:
    """The bound of one layer, from the best bound of its largest load."""
    return home_bound(problem, flat_bound_of_layer(problem))


def flat_bound_of_layer(problem: Problem) -> Fraction:
    """The best bound of the layer's largest load alone, in integer units."""
    return max(method(problem)[0] for method in FLAT_BOUNDS.values())
