"""Units of the flow model: its scale, speeds as ratios of small integers, and possible values.

Everything here is rounded so that the model only relaxes; `formulation` says why that suffices.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor, gcd, lcm
from typing import TYPE_CHECKING, NamedTuple

from eplb_opt.exact.shared.scaling import Scale, ScaleLimits

if TYPE_CHECKING:
    from collections.abc import Collection

    from eplb_opt.exact.shared.loads import LayerLoads, ModelLoad
    from eplb_opt.problem.problem import Problem

#: With more different sums of GPU speeds than this, bounds are not rounded up to possible values.
MAX_SUMS = 4096
#: A ratio of integers up to this replaces a speed that lies below it by less than DOUBT of itself.
SMALL_RATIO = 1000
DOUBT = Fraction(1, 2**40)


class GpuRate(NamedTuple):
    """The ratio top / bottom of a GPU's speed to the fastest one's, at most 1."""

    top: int
    bottom: int

    @classmethod
    def above(cls, speed: Fraction, finest: int) -> GpuRate:
        """The speed, or a little more: a GPU that may take more only relaxes the model.

        Parameters
        ----------
        speed
            The speed over that of the fastest GPU, above 0 and at most 1.
        finest
            The largest denominator.
        """
        near = speed.limit_denominator(SMALL_RATIO)
        if not 0 <= near - speed <= speed * DOUBT:
            near = Fraction(ceil(speed * finest), finest)
        return cls(near.numerator, near.denominator)

    def most(self, level: int) -> int:
        """The units that the GPU takes at a level, rounded up."""
        return -(-level * self.top // self.bottom)


def flow_scale(problem: Problem, loads: LayerLoads, limits: ScaleLimits) -> Scale:
    """A scale at which every value is a whole number of units, where the limits allow one.

    It is the smallest such scale where GPUs are alike, and else the largest, because the capacities
    of GPUs are rounded then. In floats a host that is 1e-6 off its integer lets a millionth of its
    expert's tokens flow, so `limits.total` holds for the tokens of every expert on every GPU
    together.

    Parameters
    ----------
    problem
        A problem of one layer under optimal dispatch.
    loads
        The loads that the model looks at.
    limits
        The limits of the backend's arithmetic.
    """
    if not loads.each:
        return Scale(Fraction(1), Fraction(1))
    largest = limits.load / max(one.most for one in loads.each)
    if limits.total is not None:
        everywhere = [problem.num_gpus * sum(one.load) / one.unit for one in loads.each]
        largest = min(largest, limits.total * fastest(problem) / sum(everywhere))
    sums = subset_speeds(problem)
    if sums is None:
        return Scale(_whole(largest), Fraction(0))
    grain = _grain([Fraction(gcd(*one.load)) / one.unit for one in loads.each], sums)
    if 1 / grain > largest:
        return Scale(_whole(largest), grain)
    times = 1 if problem.gpu_speed is None else floor(largest * grain)
    return Scale(times / grain, grain)


def fastest(problem: Problem) -> Fraction:
    """The largest speed of a GPU with a slot."""
    used = zip(problem.speed, problem.open_slots.tolist(), strict=True)
    return max(speed for speed, slots in used if slots)


def subset_speeds(problem: Problem) -> Collection[Fraction] | None:
    """Every sum of speeds of GPUs with a slot, for any of them; None where there are too many."""
    sums = {Fraction(0)}
    for speed, slots in zip(problem.speed, problem.open_slots.tolist(), strict=True):
        if slots:
            sums |= {known + speed for known in sums}
        if len(sums) > MAX_SUMS:
            return None
    return sums - {Fraction(0)}


def level_above(one: ModelLoad, sums: Collection[Fraction], bound: Fraction) -> Fraction:
    """The least w(X) / (unit speed(Y)) of one load that is at least the bound."""
    grain = Fraction(gcd(*one.load))
    per = [total * one.unit for total in sums]
    return min(ceil(bound * p / grain) * grain / p for p in per)


def _grain(steps: list[Fraction], sums: Collection[Fraction]) -> Fraction:
    """The greatest number of which every step / sum is a multiple."""
    parts = [step / total for step in steps for total in sums]
    return Fraction(gcd(*(p.numerator for p in parts)), lcm(*(p.denominator for p in parts)))


def _whole(largest: Fraction) -> Fraction:
    return Fraction(floor(largest)) if largest >= 1 else Fraction(1, ceil(1 / largest))
