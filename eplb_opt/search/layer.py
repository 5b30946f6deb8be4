"""The search on one layer: which node is worth the next steps, until the time is up."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.partitions import best_partition
from eplb_opt.search.node import TOTAL, NodeSearch
from eplb_opt.search.scan import scan
from eplb_opt.search.starts import spread
from eplb_opt.water import water_levels
from heuristics import greedy_numpy

if TYPE_CHECKING:
    from eplb_opt.deadline import Deadline
    from eplb_opt.problem import Problem

#: A call of the compiled search takes about so long before the clock is looked at.
SLICE_SECONDS = 0.002
FIRST_SLICE_STEPS = 8
#: Other counts are looked at while the gap is larger than this.
SCAN_GAP = 5e-4
SCAN_KEEP = 8
SCAN_STEPS = 100
#: Below half a token, and below this share of the bound, a gap is of no use to anyone.
NEGLIGIBLE_GAP = 2e-6


class LayerSearch:
    """Anytime search on one layer; every call goes on where the last one stopped.

    Parameters
    ----------
    problem
        Of one layer with some load.
    start
        int64 [num_slots], a plan that fits.
    lower_bound
        Proven, in integer units: the search stops close to it.
    seed
        Of the kicks; with it the plan after some number of steps is always the same.
    """

    def __init__(
        self, problem: Problem, start: np.ndarray, lower_bound: Fraction, seed: int
    ) -> None:
        self.problem = problem
        total = int(problem.load.sum())
        self.weight = np.array([w * TOTAL // total for w in problem.load[0].tolist()])
        allowed = min(lower_bound * Fraction(NEGLIGIBLE_GAP), problem.half_token(0))
        self.target = int((lower_bound + allowed) * TOTAL / total)
        self.apart = problem.colocation == "forbid"
        self.experts = self._experts_of_nodes()
        starts = self._starts(start)
        num_gpus = problem.num_gpus // len(self.experts)
        self.nodes = [
            NodeSearch(self.weight[experts], slot, num_gpus, self.apart, seed + node_idx)
            for node_idx, (experts, slot) in enumerate(zip(self.experts, starts, strict=True))
        ]
        self.scanned = [False] * len(self.nodes)
        self.slice_steps = FIRST_SLICE_STEPS

    @property
    def best(self) -> int:
        """The largest fixed-point GPU load of the best plan."""
        return self._worst().best

    @property
    def is_done(self) -> bool:
        """Whether the plan is as close to the bound as is of use."""
        return self._worst().best <= self.target

    @property
    def is_polished(self) -> bool:
        """Whether the heaviest node has been at a local optimum."""
        return self.scanned[self.nodes.index(self._worst())]

    def placed(self) -> np.ndarray:
        """The best plan, int64 [num_slots]."""
        parts = [e[n.best_slot] for e, n in zip(self.experts, self.nodes, strict=True)]
        return np.concatenate(parts)

    def run_until(self, deadline: Deadline) -> None:
        """Search until the deadline, or until done; at least one slice.

        A first call ends at the first local optimum: other layers need theirs more.
        """
        was_polished = self.is_polished
        while not self.is_done and self.is_polished == was_polished:
            began = time.monotonic()
            self._steps(self.slice_steps)
            took = time.monotonic() - began
            if deadline.expired:
                return
            # Slices follow the speed of the machine; the plan after some steps does not.
            faster = took < SLICE_SECONDS
            self.slice_steps = min(
                max(self.slice_steps * 2 if faster else self.slice_steps // 2, 1), 4096
            )

    def run_steps(self, steps: int) -> None:
        """Search for a number of steps, or until done."""
        while steps > 0 and not self.is_done:
            steps -= max(self._steps(min(steps, FIRST_SLICE_STEPS)), 1)

    def _steps(self, steps: int) -> int:
        """Steps on the node with the largest load: it alone decides the layer's."""
        node_idx = self.nodes.index(self._worst())
        node = self.nodes[node_idx]
        if not self.scanned[node_idx]:
            taken = node.advance(steps, self.target, only_exchange=True)
            if taken < steps:  # a first local optimum
                self.scanned[node_idx] = True
                self._scan(node)
            return taken
        return node.advance(steps, self.target)

    def _worst(self) -> NodeSearch:
        return max(self.nodes, key=lambda node: node.best)

    def _scan(self, node: NodeSearch) -> None:
        """Try other counts where the gap is large; go on from the best plan."""
        if node.best <= self.target * (1 + SCAN_GAP):
            return
        level = water_levels(node.weight[None, :], len(node.slot))[0]
        for slot in scan(
            node.weight,
            int(level),
            self.target,
            len(node.slot),
            node.num_gpus,
            self.apart,
            SCAN_KEEP,
        ):
            node.restart(slot)
            node.advance(SCAN_STEPS, self.target, only_exchange=True)
        node.restart(node.best_slot)

    def _experts_of_nodes(self) -> list[np.ndarray]:
        """Expert ids of each node: all on one when flat."""
        if not self.problem.is_hierarchical:
            return [np.arange(self.problem.num_experts)]
        size = self.problem.experts_per_group
        return [
            np.concatenate([np.arange(g * size, (g + 1) * size) for g in groups])
            for groups in best_partition(self.problem)
        ]

    def _starts(self, start: np.ndarray) -> list[np.ndarray]:
        """A plan of each node in the node's own expert numbers."""
        if not self.problem.is_hierarchical:
            return [start]
        slots, num_gpus = self.problem.slots_per_node, self.problem.gpus_per_node
        if self.apart:
            loads = [self.problem.load[0, experts].tolist() for experts in self.experts]
            return [spread(load, num_gpus, self.problem.slots_per_gpu) for load in loads]
        weights = self.weight[np.array(self.experts)].astype(float)
        return list(greedy_numpy.rebalance_experts(weights, slots, 1, 1, num_gpus)[0])
