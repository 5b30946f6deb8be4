"""The serving call with a price on what is served off home, beside its rivals, by turns."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.engines.rebalance import rebalance_experts
from eplb_opt.placement.homes import off_home
from eplb_opt.placement.plan import as_plan
from eplb_opt.planner.evaluate import evaluate
from eplb_opt.planner.planner import plan
from eplb_opt.problem.problem import Problem
from eplb_opt.problem.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from eplb_opt.problem.machine import Machine

    Policy = Callable[[], Any]

MACHINES = ("288x32/4/8", "320x64/8/8", "288x72/9/8", "288x144/18/8")
#: Steps of the serving call, a policy each.
EFFORTS = (10, 30, 100)
#: Seconds of the serving call, a policy each.
LIMITS = (0.005,)
#: Steps of the plans without a price.
EFFORT_WITHOUT = 100
#: The policy of the engines, in our own code.
GREEDY = "deepseek"


@dataclass(frozen=True)
class PriceRow:
    """One policy on one machine at one price.

    Parameters
    ----------
    loads, machine, price, policy
        What was measured.
    load
        The largest over the mean GPU load, the mean of the layers.
    off_home
        The share of assignments that is served off home, the mean of the layers, under the homes
        that suit the plan best.
    objective
        The load plus the price times that share.
    above_bound
        The part by which the objectives, summed over the layers, exceed the bounds that hold
        without search.
    above_planner
        The same of the planner's plan; None where there is none.
    seconds, processor_seconds
        Medians of a call, by the clock and by the time that it had a core.
    """

    loads: str
    machine: str
    price: float
    policy: str
    load: float
    off_home: float
    objective: float
    above_bound: float
    above_planner: float | None
    seconds: float
    processor_seconds: float


def price_rows(
    name: str,
    weight: np.ndarray,
    machine: Machine,
    price: float,
    *,
    efforts: Sequence[int] = EFFORTS,
    limits: Sequence[float] = LIMITS,
    rounds: int = 5,
    offline: float = 0.0,
) -> Iterator[PriceRow]:
    """Measure all policies, by turns.

    Parameters
    ----------
    name
        What the loads are called.
    weight
        The loads, [num_layers, num_experts].
    machine
        Slots, GPUs, nodes and groups, which need not divide.
    price
        Of the share that is served off home, as of `Topology`.
    efforts, limits
        Steps and seconds of the serving call at the price.
    rounds
        Calls of each policy that are timed.
    offline
        Seconds that the planner gets, as a reference; 0 leaves it out.

    Yields
    ------
    A row a policy. Plans with groups on their nodes are left out where numbers do not divide.

    Raises
    ------
    ProblemError
        When the loads do not fit the machine, or the price cannot be used.
    """
    sizes = machine.num_slots, machine.num_groups, machine.num_nodes, machine.num_gpus
    problem = Problem(
        weight, sizes[0], sizes[3], sizes[2], sizes[1], topology=Topology(price=price)
    )
    chosen = _policies(weight, sizes, price, efforts, limits)
    planner = f"planner, {offline:g} s"
    if offline:
        chosen[planner] = partial(_offline, problem, offline)
    placed, times = _called(chosen, rounds, once={planner})
    bounds = fast_bounds(problem)
    worth = {policy: evaluate(problem, row, bounds) for policy, row in placed.items()}
    best = worth[planner].objective.sum() if offline else None
    for policy, row in placed.items():
        mean = float(worth[policy].objective.mean())
        away = float(sum(off_home(problem, as_plan(row, problem).physical_to_logical)))
        seconds, processor_seconds = np.median(times[policy], axis=0).tolist()
        yield PriceRow(
            name,
            str(machine),
            price,
            policy,
            mean - price * away / problem.num_layers,
            away / problem.num_layers,
            mean,
            worth[policy].model_gap,
            float(worth[policy].objective.sum() / best) - 1 if best else None,
            seconds,
            processor_seconds,
        )


def _policies(
    weight: np.ndarray,
    sizes: tuple[int, int, int, int],
    price: float,
    efforts: Sequence[int],
    limits: Sequence[float],
) -> dict[str, Policy]:
    from heuristics import HEURISTICS

    slots, groups, nodes, gpus = sizes
    flat = slots, 1, 1, gpus
    greedy = HEURISTICS[GREEDY]
    chosen: dict[str, Policy] = {}
    divides = groups % nodes == 0 and gpus % nodes == 0 and weight.shape[1] % groups == 0
    if divides:
        chosen[f"{GREEDY}, groups on nodes"] = partial(greedy, weight, *sizes)
    chosen[f"{GREEDY}, flat"] = partial(greedy, weight, *flat)
    ours = {"groups on nodes": sizes, "flat": flat} if divides else {"flat": flat}
    for how, numbers in ours.items():
        chosen[f"ours, {how}"] = partial(rebalance_experts, weight, *numbers, effort=EFFORT_WITHOUT)
    priced = partial(rebalance_experts, weight, *sizes, topology_price=price)
    for effort in efforts:
        chosen[f"ours, priced, effort {effort}"] = partial(priced, effort=effort)
    for limit in limits:
        chosen[f"ours, priced, {1000 * limit:g} ms"] = partial(priced, time_limit=limit)
    return chosen


def _called(
    chosen: Mapping[str, Policy], rounds: int, once: set[str]
) -> tuple[dict[str, np.ndarray], dict[str, list[tuple[float, float]]]]:
    """Maps, and seconds and processor seconds of every call but the first, which warms caches."""
    placed: dict[str, np.ndarray] = {}
    times: dict[str, list[tuple[float, float]]] = {policy: [] for policy in chosen}
    for turn in range(rounds + 1):
        for policy, call in chosen.items():
            if turn > 0 and policy in once:
                continue
            began, worked = time.perf_counter(), time.process_time()
            maps = call()
            took = time.perf_counter() - began, time.process_time() - worked
            placed[policy] = np.asarray(maps[0])
            if turn > 0 or policy in once:
                times[policy].append(took)
    return placed, times


def _offline(problem: Problem, seconds: float) -> tuple[np.ndarray]:
    return (plan(problem, time_limit=seconds).plan.physical_to_logical,)
