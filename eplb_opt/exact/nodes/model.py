"""The decomposition of a hierarchical layer by nodes, with the bound of the best partition.

A node that holds a set of groups is a flat problem of its own, so whatever is proven of that
problem bounds the node. Every plan uses some partition of the groups into such sets, and its
largest load is at least the largest of its nodes' bounds. So the minimum over all partitions of
the largest bound is a bound of the layer, however far each set's own bound has been raised: a set
that was never worked on has its mean or water level as its bound, which also holds.

The set with the largest bound in the best partition decides the layer's bound, so it is worked on
next. Where its plan is as good as the bound of the layer, the partition's other sets follow; when
the plans of all of them are, together they are an optimal plan of the layer.
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
from eplb_opt.exact.config_lp.model import FlatConfigLp
from eplb_opt.exact.counts.formulation import list_choices
from eplb_opt.exact.nodes.group_set import GroupSet, NodesParams, StepLimit
from eplb_opt.exact.nodes.proof import nodes_certificate
from eplb_opt.exact.shared.answer import ModelAnswer
from eplb_opt.exact.shared.start import plain_start_value
from eplb_opt.placement import scoring
from eplb_opt.problem.problem import Problem
from eplb_opt.search.starts import first_plan

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.exact.shared.answer import LayerModel

CP_SAT = "ortools.sat.python.cp_model"
#: The most steps on one set; each may take twice as long as the one before.
MAX_STEPS = 20


@dataclass(frozen=True)
class NodesModel:
    """A `LayerModel` of hierarchical layers whose partitions can be enumerated.

    Parameters
    ----------
    params
        The settings of the model.
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
        """Bound and solve one layer as `LayerModel` describes.

        A unit of effort is one of the model that a step calls. Where `effort` is given, no clock is
        looked at.
        """
        plain_start_value(problem, start)
        if not problem.is_hierarchical:
            return _refused("the layer has no nodes")
        if not partitions.can_enumerate(problem):
            return _refused("there are too many partitions of the groups to look at")
        return NodeDecomposition(problem, start, self.params, seed).run(
            lower_bound, deadline, effort
        )


@dataclass(eq=False)
class NodeDecomposition:
    """The decomposition of one layer; a later call of `run` goes on where the last one stopped.

    Parameters
    ----------
    problem
        A problem of one layer, hierarchical, whose partitions can be enumerated.
    start
        int64 [num_slots], a valid plan.
    params
        The settings of the model.
    seed
        The seed of the search and the models.

    Attributes
    ----------
    bound
        The proven bound of every set of groups, by its bit mask, in the problem's integer units.
    simple_bound
        The larger of mean and water level of every set, by its bit mask.
    group_sets
        The sets that were worked on, by bit mask.
    """

    problem: Problem
    start: np.ndarray
    params: NodesParams
    seed: int
    bound: dict[int, Fraction] = field(init=False)
    simple_bound: dict[int, Fraction] = field(init=False)
    group_sets: dict[int, GroupSet] = field(init=False, default_factory=dict)
    _paused: set[int] = field(default_factory=set)
    _message: str = ""
    _has_worked: bool = False
    _with_cpsat: bool = True

    def __post_init__(self) -> None:
        self.bound = partitions.set_bounds(self.problem)
        self.simple_bound = dict(self.bound)
        self.offer(self.start)

    def offer(self, placed: np.ndarray) -> None:
        """Take over the nodes of a plan, int64 [num_slots], that are better than the known ones."""
        for slots in placed.reshape(self.problem.num_nodes, -1):
            held = sorted(set((slots // self.problem.experts_per_group).tolist()))
            mask = sum(1 << group_idx for group_idx in held)
            slot = np.searchsorted(self._experts(mask), slots)
            if mask in self.group_sets:
                self.group_sets[mask].offer(slot)
            else:
                self.group_sets[mask] = self._node(mask, slot)

    def run(
        self,
        lower_bound: Fraction,
        deadline: Deadline,
        effort: int | None = None,
        *,
        with_cpsat: bool = True,
    ) -> ModelAnswer:
        """Work until the bound meets the best plan, no set can improve, or the limit is reached.

        Parameters
        ----------
        lower_bound
            A proven lower bound of the layer.
        deadline
            The end of the work; not looked at where `effort` is given.
        effort
            Counted work; None for no limit but time.
        with_cpsat
            Whether CP-SAT may take what the configuration LP leaves.
        """
        self._with_cpsat = with_cpsat
        left, last = effort, Deadline() if effort is not None else deadline
        self._paused.clear()
        while last.remaining >= self.params.seconds_at_least and left != 0:
            mask = self._worst(lower_bound)
            if mask is None:
                return self._answer(lower_bound, finished=not self._paused)
            limit = self._step_limit(mask, last, left)
            self._work_on(mask, limit)
            left = None if left is None or limit.effort is None else left - limit.effort
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
        group_set = self.group_sets.get(mask)
        if group_set is None:
            return True
        is_open = not group_set.stuck and group_set.steps < MAX_STEPS
        if group_set.lp_done and not self._with_cpsat and self.problem.slots_per_gpu > 2:
            self._paused.add(mask)
            return False
        return is_open and group_set.value > max(reached, self.bound[mask])

    def _step_limit(self, mask: int, last: Deadline, left: int | None) -> StepLimit:
        """The limit of the next step; later ones are longer, as models start from the beginning."""
        steps = self.group_sets[mask].steps if mask in self.group_sets else 0
        factor = 2 ** max(min(steps, MAX_STEPS) - 1, 0)
        share = min(self.params.share * factor, 1.0)
        if left is not None:
            effort = max(int(left * share), self.params.min_effort * factor)
            return StepLimit(last, min(effort, left))
        part = last.remaining * share if isfinite(last.at) else 0.0
        return StepLimit(last.sooner(max(part, self.params.min_seconds * factor)), None)

    def _work_on(self, mask: int, limit: StepLimit) -> None:
        """One step on a set: a plan and the configuration LP first, then the other exact models."""
        if mask not in self.group_sets:
            self.group_sets[mask] = self._new_node(mask, limit)
        group_set = self.group_sets[mask]
        group_set.steps += 1
        if group_set.value <= self.bound[mask]:
            return
        if not group_set.lp_done:
            self._run_lp(mask, group_set, limit)
        else:
            self._call_models(mask, group_set, limit)

    def _run_lp(self, mask: int, group_set: GroupSet, limit: StepLimit) -> None:
        problem = group_set.problem
        mean = problem.load.sum() / problem.num_gpus
        level = water_levels(problem.load, problem.num_slots)[0]
        if problem.slots_per_gpu != 2 and level <= self.params.heavy_regime * mean:
            group_set.lp_done = True
            return
        if group_set.lp is None:
            group_set.lp = FlatConfigLp.of(problem, group_set.slot)
        group_set.lp.start = group_set.slot
        found = group_set.lp.run(self.bound[mask], group_set.value, limit.deadline, limit.effort)
        group_set.lp_done = found.finished
        group_set.prove(found.certificate)
        self._has_worked = True
        self.bound[mask] = max(self.bound[mask], found.bound)

    def _call_models(self, mask: int, group_set: GroupSet, limit: StepLimit) -> None:
        """Call the models until one takes the set; a refusal by all for its size is final."""
        for solve in self._models(mask, group_set, limit):
            try:
                answer = solve(
                    group_set.problem,
                    group_set.slot,
                    self.bound[mask],
                    limit.deadline,
                    effort=limit.effort,
                    seed=self.seed + group_set.steps,
                )
            except MissingDependency as error:
                self._message = str(error)
                continue
            if not answer.refused:
                self._has_worked = True
                self.bound[mask] = max(self.bound[mask], answer.lower_bound)
                group_set.prove(answer.certificate)
                group_set.offer(answer.physical_to_logical)
                # Where an optimum and its bound still differ, the backend has rounded.
                group_set.stuck = answer.finished
                return
            self._message = answer.message
        if not group_set.stuck:  # refused for the time left; a later run may have more
            self._paused.add(mask)

    def _models(self, mask: int, group_set: GroupSet, limit: StepLimit) -> list[LayerModel]:
        """The models that may take a set, quickest first."""
        few = {1: ["enumeration"], 2: ["enumeration", "pairs"]}
        models = [get_specialist(name) for name in few.get(group_set.problem.slots_per_gpu, [])]
        size = list_choices(group_set.problem, group_set.value).num_columns
        if size > self.params.max_columns:
            group_set.stuck = not models
            self._message = f"a node has {size} columns, more than {self.params.max_columns}"
            return models
        is_late = limit.effort is None and limit.deadline.remaining < self.params.import_seconds
        if CP_SAT not in sys.modules and is_late:
            self._message = f"loading CP-SAT takes {self.params.import_seconds} s"
            return models
        return [*models, get_model("cpsat")]

    def _new_node(self, mask: int, limit: StepLimit) -> GroupSet:
        """A set that no known plan has, with a plan of its own."""
        load = self.problem.load[:, self._experts(mask)]
        slot = first_plan(self._flat(load))[0]
        group_set = self._node(mask, slot)
        if group_set.value > self.bound[mask]:
            group_set.offer(self._polished(mask, group_set, limit))
        return group_set

    def _polished(self, mask: int, group_set: GroupSet, limit: StepLimit) -> np.ndarray:
        """The plan of a set after a short local search."""
        from eplb_opt.search.local import LayerSearch

        search = LayerSearch(group_set.problem, group_set.slot, self.bound[mask], self.seed)
        if limit.effort is not None:
            search.run_steps(self.params.polish_steps)
        else:
            search.run_until(limit.deadline.sooner(self.params.polish_seconds))
        return search.placed()

    def _answer(self, lower_bound: Fraction, *, finished: bool) -> ModelAnswer:
        reached = max(lower_bound, *(self.bound[mask] for mask in self._best_partition()))
        parts = self._plan_parts()
        is_optimal = self._worth(parts) <= reached
        if finished and not is_optimal and not self._has_worked:
            return _refused(self._message.removeprefix("refused: "))
        placed = np.concatenate([self.group_sets[m].expert[self.group_sets[m].slot] for m in parts])
        return ModelAnswer(
            placed,
            reached,
            message="the plan is optimal" if is_optimal else self._message,
            finished=finished or is_optimal,
            certificate=self._certificate(),
        )

    def _certificate(self) -> Certificate | None:
        """The certificate of the layer from those of its sets; None where they prove nothing."""
        proofs = {
            mask: group_set.proof
            for mask, group_set in self.group_sets.items()
            if group_set.proof is not None
        }
        return nodes_certificate(self.problem, self.simple_bound, proofs)

    def _best_partition(self) -> tuple[int, ...]:
        return partitions.least_partition(self.problem, self.bound) or ()

    def _plan_parts(self) -> tuple[int, ...]:
        """The partition whose sets have the best plan together."""
        value = {mask: group_set.value for mask, group_set in self.group_sets.items()}
        return partitions.least_partition(self.problem, value) or ()

    def _worth(self, parts: tuple[int, ...]) -> Fraction:
        return max(self.group_sets[mask].value for mask in parts)

    def _experts(self, mask: int) -> np.ndarray:
        size = self.problem.experts_per_group
        held = np.array(partitions.members(mask))
        return np.asarray((held[:, None] * size + np.arange(size)).ravel())

    def _node(self, mask: int, slot: np.ndarray) -> GroupSet:
        expert = self._experts(mask)
        problem = self._flat(self.problem.load[:, expert])
        value = scoring.largest_gpu_loads(problem.load, slot[None, :], problem.num_gpus)[0]
        return GroupSet(problem, expert, slot, value)

    def _flat(self, load: np.ndarray) -> Problem:
        """A node as a flat problem; its loads are integers in the layer's units."""
        return Problem(
            load,
            self.problem.slots_per_node,
            self.problem.gpus_per_node,
            colocation=self.problem.colocation,
        )


def _refused(reason: str) -> ModelAnswer:
    return ModelAnswer(None, Fraction(0), message=f"refused: {reason}", refused=True)
