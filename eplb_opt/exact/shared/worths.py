"""What a model's objective says of a layer's worth, and the other way round."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, lcm
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eplb_opt.exact.shared.loads import LayerLoads
    from eplb_opt.exact.shared.scaling import Scale

#: Shares of scenarios that are multiples of one over at most this count exactly, others a bit less.
#: Times a T of 31 bits it stays an exact float64, as which solvers report their bounds.
MAX_SHARE = 2**21


@dataclass(frozen=True, eq=False)
class Worths:
    """Units of the objective, sum weight_r T_r, as a layer's worth.

    Parameters
    ----------
    loads
        What the model looks at.
    scale
        Units of every T per unit of worth.
    weight
        What a unit of every T counts in the objective, [num_peaks].
    slack
        How much larger than the scale times its true worth a plan's T in the model may have to be:
        0 where the model never overestimates, 1 where T is a true worth rounded up.
    """

    loads: LayerLoads
    scale: Scale
    weight: tuple[int, ...]
    slack: int = 0

    def to_units(self, worth: Fraction) -> int:
        """The most units of the objective that a plan of at most this worth can have."""
        if not self.loads.is_mean:
            return floor(worth * self.scale.value) + self.slack
        top = (worth - self.loads.constant - self._rest()) * self.scale.value / self.share(1)
        return floor(top) + self.slack * sum(self.weight)

    def to_bound(self, units: int) -> Fraction:
        """A lower bound of the layer's worth from one of the model's objective.

        What the weights of scenarios lost to rounding counts with each one's own least worth.
        """
        if not self.loads.is_mean:
            if self.slack:
                return max((units - self.slack) / self.scale.value, Fraction(0))
            return self.scale.to_bound(units)
        units = max(units - self.slack * sum(self.weight), 0)
        return self.loads.constant + self._rest() + self.share(1) * units / self.scale.value

    def to_load(self, units: int) -> Fraction:
        """The worth that so many units of the objective stand for, up to the scale's rounding."""
        if not self.loads.is_mean:
            return self.scale.to_load(units)
        return self.loads.constant + self._rest() + self.share(1) * units / self.scale.value

    def share(self, weight: int) -> Fraction:
        """The share of a scenario of that weight."""
        return weight * share_unit(self.loads)

    def _rest(self) -> Fraction:
        parts = zip(self.weight, self.loads.each, strict=True)
        lost = ((one.share - self.share(w)) * one.least for w, one in parts)
        return sum(lost, Fraction(0))


def weights_of(loads: LayerLoads) -> tuple[int, ...]:
    """The shares as whole multiples of `share_unit`, rounded down."""
    if not loads.is_mean:
        return (1,)
    unit = share_unit(loads)
    return tuple(floor(one.share / unit) for one in loads.each)


def share_unit(loads: LayerLoads) -> Fraction:
    """The share that a weight of 1 stands for."""
    exact = lcm(*(one.share.denominator for one in loads.each))
    return Fraction(1, min(exact, MAX_SHARE))


def units_above(loads: LayerLoads, scale: Scale) -> list[int]:
    """No T within reach is above these, with as much again to spare, [num_loads].

    Cut off at the start's T, a solver tends to lose the start.
    """
    return [2 * max(ceil(one.most * scale.value), 1) for one in loads.each]
