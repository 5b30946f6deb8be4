"""The configuration LP: a lower bound from patterns of replicas that fit a GPU together.

For a target load T the LP asks for the fewest GPUs, fractions allowed, whose patterns cover every
expert; more than there are prove that no plan stays at T. Its dual values make the certificate,
and every bound above mean and water level is what the verifier proved in integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eplb_opt.certificates import verify
from eplb_opt.certificates.certificate import Certificate
from eplb_opt.models.answer import ModelAnswer
from eplb_opt.models.config_lp_pricing import Window
from eplb_opt.models.config_lp_target import Targets
from eplb_opt.models.config_lp_tree import Climb, Node, branching
from eplb_opt.models.door import worth_of_start
from eplb_opt.water import water_levels

if TYPE_CHECKING:
    from eplb_opt.deadline import Deadline
    from eplb_opt.problem import Problem

@dataclass(frozen=True)
class ConfigLpParams:
    """Settings of the bound.

    Parameters
    ----------
    min_gain
        A bound that cannot rise by this share is left as it is.
    tolerance
        The search for the largest provable T ends when it is known as closely, relatively.
    digits
        Bits of an average GPU's weight in the certificate.
    max_experts
        More make a dense inverse of gigabytes and a pivot of seconds.
    max_leaves
        Of the tree of counts.
    seconds_at_least
        With less left nothing is begun.
    """

    min_gain: float = 1e-4
    tolerance: float = 1e-5
    digits: int = 36
    max_experts: int = 2048
    max_leaves: int = 60
    seconds_at_least: float = 0.005


class NodeBound(NamedTuple):
    """A bound of one flat node, the certificate of what is proven here, and why it ended.

    The certificate is None where that is no more than mean and water level, and it proves less
    than `bound` where a better one was given; `finished` says that more time would not help.
    """

    bound: Fraction
    certificate: Certificate | None
    message: str
    finished: bool = True


@dataclass(frozen=True)
class ConfigLpModel:
    """A `LayerModel` that brings a bound and no plan.

    Parameters
    ----------
    params
        Settings.
    """

    params: ConfigLpParams = field(default_factory=ConfigLpParams)

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
        """Bound one layer; see `LayerModel`. Nothing in it is random.

        A unit of effort is a round of pricing; with it the deadline is not looked at.
        """
        upper = worth_of_start(problem, start)
        if problem.is_hierarchical:
            message = "refused: the configuration LP knows no nodes"
            return ModelAnswer(None, Fraction(0), message=message, refused=True)
        work = NodeLp(problem.load[0], problem.num_slots, problem.num_gpus, start, self.params)
        return answer_of(problem, work.run(lower_bound, upper, deadline, effort))


def answer_of(problem: Problem, found: NodeBound) -> ModelAnswer:
    """As the answer of a `LayerModel`, after its certificate was verified."""
    if found.certificate is not None:
        verify(problem, found.certificate)
    return ModelAnswer(
        None,
        found.bound,
        message=found.message,
        finished=found.finished,
        certificate=found.certificate,
    )


def node_bound(
    load: np.ndarray,
    num_slots: int,
    num_gpus: int,
    lower: Fraction,
    upper: Fraction,
    deadline: Deadline,
    *,
    start: np.ndarray | None = None,
    effort: int | None = None,
    params: ConfigLpParams | None = None,
) -> NodeBound:
    """The largest T that the configuration LP proves too small, for one flat node.

    Parameters
    ----------
    load
        int64 [num_experts].
    num_slots, num_gpus
        Of the node.
    lower, upper
        A proven bound, and the largest load of a plan.
    deadline
        For everything; not looked at where `effort` is given.
    start
        int64 [num_slots], that plan; its GPUs are the first patterns.
    effort
        Rounds of pricing.
    params
        Settings.
    """
    work = NodeLp(load, num_slots, num_gpus, start, params or ConfigLpParams())
    return work.run(lower, upper, deadline, effort)


@dataclass(eq=False)
class NodeLp:
    """The work on one flat node; a later call of `run` goes on where the last one stopped.

    Parameters
    ----------
    load, num_slots, num_gpus
        Of the node.
    start
        int64 [num_slots], a plan whose GPUs are the first patterns, or None.
    params
        Settings.

    Attributes
    ----------
    root
        Of the tree of counts.
    """

    load: np.ndarray
    num_slots: int
    num_gpus: int
    start: np.ndarray | None
    params: ConfigLpParams
    root: Node = field(init=False)
    _targets: Targets = field(init=False)

    def __post_init__(self) -> None:
        row = self.load[None, :]
        mean = Fraction(int(row.sum()), self.num_gpus)
        level = water_levels(row, self.num_slots)[0]
        self.root = Node(Window.open(len(self.load), self.num_slots), max(mean, level))
        self._targets = Targets(self.load, self.num_slots, self.num_gpus, self.start)

    def run(
        self, lower: Fraction, upper: Fraction, deadline: Deadline, effort: int | None = None
    ) -> NodeBound:
        """Raise the bound; see `node_bound`."""
        known = max(lower, self.bound)
        if upper <= known * (1 + Fraction(self.params.min_gain)):
            return self._answer(lower, f"the gap is below {self.params.min_gain:g}")
        if len(self.load) > self.params.max_experts:
            return self._answer(
                lower, f"{len(self.load)} experts are more than {self.params.max_experts}"
            )
        if effort is None and deadline.remaining < self.params.seconds_at_least:
            return self._answer(lower, "no time is left", finished=False)
        self._targets.begin(deadline, effort)
        return self._grow(lower, upper)

    @property
    def bound(self) -> Fraction:
        """Proven so far."""
        return min(node.bound for node in self._leaves())

    def _leaves(self) -> list[Node]:
        return [node for node in self.root.preorder() if node.low is None]

    def _grow(self, lower: Fraction, upper: Fraction) -> NodeBound:
        """Raise the leaf of the least bound, or split it, until there is nothing left to do."""
        params = self.params
        while True:
            leaves = self._leaves()
            node = min(leaves, key=lambda leaf: leaf.bound)
            climb = Climb(
                self._targets, node, lower, upper, params.tolerance, params.digits, params.min_gain
            )
            if not climb.run():
                return self._answer(lower, "stopped", finished=False)
            if node.bound > min(leaf.bound for leaf in leaves):
                continue
            if max(node.bound, lower) >= upper * (1 - Fraction(params.tolerance)):
                return self._answer(lower, f"a plan is known of {float(upper):.6g}")
            at = branching(self.load, node.taken) if node.taken is not None else None
            if at is None or len(leaves) >= params.max_leaves:
                return self._answer(lower, f"the LP is feasible at {node.open_at:.6g}")
            node.split(*at)

    def _answer(self, lower: Fraction, message: str, *, finished: bool = True) -> NodeBound:
        rounds = self._targets.rounds
        told = f"configuration LP, {rounds} rounds: {message}" if rounds else message
        return NodeBound(max(lower, self.bound), self._certificate(), told, finished)

    def _certificate(self) -> Certificate | None:
        bound = self.bound
        if self.root.low is None:
            if self.root.value is None:
                return None
            return Certificate("config_lp", bound, {"value": self.root.value})
        nodes = list(self.root.preorder())
        leaves = [node for node in nodes if node.low is None]
        if any(leaf.value is None for leaf in leaves):
            return None
        data = {
            "expert": [node.expert for node in nodes],
            "count": [node.count for node in nodes],
            "value": [v for leaf in leaves for v in leaf.value or []],
        }
        return Certificate("config_lp_tree", bound, data)
