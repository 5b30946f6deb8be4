"""The local search on one layer of one load: its nodes in fixed-point loads, for the core."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.partitions import best_partition
from eplb_opt.core import local
from eplb_opt.search.idle import IdleTurns
from eplb_opt.search.starts import no_colocation_slots
from eplb_opt.solver import Answer, Task, Verdict
from heuristics import greedy

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: A gap below half a token, or below this share of the bound, is not worth closing.
NEGLIGIBLE_GAP = 2e-6
#: The turns without a better plan that end the search on a layer in a call without limit.
IDLE_TURNS = 20
#: The steps of the search for one unit of effort.
STEPS_PER_EFFORT = 10


class LayerSearch:
    """Anytime local search on one layer; every call goes on where the last one stopped.

    Parameters
    ----------
    problem
        A problem of one layer with some load.
    start
        int64 [num_slots], a valid plan.
    lower_bound
        A proven lower bound, in integer units: the search stops close to it.
    seed
        The seed of the random kicks; it decides the plan after any number of steps.
    """

    def __init__(
        self, problem: Problem, start: np.ndarray, lower_bound: Fraction, seed: int
    ) -> None:
        self.problem = problem
        total = int(problem.load.sum())
        self.weight = local.fixed_point(problem.load[0])
        self.experts = self._experts_of_nodes()
        allowed = min(lower_bound * Fraction(NEGLIGIBLE_GAP), problem.half_token(0))
        self.search = local.LayerSearch(
            self.weight[self.experts],
            self._starts(start),
            problem.num_gpus // len(self.experts),
            problem.colocation == "forbid",
            int((lower_bound + allowed) * local.TOTAL / total),
            seed % 2**63,
        )

    @property
    def best(self) -> int:
        """The largest fixed-point GPU load of the best plan."""
        return int(self.search.best)

    @property
    def is_done(self) -> bool:
        """Whether the plan is so close to the bound that the rest is not worth closing."""
        return bool(self.search.is_done)

    @property
    def is_polished(self) -> bool:
        """Whether the heaviest node has been at a local optimum."""
        return bool(self.search.is_polished)

    def placed(self) -> np.ndarray:
        """The best plan, int64 [num_slots]."""
        return np.take_along_axis(self.experts, self.search.best_slots(), axis=1).ravel()

    def run_until(self, deadline: Deadline) -> None:
        """Search until the deadline, or until done; at least one step.

        A first call ends at the first local optimum, so that other layers reach theirs too.
        """
        self.search.run_until(deadline.remaining)

    def run_steps(self, steps: int) -> None:
        """Search for a number of steps, or until done."""
        self.search.run_steps(steps)

    def _experts_of_nodes(self) -> np.ndarray:
        """The experts of each node, int64 [num_nodes, num_experts]; a flat problem has one node."""
        if not self.problem.is_hierarchical:
            return np.arange(self.problem.num_experts)[None, :]
        size = self.problem.experts_per_group
        groups = np.array(best_partition(self.problem))
        return (groups[:, :, None] * size + np.arange(size)).reshape(len(groups), -1)

    def _starts(self, start: np.ndarray) -> np.ndarray:
        """A plan of each node in its own expert numbers, int64 [num_nodes, num_slots]."""
        if not self.problem.is_hierarchical:
            return start[None, :]
        slots, num_gpus = self.problem.slots_per_node, self.problem.gpus_per_node
        if self.problem.colocation == "forbid":
            loads = [self.problem.load[0, experts].tolist() for experts in self.experts]
            return np.array(
                [no_colocation_slots(load, num_gpus, self.problem.slots_per_gpu) for load in loads]
            )
        weights = self.weight[self.experts].astype(float)
        return np.asarray(greedy.rebalance_experts(weights, slots, 1, 1, num_gpus)[0])


class LocalSolver:
    """Local search as a solver of the schedule.

    Parameters
    ----------
    problem
        A problem of one layer.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.search: LayerSearch | None = None
        self.idle = IdleTurns()

    def solve(self, task: Task) -> Answer:
        """Work for one turn, from where the last turn stopped.

        The first turn under a clock ends at the first local optimum.
        """
        search = self.search
        if search is None:
            search = LayerSearch(self.problem, task.start, task.lower_bound, task.seed)
            self.search = search
        before = search.best
        if task.effort is None:
            search.run_until(task.deadline)
        else:
            search.run_steps(task.effort * STEPS_PER_EFFORT)
        verdict = self.idle.verdict(search.best < before, IDLE_TURNS, task.call_deadline)
        return Answer(search.placed(), verdict=Verdict.FINISHED if search.is_done else verdict)
