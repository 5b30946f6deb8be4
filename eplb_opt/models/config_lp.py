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

from eplb_opt.certificates.certificate import Certificate, CertificateError
from eplb_opt.certificates.config_lp import least_load, verify
from eplb_opt.models.answer import ModelAnswer
from eplb_opt.models.config_lp_target import FEASIBLE, OPEN, Targets
from eplb_opt.models.door import worth_of_start
from eplb_opt.water import water_levels

if TYPE_CHECKING:
    from eplb_opt.deadline import Deadline
    from eplb_opt.problem import Problem

#: Shares of the way up to a load where the LP is feasible, or to the start's.
LOOK_UP = (1 / 16, 1 / 4)


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
    seconds_at_least
        With less left nothing is begun.
    """

    min_gain: float = 1e-4
    tolerance: float = 1e-5
    digits: int = 36
    max_experts: int = 2048
    seconds_at_least: float = 0.005


class NodeBound(NamedTuple):
    """A bound of one flat node, the certificate's data that proves it, and why it ended.

    `data` is None where nothing better was found than the bound given, mean and water level;
    `finished` says that more time would not raise the bound.
    """

    bound: Fraction
    data: dict[str, int | list[int]] | None
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
        found = node_bound(
            problem.load[0],
            problem.num_slots,
            problem.num_gpus,
            lower_bound,
            upper,
            deadline,
            start=start,
            effort=effort,
            params=self.params,
        )
        if found.data is None:
            return ModelAnswer(None, found.bound, message=found.message, finished=found.finished)
        certificate = Certificate("config_lp", found.bound, found.data)
        verified = verify(problem, certificate)
        return ModelAnswer(
            None,
            verified,
            message=found.message,
            finished=found.finished,
            certificate=certificate,
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
    params = params or ConfigLpParams()
    limit = None if effort is not None else deadline
    row = np.asarray(load, dtype=np.int64)[None, :]
    mean, level = Fraction(int(row.sum()), num_gpus), water_levels(row, num_slots)[0]
    lower = max(lower, mean, level)
    if upper <= lower * (1 + Fraction(params.min_gain)):
        return NodeBound(lower, None, f"the gap is below {params.min_gain:g}")
    if len(load) > params.max_experts:
        return NodeBound(lower, None, f"{len(load)} experts are more than {params.max_experts}")
    if limit is not None and limit.remaining < params.seconds_at_least:
        return NodeBound(lower, None, "no time is left", finished=False)
    targets = Targets(load, num_slots, num_gpus, start, limit, effort)
    return _Climb(load, num_slots, num_gpus, upper, lower, params, targets).run()


@dataclass(eq=False)
class _Climb:
    """Bisection between what is proven and what the LP allows."""

    load: np.ndarray
    num_slots: int
    num_gpus: int
    upper: Fraction
    bound: Fraction
    params: ConfigLpParams
    targets: Targets
    data: dict[str, int | list[int]] | None = None

    def run(self) -> NodeBound:
        """Climb until the LP is feasible just above the bound, or the budget is spent."""
        low, high = float(self.bound), float(self.upper)
        # Who is to blame? Where the LP is feasible just above the bound, it cannot help.
        target, reason = low * (1 + self.params.min_gain), "a plan is known of"
        while True:
            verdict = self.targets.decide(target)
            if verdict == OPEN:
                return self._answer(f"stopped; it may prove up to {high:.6g}", finished=False)
            if verdict != FEASIBLE and self._prove(target, high):
                low = float(self.bound)
            else:
                high = target
                # Floats may also have said more than integers can prove.
                reason = (
                    "the LP is feasible at" if verdict == FEASIBLE else "nothing is provable at"
                )
            if high - low <= self.params.tolerance * high or self.data is None:
                return self._answer(f"{reason} {high:.6g}")
            target = (low + high) / 2

    def _answer(self, message: str, *, finished: bool = True) -> NodeBound:
        told = f"configuration LP, {self.targets.rounds} rounds: {message}"
        return NodeBound(self.bound, self.data, told, finished)

    def _prove(self, target: float, high: float) -> bool:
        """Raise the bound to what the best values prove; whether it rose.

        They may prove more than the target that they were made for; but counts range further for
        plans of a larger load, so that looking too high proves less.
        """
        value = self._rounded(self.targets.centre)
        before = self.bound
        for below in (target, *(target + (high - target) * share for share in LOOK_UP)):
            try:
                proven = least_load(
                    self.load, self.num_slots, self.num_gpus, value, Fraction(below)
                )
            except CertificateError:
                return False
            if proven > self.bound:
                self.bound, self.data = proven, {"value": value}
        return self.bound > before

    def _rounded(self, value: np.ndarray) -> list[int]:
        scale = 2.0**self.params.digits * self.num_gpus / max(float(value.sum()), 1e-300)
        return [int(v) for v in np.floor(np.maximum(value, 0) * scale)]
