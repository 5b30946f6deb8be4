"""How late plans come under short limits, in a process that has planned before."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bench.families import family_loads
from eplb_opt.clock import core_wait
from eplb_opt.planner.planner import plan
from eplb_opt.problem.problem import Problem
from eplb_opt.problem.step_cost import StepCost
from eplb_opt.problem.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Seconds that calls are given. With none there is time for the first plan alone.
LIMITS = (0.0, 0.02, 0.05, 0.1, 0.2)
FAMILY = "lognormal-1.0"
#: Loads of a plan for several of them, the logarithm by which the later load differs from that of
#: the plan in force, and what that plan had to be made.
NUM_SCENARIOS, DRIFT, IN_FORCE_SECONDS = 4, 0.1, 0.5
#: Experts of a layer, and tokens of each from 32 GPUs.
NUM_EXPERTS = 256
SOURCES = np.random.default_rng(2).integers(0, 100, (32, NUM_EXPERTS))
#: A price as the guide's, and tokens of a GPU in a step.
PRICE, BATCH_TOKENS = 0.3, 64


@dataclass(frozen=True)
class Case:
    """What is planned.

    Parameters
    ----------
    num_slots, num_gpus
        The machine.
    rules
        Further arguments of `Problem`.
    told
        Further arguments of `plan`; one of them, or "current", asks for a plan in force.
    num_loads
        Loads that the plan is for.
    """

    num_slots: int = 288
    num_gpus: int = 32
    rules: dict[str, Any] = field(default_factory=dict)
    told: dict[str, Any] | None = None
    num_loads: int = 1


def _nodes(num_nodes: int, **rules: Any) -> dict[str, Any]:
    return {"num_nodes": num_nodes, "num_groups": 8, **rules}


def _price(num_nodes: int, terms: dict[str, Any] | None = None, **rules: Any) -> dict[str, Any]:
    return _nodes(num_nodes, topology=Topology(PRICE, **rules), **(terms or {}))


def _slow_half(num_gpus: int) -> dict[str, Any]:
    """Every other GPU at half speed."""
    return {"gpu_speed": [1 - (g % 2) / 2 for g in range(num_gpus)]}


#: Costs of links between pairs of nodes, two of which are near each other.
NEAR_NODES = [[0 if a == b else 0.5 if a // 2 == b // 2 else 1 for b in range(4)] for a in range(4)]


CASES: dict[str, Case] = {
    "plain": Case(),
    "two slots a GPU": Case(num_gpus=144),
    "groups on 4 nodes": Case(rules=_nodes(4)),
    "optimal": Case(rules={"dispatch": "optimal"}),
    "nearest, 4 nodes": Case(rules={"dispatch": "nearest", "num_nodes": 4}),
    "nearest, 18 nodes": Case(num_gpus=144, rules={"dispatch": "nearest", "num_nodes": 18}),
    "rank modulo": Case(rules={"dispatch": "rank_modulo"}),
    "price, 4 nodes": Case(rules=_price(4)),
    "price, 8 nodes": Case(320, 64, rules=_price(8)),
    "price, 18 nodes": Case(num_gpus=144, rules=_price(18)),
    "price, anchored": Case(rules=_price(4, anchored=True)),
    "price, at most 0.1 off home": Case(rules=_price(4, max_off_home=0.1)),
    "price, given homes": Case(rules=_price(4, homes=[e // 8 % 4 for e in range(NUM_EXPERTS)])),
    "price, replicas apart": Case(rules=_price(4, {"colocation": "forbid"})),
    "price, unlike GPUs": Case(rules=_price(4, _slow_half(32))),
    "price, unlike GPUs, 18 nodes": Case(num_gpus=144, rules=_price(18, _slow_half(144))),
    "price, costs of links": Case(rules=_price(4, rank_costs=NEAR_NODES)),
    "price, sources of tokens": Case(rules=_price(4, sources=SOURCES)),
    "price, nearest": Case(rules=_price(4, {"dispatch": "nearest"})),
    "price, rank modulo": Case(rules=_price(4, {"dispatch": "rank_modulo"})),
    "price, four loads": Case(rules=_price(4), num_loads=NUM_SCENARIOS),
    "groups on unlike GPUs": Case(rules=_nodes(4, **_slow_half(32))),
    "replicas apart": Case(rules={"colocation": "forbid"}),
    "unequal speeds": Case(rules={"gpu_speed": [1 + (g % 3) / 4 for g in range(32)]}),
    "four loads": Case(num_loads=NUM_SCENARIOS),
    "seconds of a step": Case(
        rules={"cost": StepCost.preset("H100", "deepseek-v3"), "batch_tokens": BATCH_TOKENS}
    ),
    "plan in force": Case(told={}),
    "max_moves": Case(told={"max_moves": 300}),
    "move_tolerance": Case(told={"move_tolerance": 0.01}),
}


@dataclass(frozen=True)
class DeadlineRow:
    """Calls of one case under one limit.

    Parameters
    ----------
    case
        A name in `CASES`.
    time_limit
        Seconds that each call was given.
    median, worst
        Seconds past the limit, less what the calling thread was ready to run without a core;
        negative is before it.
    cpu_seconds
        Processor seconds of a call, the median; without time those of the first plan, its score
        and its first bound.
    gap
        Gap of the whole model in the last call.
    """

    case: str
    time_limit: float
    median: float
    worst: float
    cpu_seconds: float
    gap: float


def deadline_rows(
    cases: Sequence[str],
    limits: Sequence[float],
    calls: int,
    num_layers: int = 58,
    num_experts: int = NUM_EXPERTS,
) -> Iterator[DeadlineRow]:
    """Plan each case under each limit `calls` times, after one call that is not counted."""
    for name in cases:
        problem, told = _made(CASES[name], num_layers, num_experts)
        plan(problem, time_limit=max(limits), **told)
        for limit in limits:
            yield _row(name, problem, told, limit, calls)


def _made(case: Case, num_layers: int, num_experts: int) -> tuple[Problem, dict[str, Any]]:
    loads = [family_loads(FAMILY, num_layers, num_experts, seed) for seed in range(case.num_loads)]
    load = np.stack(loads) if case.num_loads > 1 else loads[0]
    sizes = case.num_slots, case.num_gpus
    if case.told is None:
        return Problem(load, *sizes, **case.rules), {}
    in_force = plan(Problem(load, *sizes, **case.rules), time_limit=IN_FORCE_SECONDS).plan
    drift = np.random.default_rng(1).lognormal(0.0, DRIFT, load.shape)
    later = np.rint(load * drift).astype(np.int64)
    return Problem(later, *sizes, **case.rules), {"current": in_force, **case.told}


def _row(
    name: str, problem: Problem, told: dict[str, Any], limit: float, calls: int
) -> DeadlineRow:
    late, cpu, gap = [], [], 0.0
    for _ in range(calls):
        waited, spent, began = core_wait(), time.process_time(), time.perf_counter()
        gap = plan(problem, time_limit=limit, **told).model_gap
        seconds = time.perf_counter() - began
        late.append(seconds - (core_wait() - waited) - limit)
        cpu.append(time.process_time() - spent)
    return DeadlineRow(name, limit, float(np.median(late)), max(late), float(np.median(cpu)), gap)
