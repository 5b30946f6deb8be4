"""Hierarchical layers: node by node, the node first that keeps the bound of the layer down.

A node that holds a set of groups is a flat problem of its own, so whatever is proven of that
problem bounds the node. Every plan uses some partition of the groups into such sets, and its
largest load is at least the largest of its nodes' bounds. So the minimum over all partitions of
the largest bound is a bound of the layer, however far each set's own bound has been raised: a set
never looked at keeps its mean or water level, which is as true.

The largest bound of the best partition is to blame for the layer's, so that set alone is worked on
next. Where its plan is as good as the bound of the layer the partition's other sets follow, and
when all of them are, their plans together are an optimal plan of the layer.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds import partitions
from eplb_opt.bounds.water_level import water_levels
from eplb_opt.clock import Deadline
from eplb_opt.errors import MissingDependency
from eplb_opt.exact import get_model, get_specialist
from eplb_opt.exact.config_lp.model import NodeLp
from eplb_opt.exact.counts.formulation import list_choices
from eplb_opt.exact.nodes.parts import Node, NodesParams, Turn
from eplb_opt.exact.nodes.proof import nodes_certificate
from eplb_opt.exact.shared.answer import ModelAnswer
from eplb_opt.exact.shared.start import worth_of_start
from eplb_opt.placement import scoring
from eplb_opt.problem.problem import Problem
from eplb_opt.search.starts import first_plan

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.exact.shared.answer import LayerModel

CP_SAT = "ortools.sat.python.cp_model"
#: Turns of a node, each twice as long as the one before.
MAX_TURNS = 20


@dataclass(frozen=True)
class NodesModel:
    """A `LayerModel` of hierarchical layers whose partitions can be enumerated.

    Parameters
    ----------
    params
        Settings.
    """

    params: NodesParams = field(default_factory=NodesParams)

    def __call__(
        self,
        problem: Problem,
        start: np.ndarray,
        lower_bound: Fraction,
        deadline: Deadline,
        *,
        effort: int | None = None,
        seed: int = 0,
    ) -> ModelAnswer:
        """Bound and solve one layer; see `LayerModel`. With `effort` no clock is looked at.

        A unit of effort is one of the engine that a turn calls.
        """
        worth_of_start(problem, start)
        if not problem.is_hierarchical:
            return _refused("the layer has no nodes")
        if not partitions.can_enumerate(problem):
            return _refused("there are too many partitions of the groups to look at")
        return LayerNodes(problem, start, self.params, seed).run(lower_bound, deadline, effort)


@dataclass(eq=False)
class LayerNodes:
    """The work on one layer; a later call of `run` goes on where the last one stopped.

    Parameters
    ----------
    problem
        Of one layer, hierarchical, its partitions enumerable.
    start
        int64 [num_slots], a plan that fits.
    params
        Settings.
    seed
        Of search and solvers.

    Attributes
    ----------
    bound
        The proven bound of every set of groups, by its bit mask.
    simple_bound
        The larger of mean and water level alone.
    nodes
        The sets that were looked at.
    """

    problem: Problem
    start: np.ndarray
    params: NodesParams
    seed: int
    bound: dict[int, Fraction] = field(init=False)
    simple_bound: dict[int, Fraction] = field(init=False)
    nodes: dict[int, Node] = field(init=False, default_factory=dict)
    _paused: set[int] = field(default_factory=set)
    _message: str = ""
    _has_worked: bool = False
    _with_solver: bool = True

    def __post_init__(self) -> None:
        self.bound = partitions.set_bounds(self.problem)
        self.simple_bound = dict(self.bound)
        self.offer(self.start)

    def offer(self, placed: np.ndarray) -> None:
        """Take over what is better on the nodes of a plan, int64 [num_slots]."""
        for slots in placed.reshape(self.problem.num_nodes, -1):
            held = sorted(set((slots // self.problem.experts_per_group).tolist()))
            mask = sum(1 << group_idx for group_idx in held)
            slot = np.searchsorted(self._experts(mask), slots)
            if mask in self.nodes:
                self.nodes[mask].offer(slot)
            else:
                self.nodes[mask] = self._node(mask, slot)

    def run(
        self,
        lower_bound: Fraction,
        deadline: Deadline,
        effort: int | None = None,
        *,
        with_solver: bool = True,
    ) -> ModelAnswer:
        """Work until the bound meets the best plan, nothing helps, or the budget is spent.

        Parameters
        ----------
        lower_bound
            Proven of the layer.
        deadline
            Not looked at where `effort` is given.
        effort
            Counted work; None for no limit but time.
        with_solver
            Whether CP-SAT may take what the configuration LP leaves.
        """
        self._with_solver = with_solver
        left, last = effort, Deadline() if effort is not None else deadline
        self._paused.clear()
        while last.remaining >= self.params.seconds_at_least and left != 0:
            mask = self._worst(lower_bound)
            if mask is None:
                return self._answer(lower_bound, finished=not self._paused)
            turn = self._turn(mask, last, left)
            self._work_on(mask, turn)
            left = None if left is None or turn.effort is None else left - turn.effort
        return self._answer(lower_bound, finished=False)

    def _worst(self, lower_bound: Fraction) -> int | None:
        """The set to work on: the largest bound of the best partition whose plan is above it."""
        best = self._best_partition()
        reached = max(lower_bound, *(self.bound[mask] for mask in best))
        if self._worth(self._plan_parts()) <= reached:
            return None
        useful = [m for m in best if m not in self._paused and self._may_help(m, reached)]
        return max(useful, key=lambda mask: self.bound[mask], default=None)

    def _may_help(self, mask: int, reached: Fraction) -> bool:
        node = self.nodes.get(mask)
        if node is None:
            return True
        is_open = not node.stuck and node.turns < MAX_TURNS
        if node.lp_done and not self._with_solver and self.problem.slots_per_gpu > 2:
            self._paused.add(mask)
            return False
        return is_open and node.worth > max(reached, self.bound[mask])

    def _turn(self, mask: int, last: Deadline, left: int | None) -> Turn:
        """A node's later turns are longer: the exact engines start anew each time."""
        turns = self.nodes[mask].turns if mask in self.nodes else 0
        factor = 2 ** max(min(turns, MAX_TURNS) - 1, 0)
        share = min(self.params.share * factor, 1.0)
        if left is not None:
            effort = max(int(left * share), self.params.min_effort * factor)
            return Turn(last, min(effort, left))
        part = last.remaining * share if isfinite(last.at) else 0.0
        until = Deadline.after(max(part, self.params.min_seconds * factor))
        return Turn(min(until, last, key=lambda d: d.at), None)

    def _work_on(self, mask: int, turn: Turn) -> None:
        """One turn of a set: a plan and the configuration LP first, then the exact engines."""
        if mask not in self.nodes:
            self.nodes[mask] = self._new_node(mask, turn)
        node = self.nodes[mask]
        node.turns += 1
        if node.worth <= self.bound[mask]:
            return
        if not node.lp_done:
            self._ask_lp(mask, node, turn)
        else:
            self._ask_engines(mask, node, turn)

    def _ask_lp(self, mask: int, node: Node, turn: Turn) -> None:
        problem = node.problem
        mean = problem.load.sum() / problem.num_gpus
        level = water_levels(problem.load, problem.num_slots)[0]
        if problem.slots_per_gpu != 2 and level <= self.params.heavy_regime * mean:
            node.lp_done = True
            return
        if node.lp is None:
            node.lp = NodeLp.of(problem, node.slot)
        node.lp.start = node.slot
        found = node.lp.run(self.bound[mask], node.worth, turn.deadline, turn.effort)
        node.lp_done = found.finished
        node.prove(found.certificate)
        self._has_worked = True
        self.bound[mask] = max(self.bound[mask], found.bound)

    def _ask_engines(self, mask: int, node: Node, turn: Turn) -> None:
        """The first engine that takes the node; a refusal by all for its size is final."""
        for solve in self._engines(mask, node, turn):
            try:
                answer = solve(
                    node.problem,
                    node.slot,
                    self.bound[mask],
                    turn.deadline,
                    effort=turn.effort,
                    seed=self.seed + node.turns,
                )
            except MissingDependency as error:
                self._message = str(error)
                continue
            if not answer.refused:
                self._has_worked = True
                self.bound[mask] = max(self.bound[mask], answer.lower_bound)
                node.prove(answer.certificate)
                node.offer(answer.physical_to_logical)
                # What an optimum still lacks is the solver's rounding.
                node.stuck = answer.finished
                return
            self._message = answer.message
        if not node.stuck:  # refused for the time left alone; there may be more in a later run
            self._paused.add(mask)

    def _engines(self, mask: int, node: Node, turn: Turn) -> list[LayerModel]:
        """What may take a node, quickest first."""
        few = {1: ["enumeration"], 2: ["enumeration", "pairs"]}
        engines = [get_specialist(name) for name in few.get(node.problem.slots_per_gpu, [])]
        size = list_choices(node.problem, node.worth).num_columns
        if size > self.params.max_columns:
            node.stuck = not engines
            self._message = f"a node has {size} columns, more than {self.params.max_columns}"
            return engines
        is_late = turn.effort is None and turn.deadline.remaining < self.params.import_seconds
        if CP_SAT not in sys.modules and is_late:
            self._message = f"loading CP-SAT takes {self.params.import_seconds} s"
            return engines
        return [*engines, get_model("cpsat")]

    def _new_node(self, mask: int, turn: Turn) -> Node:
        """A set that the start does not have, with a plan of its own."""
        load = self.problem.load[:, self._experts(mask)]
        slot = first_plan(self._flat(load))[0]
        node = self._node(mask, slot)
        if node.worth > self.bound[mask]:
            node.offer(self._polished(mask, node, turn))
        return node

    def _polished(self, mask: int, node: Node, turn: Turn) -> np.ndarray:
        """The node's plan after a short search."""
        from eplb_opt.search.local import LayerSearch

        search = LayerSearch(node.problem, node.slot, self.bound[mask], self.seed)
        if turn.effort is not None:
            search.run_steps(self.params.polish_steps)
        else:
            until = Deadline.after(self.params.polish_seconds)
            search.run_until(min(until, turn.deadline, key=lambda d: d.at))
        return search.placed()

    def _answer(self, lower_bound: Fraction, *, finished: bool) -> ModelAnswer:
        reached = max(lower_bound, *(self.bound[mask] for mask in self._best_partition()))
        parts = self._plan_parts()
        is_optimal = self._worth(parts) <= reached
        if finished and not is_optimal and not self._has_worked:
            return _refused(self._message.removeprefix("refused: "))
        placed = np.concatenate([self.nodes[m].expert[self.nodes[m].slot] for m in parts])
        return ModelAnswer(
            placed,
            reached,
            message="the plan is optimal" if is_optimal else self._message,
            finished=finished or is_optimal,
            certificate=self._certificate(),
        )

    def _certificate(self) -> Certificate | None:
        """The proofs of the sets, put together; None where they add nothing."""
        proofs = {mask: node.proof for mask, node in self.nodes.items() if node.proof is not None}
        return nodes_certificate(self.problem, self.simple_bound, proofs)

    def _best_partition(self) -> tuple[int, ...]:
        return partitions.least_partition(self.problem, self.bound) or ()

    def _plan_parts(self) -> tuple[int, ...]:
        """The partition with the best plan; the start's, unless one was found that is better."""
        worth = {mask: node.worth for mask, node in self.nodes.items()}
        return partitions.least_partition(self.problem, worth) or ()

    def _worth(self, parts: tuple[int, ...]) -> Fraction:
        return max(self.nodes[mask].worth for mask in parts)

    def _experts(self, mask: int) -> np.ndarray:
        size = self.problem.experts_per_group
        held = np.array(partitions.members(mask))
        return np.asarray((held[:, None] * size + np.arange(size)).ravel())

    def _node(self, mask: int, slot: np.ndarray) -> Node:
        expert = self._experts(mask)
        problem = self._flat(self.problem.load[:, expert])
        worth = scoring.largest_gpu_loads(problem.load, slot[None, :], problem.num_gpus)[0]
        return Node(problem, expert, slot, worth)

    def _flat(self, load: np.ndarray) -> Problem:
        """A node as a problem; its loads are integers in the layer's units."""
        return Problem(
            load,
            self.problem.slots_per_node,
            self.problem.gpus_per_node,
            colocation=self.problem.colocation,
        )


def _refused(reason: str) -> ModelAnswer:
    return ModelAnswer(None, Fraction(0), message=f"refused: {reason}", refused=True)
