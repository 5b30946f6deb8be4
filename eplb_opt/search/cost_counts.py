"""Plans of little cost: counts that cost least in all, packed and then bettered by exchanges.

Costs of replicas decide in two ways. The counts decide what all replicas cost together, which no
packing changes; so counts of the least total come first, found exactly by `bounds.costs`, under
limits on the dearest replica. With the counts fixed, replicas are pieces of known sizes, and the
local search for loads levels them by exchanging pieces between GPUs. Where every GPU sends to one
replica the sizes are those of replicas with equally many senders, and plans are judged exactly.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds import costs
from eplb_opt.core import local
from eplb_opt.placement import step_time
from eplb_opt.placement.senders import MOST
from eplb_opt.problem.costs import level_costs
from eplb_opt.search.idle import IdleTurns
from eplb_opt.solver import Answer, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options, Task

#: Limits on the dearest replica that are tried, from none down to the least that the slots allow.
LIMITS = 8
#: Steps of the local search on one packing.
STEPS = 200
#: Packings for one unit of effort.
PACKINGS_PER_EFFORT = 1
#: Slots that change their expert in one kick of the counts.
MOST_CHANGES = 3
#: The turns without a better plan that end the search on a layer in a call without limit.
IDLE_TURNS = 20


class CostCountsSolver:
    """Counts of the least total cost, packed and levelled; then counts near the best ones.

    Parameters
    ----------
    problem
        A flat problem of one layer with costs, on GPUs that are alike.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.apart = problem.colocation == "forbid"
        spare = problem.num_slots - problem.num_experts
        self.most = min(spare + 1, problem.num_gpus) if self.apart else spare + 1
        self.best = np.zeros(0, dtype=np.int64)
        self.worth = -1
        self.series: Iterator[np.ndarray] | None = None
        self.idle = IdleTurns()

    @cached_property
    def cost(self) -> np.ndarray:
        """What each of c replicas of an expert costs, int64 [num_experts, most + 1].

        Where every GPU sends to one replica, on average where they have equally many senders.
        """
        known = self.problem.costs
        if known is None or known.sent is None:
            return np.asarray(self.problem.replica_cost[0])
        return np.asarray(level_costs(known.sent, known.replica.shape[2] - 1)[0])

    def solve(self, task: Task) -> Answer:
        """Pack some counts: those of the least totals first, then changes of the best."""
        draws = np.random.default_rng([task.seed, task.layer_idx, task.attempt])
        if self.worth < 0 or task.objective < self.worth:
            self.best, self.worth = task.start.copy(), int(task.objective)
        before = self.worth
        if self.series is None:
            self.series = self._first_counts()
        left = None if task.effort is None else PACKINGS_PER_EFFORT * task.effort
        while left is None or left > 0:
            counts = next(self.series, None)
            if counts is None:
                counts = self._changed_counts(draws)
            self._try(counts, int(task.lower_bound), int(draws.integers(2**62)))
            left = None if left is None else left - 1
            if self.worth <= task.lower_bound or (left is None and task.deadline.expired):
                break
        verdict = self.idle.verdict(self.worth < before, IDLE_TURNS, task.call_deadline)
        closed = self.worth <= task.lower_bound
        return Answer(self.best, verdict=Verdict.FINISHED if closed else verdict)

    def _first_counts(self) -> Iterator[np.ndarray]:
        """The counts in force, then those of the least totals, the dearest replica ever cheaper."""
        yield self._counts_of(self.best)
        each = self.cost[:, 1 : self.most + 1]
        dearest = int(each.max())
        table = self.cost[None, :, : self.most + 1]
        level = int(costs.least_levels(table, self.problem.num_slots)[0])
        seen = set()
        for part in range(LIMITS):
            limit = dearest if part == 0 else level + (dearest - level) * (LIMITS - part) // LIMITS
            for within in (limit, level) if part == LIMITS - 1 else (limit,):
                counts = least_counts(self.cost, self.problem.num_slots, self.most, within)
                if counts is not None and counts.tobytes() not in seen:
                    seen.add(counts.tobytes())
                    dearest = min(dearest, int(self._sizes(counts).max()))
                    yield counts

    def _changed_counts(self, draws: np.random.Generator) -> np.ndarray:
        """The best plan's counts with some slots given from one expert to another."""
        counts = self._counts_of(self.best)
        for _ in range(int(draws.integers(0, MOST_CHANGES + 1))):
            givers = np.flatnonzero(counts > 1)
            takers = np.flatnonzero(counts < self.most)
            if not (givers.size and takers.size):
                break
            counts[draws.choice(givers)] -= 1
            counts[draws.choice(takers)] += 1
        return counts

    def _try(self, counts: np.ndarray, target: int, seed: int) -> None:
        """Pack and level the replicas of these counts, and keep the plan where it is better."""
        sizes = self._sizes(counts)
        problem = self.problem
        packed = local.pack(sizes, counts, problem.num_gpus, problem.slots_per_gpu, self.apart)
        if packed is None:
            return
        self._keep(packed)
        together = sizes * counts
        total = int(together.sum())
        if not total:
            return
        weights = local.fixed_point(together)
        search = local.NodeSearch(weights, packed, problem.num_gpus, self.apart, seed % 2**63)
        search.advance(STEPS, target * (local.TOTAL // total), True)
        self._keep(search.best_slots)

    def _keep(self, placed: np.ndarray) -> None:
        worth = int(step_time.gpu_costs(self.problem, placed[None], MOST).max())
        if worth < self.worth:
            self.best, self.worth = placed.copy(), worth

    def _counts_of(self, placed: np.ndarray) -> np.ndarray:
        return np.bincount(placed, minlength=self.problem.num_experts).astype(np.int64)

    def _sizes(self, counts: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.take_along_axis(self.cost, counts[:, None], axis=1)[:, 0])


def least_counts(cost: np.ndarray, num_slots: int, most: int, limit: int) -> np.ndarray | None:
    """Counts of the least total cost whose replicas cost at most `limit`, int64 [num_experts].

    Parameters
    ----------
    cost
        int64 [num_experts, most counts + 1], entry c for c replicas.
    num_slots
        What the counts add up to.
    most
        The most replicas of an expert.
    limit
        The most that a replica may cost.

    Returns
    -------
    ndarray or None
        None where no counts are within the limit, or where finding them would take seconds.
    """
    spare = num_slots - len(cost)
    each = cost[:, 1 : spare + 2]
    copies = np.arange(1, spare + 2)
    usable = (each <= limit) & (copies <= most)
    together = np.where(usable, each * copies, costs.NEVER - 1)
    if together.size * (spare + 1) > costs.MAX_SUMS:
        return None
    totals = [row[0] for row in costs.exact_totals(together[None])]
    if totals[-1][-1] >= costs.NEVER - 1:
        return None
    counts = np.ones(len(cost), dtype=np.int64)
    left = spare
    for expert_idx in reversed(range(len(cost))):
        # The slots that this expert took on the way to the least total.
        ways = totals[expert_idx][left::-1] + together[expert_idx, : left + 1]
        more = int(ways.argmin())
        counts[expert_idx] += more
        left -= more
    return counts
