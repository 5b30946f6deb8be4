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

from eplb_opt.bounds.water_level import water_levels
from eplb_opt.certificates import verify
from eplb_opt.certificates.certificate import Certificate
from eplb_opt.core import config_lp
from eplb_opt.exact.config_lp.target import Targets, Window
from eplb_opt.exact.config_lp.tree import Climb, Node, branching
from eplb_opt.exact.shared.answer import ModelAnswer
from eplb_opt.exact.shared.start import worth_of_start

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem


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
    patience
        So many splits of the tree of counts that raise nothing end it.
    seconds_at_least
        With less left nothing is begun.
    """

    min_gain: float = 1e-4
    tolerance: float = 1e-5
    digits: int = 36
    max_experts: int = 2048
    patience: int = 8
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
        work = NodeLp.of(problem, start, self.params)
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
        int64 [num_slots], a plan whose GPUs are the first patterns, or None; it may be replaced
        by a better one between two runs.
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
    _probe: Node | None = None

    def __post_init__(self) -> None:
        self._mean = Fraction(int(self.load.sum()), self.num_gpus)
        self._level = water_levels(self.load[None, :], self.num_slots)[0]
        window = Window.open(len(self.load), self.num_slots)
        self.root = Node(window, max(self._mean, self._level))
        self._targets = Targets(self.load, self.num_slots, self.num_gpus, self.start)

    @classmethod
    def of(
        cls, problem: Problem, start: np.ndarray | None, params: ConfigLpParams | None = None
    ) -> NodeLp:
        """Of a flat problem of one layer."""
        params = params or ConfigLpParams()
        return cls(problem.load[0], problem.num_slots, problem.num_gpus, start, params)

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
        if not config_lp.is_small(len(self.load), self.num_slots, self.num_slots // self.num_gpus):
            return self._answer(lower, f"{self.num_slots} slots make tables too large for memory")
        if effort is None and deadline.remaining < self.params.seconds_at_least:
            return self._answer(lower, "no time is left", finished=False)
        self._targets.begin(deadline, effort)
        reason = self._grow(lower, upper)
        return self._answer(lower, reason or "stopped", finished=reason is not None)

    @property
    def bound(self) -> Fraction:
        """Proven so far."""
        return min(node.bound for node in self._leaves())

    def _leaves(self) -> list[Node]:
        return [node for node in self.root.preorder() if node.low is None]

    def _grow(self, lower: Fraction, upper: Fraction) -> str | None:
        """Raise the leaf of the least bound, or split it; why that ended, None if out of budget."""
        close = upper * (1 - Fraction(self.params.tolerance))
        if self.root.low is None:
            if not self._climb(self.root, lower, upper, float(upper)):
                return None
            if max(self.root.bound, lower) >= close:
                return f"a plan is known of {float(upper):.6g}"
        cap = self._cap(lower, upper)
        if cap is None:
            return None
        last_gain, best = 0, self.bound
        while True:
            leaves = self._leaves()
            node = min(leaves, key=lambda leaf: leaf.bound)
            if not self._climb(node, lower, upper, cap):
                return None
            if node.bound > min(leaf.bound for leaf in leaves):
                continue
            if node.open_at >= cap:
                return f"with the plan's counts the LP is feasible at {cap:.6g}"
            if self.bound > best:
                last_gain, best = len(leaves), self.bound
            at = branching(self.load, node.taken, node.open_at) if node.taken is not None else None
            if at is None or len(leaves) - last_gain >= self.params.patience:
                return f"the LP is feasible at {node.open_at:.6g}"
            node.split(*at)

    def _climb(self, node: Node, lower: Fraction, upper: Fraction, cap: float) -> bool:
        p = self.params
        # Where the mean exceeds the water level, the LP seldom proves more.
        low_first = node.value is None and self._mean >= max(self._level, lower)
        return Climb(
            self._targets, node, lower, upper, cap, p.tolerance, p.digits, p.min_gain, low_first
        ).run()

    def _cap(self, lower: Fraction, upper: Fraction) -> float | None:
        """No tree proves more than the LP does when all counts are a plan's; None if out of budget.

        Who is to blame? If that is far below the plan, the plan is, or its not being fractional.
        """
        if self.start is None:
            return float(upper)
        counts = np.bincount(self.start, minlength=len(self.load))
        if self._probe is None or not np.array_equal(counts, self._probe.window.low):
            root = self.root
            self._probe = Node(Window(counts, counts), root.bound, root.value, centre=root.centre)
        if not self._climb(self._probe, lower, upper, float(upper)):
            return None
        return min(self._probe.open_at, float(upper))

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
        data: dict[str, int | list[int]] = {
            "expert": [node.expert for node in nodes],
            "count": [node.count for node in nodes],
            "value": [v for leaf in leaves for v in leaf.value or []],
        }
        return Certificate("config_lp_tree", bound, data)
