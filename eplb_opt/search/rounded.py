"""A plan from the solution of the program whose dual values are prices on nodes.

Few experts have two counts in that solution, for few of its conditions bind more than one of them.
Each gets the count that it has most of. Where its replicas stand is less clear, for nodes whose
room is worth nothing are all the same: what is mostly at home stays there, and the rest goes to the
emptiest node with room, the heaviest first. Then nodes that are not full get more replicas, and
every node packs its GPUs by longest processing time first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.core import local
from eplb_opt.problem import node_kinds, topology

if TYPE_CHECKING:
    from eplb_opt.bounds.priced_choices import Solution
    from eplb_opt.problem.problem import Problem


def rounded_plan(problem: Problem, solution: Solution, homes: np.ndarray) -> np.ndarray | None:
    """A plan of one layer, int64 [num_slots]; None where its nodes cannot be filled or packed.

    Parameters
    ----------
    problem
        A problem of one layer on GPUs that are alike, whose experts are anchored.
    solution
        Of the program for a choice of homes.
    homes
        int64 [num_experts], the home of each expert in it.
    """
    more, at_home = solution.count - 1, solution.at_home
    size = problem.load[0] / (more + 1)
    nodes = _Nodes(problem, homes, size)
    for expert in np.argsort(-size, kind="stable").tolist():
        home = int(homes[expert])
        for _ in range(int(more[expert])):
            stays = at_home[expert] and nodes.has_room(expert)[home]
            node = home if stays else nodes.emptiest(expert, home, size[expert])
            if node >= 0:
                nodes.add(expert, node, size[expert])
    nodes.fill()
    return None if nodes.room.any() else _packed(problem, nodes.held)


class _Nodes:
    """Replicas on nodes: to begin with, each expert's first one at home."""

    def __init__(self, problem: Problem, homes: np.ndarray, size: np.ndarray) -> None:
        self.load = problem.load[0].astype(np.float64)
        self.gpus = topology.gpus_of_nodes(problem)
        self.held = np.zeros((problem.num_experts, problem.num_nodes), dtype=np.int64)
        self.held[np.arange(problem.num_experts), homes] = 1
        self.room = topology.slots_of_nodes(problem) - self.held.sum(axis=0)
        self.loads = np.bincount(homes, size, problem.num_nodes)
        # Where an expert's replicas may not share a GPU, a node has as many as GPUs at most.
        self.most = self.gpus if problem.colocation == "forbid" else self.room + len(homes)

    def has_room(self, expert: int) -> np.ndarray:
        """The nodes that can take a further replica of the expert, bool [num_nodes]."""
        return np.asarray((self.room > 0) & (self.held[expert] < self.most))

    def emptiest(self, expert: int, home: int, size: float) -> int:
        """The node but the home that is least loaded with a further replica; -1 for none."""
        level = np.where(self.has_room(expert), (self.loads + size) / self.gpus, np.inf)
        level[home] = np.inf
        return int(level.argmin()) if np.isfinite(level).any() else -1

    def add(self, expert: int, node: int, size: float) -> None:
        """A further replica."""
        self.held[expert, node] += 1
        self.room[node] -= 1
        self.loads[node] += size

    def fill(self) -> None:
        """Give what is left on nodes to those there whose replicas get smaller by the most."""
        for node in np.flatnonzero(self.room > 0).tolist():
            while self.room[node] > 0:
                count = self.held.sum(axis=1)
                there = self.held[:, node] > 0
                may = (there if there.any() else ~there) & (self.held[:, node] < self.most[node])
                if not may.any():
                    may = self.held[:, node] < self.most[node]
                gained = np.where(may, self.load / (count * (count + 1.0)), -1.0)
                self.add(int(gained.argmax()), node, 0.0)


def _packed(problem: Problem, on_node: np.ndarray) -> np.ndarray | None:
    """The GPUs of every node, int64 [num_slots]."""
    placed = np.full((problem.num_gpus, problem.slots_per_gpu), -1, dtype=np.int64)
    size = problem.load[0] // on_node.sum(axis=1)
    apart = problem.colocation == "forbid"
    for node, gpus in enumerate(node_kinds.gpus_on_nodes(problem)):
        held = np.flatnonzero(on_node[:, node])
        packed = local.pack(
            size[held], on_node[held, node], len(gpus), problem.slots_per_gpu, apart
        )
        if packed is None:
            return None
        placed[gpus] = held[packed].reshape(len(gpus), -1)
    return placed.ravel()
