"""The integer objective of a model, and the value of a plan that it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, lcm
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eplb_opt.exact.shared.loads import LayerLoads
    from eplb_opt.exact.shared.scaling import Scale

#: The largest weight of a T. Shares of scenarios with denominators up to it count exactly, others
#: are rounded down. Times a T of 31 bits it is an exact float64, as which backends give bounds.
MAX_SHARE = 2**21


@dataclass(frozen=True, eq=False)
class ObjectiveUnits:
    """Converts between the model's objective, sum weight_r T_r in units, and values of plans.

    Parameters
    ----------
    loads
        The loads that the model looks at.
    scale
        Units of every T per unit of value.
    weight
        What a unit of every T counts in the objective, [num_peaks].
    slack
        By how many units a plan's T may exceed the scale times its true value: 0 where the model
        never overestimates, 1 where T is the true value rounded up.
    """

    loads: LayerLoads
    scale: Scale
    weight: tuple[int, ...]
    slack: int = 0

    def to_units(self, value: Fraction) -> int:
        """The most units of the objective that a plan of at most this value can have."""
        if not self.loads.is_mean:
            return floor(value * self.scale.value) + self.slack
        top = (value - self.loads.constant - self._rest()) * self.scale.value / self.share(1)
        return floor(top) + self.slack * sum(self.weight)

    def to_bound(self, units: int) -> Fraction:
        """A lower bound of the layer's value from one of the model's objective.

        What the weights of scenarios lost to rounding counts with each scenario's least value.
        """
        if not self.loads.is_mean:
            if self.slack:
                return max((units - self.slack) / self.scale.value, Fraction(0))
            return self.scale.to_bound(units)
        units = max(units - self.slack * sum(self.weight), 0)
        return self.loads.constant + self._rest() + self.share(1) * units / self.scale.value

    def to_value(self, units: int) -> Fraction:
        """The value that a number of units stands for, up to the scale's rounding."""
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
    """An upper limit on the T of every load, twice what the start needs, [num_loads].

    With the start's own T as the limit, a backend tends to lose the start.
    """
    return [2 * max(ceil(one.most * scale.value), 1) for one in loads.each]
