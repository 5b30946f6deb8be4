"""One policy on its way through a recording."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.clock import core_wait
from eplb_opt.errors import ProblemError
from eplb_opt.placement.moves import moved_slots_by_gpu
from eplb_opt.placement.plan import Plan
from eplb_opt.workloads.replay.report import PolicyRun, mean_of
from eplb_opt.workloads.replay.scores import Placed, Steps

if TYPE_CHECKING:
    from eplb_opt.problem.machine import Machine
    from eplb_opt.workloads.replay.policies import Policy, ReplanLimits


@dataclass(eq=False)
class Run:
    """The plan in force, and the figures so far.

    Parameters
    ----------
    name, policy, machine, limits
        The policy under its name, the machine, and what a re-plan may cost.
    placed
        The plan in force; None before the first.
    problem
        Why the policy makes no plans, or nothing.
    gpu, slot
        Balancedness of the GPUs and of the slots, float64 [num_steps, num_layers] a window.
    seen
        Balancedness of each plan on the steps that it was made from.
    moves, busiest
        Moved slots of each plan, and summed over the layers those of the GPU that receives most.
    seconds
        Seconds that each plan took to make, without waiting for a core.
    scored, num_scored
        Sum and number of the balancedness values that were held out.
    """

    name: str
    policy: Policy
    machine: Machine
    limits: ReplanLimits
    placed: Placed | None = None
    problem: str = ""
    gpu: list[np.ndarray] = field(default_factory=list)
    slot: list[np.ndarray] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    moves: list[int] = field(default_factory=list)
    busiest: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    scored: float = 0.0
    num_scored: int = 0

    @property
    def mean(self) -> float:
        """Held-out mean so far; below all others where there is none."""
        return self.scored / self.num_scored if self.num_scored else -1.0

    def score(self, steps: Steps) -> None:
        """Note how level the plan in force is on the steps; before the first there is none."""
        if self.placed is None:
            return
        gpu, slot = self.placed.balancedness(steps)
        self.gpu.append(gpu)
        self.slot.append(slot)
        self.scored += float(np.nansum(gpu))
        self.num_scored += int((~np.isnan(gpu)).sum())

    def replan(self, past: np.ndarray) -> bool:
        """Plan from the past; whether there is a new plan."""
        if self.problem or (self.policy.once and self.placed is not None):
            return False
        scenarios = self.policy.scenarios(past)
        problem = self.machine.problem(scenarios.load, scenarios.weights)
        current = None if self.placed is None else self.placed.physical_to_logical
        waited, began = core_wait(), time.perf_counter()
        try:
            ids = np.asarray(self.policy.planner(problem, current, self.limits))
            # A busy machine's other work is no part of planning.
            took = max(time.perf_counter() - began - (core_wait() - waited), 0.0)
            plan = Plan(ids, problem.num_gpus, problem.num_experts)
            plan.check(problem)
        except (ImportError, ValueError) as error:
            # What our own planner refuses is the caller's to mend, and would fail every policy.
            if isinstance(error, ProblemError) and not self.policy.is_heuristic:
                raise
            self.problem, self.placed = str(error), None
            return False
        self.seconds.append(took)
        machine = self.machine.dispatch, self.machine.num_nodes
        placed = Placed(plan.physical_to_logical, plan.num_gpus, plan.num_experts, *machine)
        self._change_to(placed)
        # Weights aside: a figure to set beside the held-out one, not an objective.
        self.seen.append(mean_of(placed.balancedness(Steps.of(scenarios.load))[0]))
        return True

    def follow(self, others: list[Run]) -> bool:
        """Take over the plan of the best so far; whether there is one."""
        ready = [run for run in others if run.placed is not None]
        best = max(ready, key=lambda run: run.mean, default=None)
        if best is None or best.placed is None:
            self.problem = "There is no other policy of ours to follow."
            return False
        self._change_to(best.placed)
        self.seen.append(best.seen[-1])
        # All of them have to plan, that one of them may be followed.
        again = [run for run in ready if not run.policy.once or self.num_scored == 0]
        self.seconds.append(sum(run.seconds[-1] for run in again))
        return True

    def _change_to(self, placed: Placed) -> None:
        both = (self.placed or placed, placed)
        old, new = (Plan(each.physical_to_logical, each.num_gpus) for each in both)
        by_gpu = moved_slots_by_gpu(old, new)
        self.moves.append(int(by_gpu.sum()))
        self.busiest.append(int(by_gpu.max(axis=1).sum()))
        self.placed = placed

    def finished(self) -> PolicyRun:
        """What there is to report."""
        empty = np.zeros(0)
        return PolicyRun(
            self.name,
            self.policy.is_heuristic,
            np.concatenate([empty, *self.gpu]) if not self.problem else empty,
            np.concatenate([empty, *self.slot]) if not self.problem else empty,
            np.array(self.seen),
            np.array(self.moves, dtype=np.int64),
            np.array(self.seconds),
            self.problem,
            self.machine.dispatch,
            np.array(self.busiest, dtype=np.int64),
        )
