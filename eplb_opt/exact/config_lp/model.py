"""The configuration LP: a lower bound from patterns of replicas that fit on a GPU together.

For a target load T the LP asks for the fewest GPUs, fractions allowed, whose patterns cover every
expert; where that is more GPUs than there are, no plan stays at T. Its dual values make the
certificate, and every bound above mean and water level was proven in integers by the verifier.

References
----------
P. C. Gilmore and R. E. Gomory, "A linear programming approach to the cutting-stock problem",
Operations Research 9, 1961.
C. Barnhart, E. L. Johnson, G. L. Nemhauser, M. W. P. Savelsbergh and P. H. Vance,
"Branch-and-price: column generation for solving huge integer programs", Operations Research 46,
1998.
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
from eplb_opt.exact.config_lp.target import CountRange, TargetLp
from eplb_opt.exact.config_lp.tree import TargetBisection, TreeNode, branching
from eplb_opt.exact.shared.answer import ModelAnswer
from eplb_opt.exact.shared.start import plain_start_value

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True)
class ConfigLpParams:
    """Settings of the bound.

    Parameters
    ----------
    min_gain
        A bound that cannot rise by this share of itself is left as it is.
    tolerance
        The relative precision to which the largest provable T is searched.
    digits
        The bits of an average GPU's weight in the certificate.
    max_experts
        More experts are refused: the basis inverse would take gigabytes and a pivot seconds.
    patience
        The number of splits of the tree in a row without a better bound that end the search.
    seconds_at_least
        With fewer seconds left nothing is begun.
    """

    min_gain: float = 1e-4
    tolerance: float = 1e-5
    digits: int = 36
    max_experts: int = 2048
    patience: int = 8
    seconds_at_least: float = 0.005


class ConfigLpBound(NamedTuple):
    """A bound of a flat problem, its certificate, and why the search ended.

    Parameters
    ----------
    bound
        The larger of the proven bound and the one that the caller gave, in integer units.
    certificate
        The proof of what was proven here, which may be below `bound`; None where that is no more
        than mean and water level.
    message
        Why the search ended.
    finished
        Whether more time would not help.
    """

    bound: Fraction
    certificate: Certificate | None
    message: str
    finished: bool = True


@dataclass(frozen=True)
class ConfigLpModel:
    """A `LayerModel` that proves a bound and finds no plan.

    Parameters
    ----------
    params
        The settings of the model.
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
        """Bound one layer as `LayerModel` describes. Nothing in it is random.

        A unit of effort is a round of pricing; it takes the place of the deadline.
        """
        upper = plain_start_value(problem, start)
        if problem.is_hierarchical:
            message = "refused: the configuration LP knows no nodes"
            return ModelAnswer(None, Fraction(0), message=message, refused=True)
        work = FlatConfigLp.of(problem, start, self.params)
        return answer_of(problem, work.run(lower_bound, upper, deadline, effort))


def answer_of(problem: Problem, found: ConfigLpBound) -> ModelAnswer:
    """The answer of a `LayerModel`, after its certificate was verified."""
    if found.certificate is not None:
        verify(problem, found.certificate)
    return ModelAnswer(
        None,
        found.bound,
        message=found.message,
        finished=found.finished,
        certificate=found.certificate,
    )


@dataclass(eq=False)
class FlatConfigLp:
    """The configuration LP of one flat problem; a later `run` goes on where the last one stopped.

    Parameters
    ----------
    load
        int64 [num_experts], the loads in the problem's integer units.
    num_slots, num_gpus
        The slots and GPUs of the problem.
    start
        int64 [num_slots], a plan whose GPUs are the first patterns, or None; it may be replaced
        by a better one between two runs.
    params
        The settings of the model.

    Attributes
    ----------
    root
        The root of the branch-and-bound tree over counts.
    """

    load: np.ndarray
    num_slots: int
    num_gpus: int
    start: np.ndarray | None
    params: ConfigLpParams
    root: TreeNode = field(init=False)
    _targets: TargetLp = field(init=False)
    _probe: TreeNode | None = None

    def __post_init__(self) -> None:
        self._mean = Fraction(int(self.load.sum()), self.num_gpus)
        self._level = water_levels(self.load[None, :], self.num_slots)[0]
        count_range = CountRange.open(len(self.load), self.num_slots)
        self.root = TreeNode(count_range, max(self._mean, self._level))
        self._targets = TargetLp(self.load, self.num_slots, self.num_gpus, self.start)

    @classmethod
    def of(
        cls, problem: Problem, start: np.ndarray | None, params: ConfigLpParams | None = None
    ) -> FlatConfigLp:
        """The configuration LP of a flat problem of one layer."""
        params = params or ConfigLpParams()
        return cls(problem.load[0], problem.num_slots, problem.num_gpus, start, params)

    def run(
        self, lower: Fraction, upper: Fraction, deadline: Deadline, effort: int | None = None
    ) -> ConfigLpBound:
        """Raise the bound: the largest load that the LP proves too small for every plan.

        Parameters
        ----------
        lower, upper
            A proven lower bound, and the largest GPU load of a plan, in integer units.
        deadline
            The end of the work; not looked at where `effort` is given.
        effort
            Counted work, in rounds of pricing; None for no limit but time.
        """
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
        """The bound proven so far, the least of the leaves."""
        return min(node.bound for node in self._leaves())

    def _leaves(self) -> list[TreeNode]:
        return [node for node in self.root.preorder() if node.low is None]

    def _grow(self, lower: Fraction, upper: Fraction) -> str | None:
        """Raise or split the leaf of least bound; why that ended, None where work ran out."""
        close = upper * (1 - Fraction(self.params.tolerance))
        if self.root.low is None:
            if not self._bisect(self.root, lower, upper, float(upper)):
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
            if not self._bisect(node, lower, upper, cap):
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

    def _bisect(self, node: TreeNode, lower: Fraction, upper: Fraction, cap: float) -> bool:
        p = self.params
        # Where the mean exceeds the water level, the LP seldom proves more.
        low_first = node.value is None and self._mean >= max(self._level, lower)
        return TargetBisection(
            self._targets, node, lower, upper, cap, p.tolerance, p.digits, p.min_gain, low_first
        ).run()

    def _cap(self, lower: Fraction, upper: Fraction) -> float | None:
        """The load up to which the tree may prove something; None where the work ran out.

        No tree proves more than the LP with all counts fixed to those of a plan. Where that is far
        below the plan's value, no branching on counts can close the gap.
        """
        if self.start is None:
            return float(upper)
        counts = np.bincount(self.start, minlength=len(self.load))
        if self._probe is None or not np.array_equal(counts, self._probe.count_range.low):
            root = self.root
            self._probe = TreeNode(
                CountRange(counts, counts), root.bound, root.value, centre=root.centre
            )
        if not self._bisect(self._probe, lower, upper, float(upper)):
            return None
        return min(self._probe.open_at, float(upper))

    def _answer(self, lower: Fraction, message: str, *, finished: bool = True) -> ConfigLpBound:
        rounds = self._targets.rounds
        told = f"configuration LP, {rounds} rounds: {message}" if rounds else message
        return ConfigLpBound(max(lower, self.bound), self._certificate(), told, finished)

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
