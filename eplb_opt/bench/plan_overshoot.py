"""How much later than asked a plan comes, under every rule and at the largest shapes."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bench.families import family_loads
from eplb_opt.bench.memory import peak_bytes
from eplb_opt.clock import core_wait
from eplb_opt.planner.planner import plan
from eplb_opt.problem.problem import Problem
from eplb_opt.search.starts import first_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: A plan may be so late: seconds, or a part of its limit where that is more.
ALLOWED_SECONDS, ALLOWED_PART = 0.1, 0.05
#: Loads that a plan with scenarios serves, and nodes of a machine whose plans are spread.
NUM_SCENARIOS, GPUS_PER_NODE = 5, 16
#: What a call is told of the plan in force.
LIMITS: dict[str, dict[str, Any]] = {
    "": {},
    "current": {},
    "max_moves": {"max_moves": 5000},
    "move_tolerance": {"move_tolerance": 0.01},
}
FAMILY = "lognormal-1.0"


@dataclass(frozen=True)
class Shape:
    """Layers, experts, GPUs and slots a GPU."""

    num_layers: int = 94
    num_experts: int = 512
    num_gpus: int = 1024
    slots_per_gpu: int = 2

    @property
    def num_tied(self) -> int:
        """Experts that are tied to a GPU, or kept off one."""
        return min(self.num_experts, self.num_gpus) // 8

    @property
    def num_nodes(self) -> int:
        """Nodes that the GPUs stand on, at least two."""
        return max(self.num_gpus // GPUS_PER_NODE, 2)


RULES: dict[str, Callable[[Shape], dict[str, Any]]] = {
    "optimal": lambda shape: {"dispatch": "optimal"},
    "max": lambda shape: {"objective": "max"},
    "speeds": lambda shape: {"gpu_speed": [1 + (g % 3) / 4 for g in range(shape.num_gpus)]},
    "uneven": lambda shape: {"gpu_slots": _uneven_slots(shape)},
    "lost": lambda shape: {"active_gpus": [g % 16 != 15 for g in range(shape.num_gpus)]},
    "pinned": lambda shape: {"pinned": [(e, e) for e in range(shape.num_tied)]},
    "forbidden": lambda shape: {"forbidden": [(e, e + 1) for e in range(shape.num_tied)]},
    "apart": lambda shape: {"colocation": "forbid"},
    "spread-gpu": lambda shape: {"spread": "gpu"},
    "spread-node": lambda shape: {"spread": "node", "num_nodes": shape.num_nodes},
    "nodes": lambda shape: {"num_nodes": 4, "num_groups": 8},
}
#: Rules that hold together, by name; "scenarios" is for several loads.
CASES = (
    "plain",
    "optimal",
    "optimal+speeds",
    "scenarios",
    "scenarios+max",
    "scenarios+optimal",
    "scenarios+speeds",
    "speeds",
    "uneven",
    "lost",
    "pinned",
    "forbidden",
    "apart",
    "spread-gpu",
    "spread-node",
    "nodes",
    "nodes+scenarios",
    "nodes+optimal",
    "scenarios+speeds+pinned+forbidden+apart+spread-node",
    "scenarios+optimal+speeds+pinned+forbidden+apart+spread-node",
)


@dataclass(frozen=True)
class PlanOvershootRow:
    """One call in a process of its own.

    Parameters
    ----------
    case
        Rules that held, and what the call was told of the plan in force.
    slots_per_gpu
        1 or 2, for the most GPUs.
    time_limit
        What the call was given, in seconds.
    seconds, late
        Seconds from the call to the return, and seconds past the limit.
    waited
        Seconds that the calling thread was ready to run without a core.
    cpu_seconds
        Processor seconds of all threads together.
    peak_bytes
        The most memory that the process held; 0 where the system does not tell.
    """

    case: str
    slots_per_gpu: int
    time_limit: float
    seconds: float
    late: float
    waited: float
    cpu_seconds: float
    peak_bytes: int

    @property
    def late_by_itself(self) -> float:
        """How much of its lateness no lack of cores explains.

        What the calling thread was ready to run without a core is left out. It may also have
        waited for threads that had none: but a call that took less CPU time than its limit, in all
        of its threads together, is in time wherever it has a core.
        """
        return min(self.late - self.waited, self.cpu_seconds - self.time_limit)

    @property
    def keeps_its_limit(self) -> bool:
        """Whether it was late by itself by no more than is allowed."""
        return self.late_by_itself <= max(ALLOWED_SECONDS, ALLOWED_PART * self.time_limit)


def plan_overshoot_rows(
    time_limit: float, shape: Shape, cases: Sequence[str] = CASES
) -> Iterator[PlanOvershootRow]:
    """Plan every case without and with a plan in force, one call a process."""
    # A process that has planned before has memory at hand that a fresh one has not.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for case in cases:
            for limits in LIMITS:
                yield pool.submit(measured, case, limits, time_limit, shape).result()


def measured(case: str, limits: str, time_limit: float, shape: Shape) -> PlanOvershootRow:
    """One call, and what it took; imports and what a first call loads are not counted."""
    problem = problem_of(case, shape)
    told: dict[str, Any] = dict(LIMITS[limits])
    if limits:  # another layer's plan: valid here, and far from good
        told["current"] = np.roll(first_plan(problem), 1, axis=0)
    plan(Problem(np.array([[3, 2, 1, 1]]), 6, 2, dispatch=problem.dispatch), time_limit=0.01)
    waited, cpu, began = core_wait(), time.process_time(), time.perf_counter()
    plan(problem, time_limit=time_limit, **told)
    seconds = time.perf_counter() - began
    return PlanOvershootRow(
        f"{case}, {limits}" if limits else case,
        shape.slots_per_gpu,
        time_limit,
        seconds,
        seconds - time_limit,
        core_wait() - waited,
        time.process_time() - cpu,
        peak_bytes(),
    )


def problem_of(case: str, shape: Shape) -> Problem:
    """The problem of a case at that shape."""
    names = [name for name in case.split("+") if name != "plain"]
    loads = [
        family_loads(FAMILY, shape.num_layers, shape.num_experts, seed)
        for seed in range(NUM_SCENARIOS if "scenarios" in names else 1)
    ]
    rules: dict[str, Any] = {}
    for name in names:
        rules |= RULES[name](shape) if name in RULES else {}
    load = np.stack(loads) if "scenarios" in names else loads[0]
    return Problem(load, shape.num_gpus * shape.slots_per_gpu, shape.num_gpus, **rules)


def _uneven_slots(shape: Shape) -> list[int]:
    """Every fourth GPU lacks one of its slots, where it has more than one."""
    lacking = min(1, shape.slots_per_gpu - 1)
    return [shape.slots_per_gpu - (lacking if g % 4 == 0 else 0) for g in range(shape.num_gpus)]
