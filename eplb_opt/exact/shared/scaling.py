"""Replica sizes as integers, such that a bound of the integers is a bound of the loads."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, gcd, lcm

#: With a larger denominator of the grain a bound is not rounded up: it would gain nothing.
MAX_GRAIN_DENOMINATOR = 2**62
ONE = Fraction(1)


@dataclass(frozen=True)
class ScaleLimits:
    """The largest numbers that a backend's arithmetic bears.

    Parameters
    ----------
    load
        The largest scaled GPU load.
    total
        The largest sum of all scaled sizes of the model; None for no limit.
    """

    load: int
    total: int | None = None

    def largest_scale(self, upper: Fraction, sizes: list[Fraction]) -> Fraction:
        """The scale that reaches a limit; `upper`, the largest GPU load, is positive."""
        by_load = self.load / upper
        return by_load if self.total is None else min(by_load, self.total / sum(sizes, Fraction(0)))


@dataclass(frozen=True)
class Scale:
    """Units of the model per unit of load.

    The model's size of a replica is floor(value * w / c). It never exceeds the true size, so a
    plan's load in the model never exceeds `value` times its true one, and a lower bound B
    of the model proves B / value for the loads. The value of the model's plan is not read from
    the model at all: `eplb_opt.placement.scoring` adds its loads up exactly. So one model,
    rounded down, makes true bounds and true plans, and a second one with sizes rounded up is not
    needed. Where every size times `value` is an integer nothing is rounded, and the model's
    optimum is the layer's.

    Parameters
    ----------
    value
        Units of the model per unit of load, positive.
    grain
        A load of which every replica size, and with it every GPU load, is a multiple.
    """

    value: Fraction
    grain: Fraction

    @property
    def is_exact(self) -> bool:
        """Whether no size is rounded in the model."""
        return (self.grain * self.value).denominator == 1

    def size(self, load: int, count: int, per: Fraction = ONE) -> int:
        """The size in the model of a replica of `load / count`, as a multiple of `per`."""
        top = load * self.value.numerator * per.denominator
        return top // (self.value.denominator * per.numerator * count)

    def to_load(self, units: int) -> Fraction:
        """Units of the model as a load."""
        return units / self.value

    def to_bound(self, units: int) -> Fraction:
        """A lower bound of the model as one of the layer, rounded up to what a load can be."""
        bound = units / self.value
        if self.grain.denominator > MAX_GRAIN_DENOMINATOR:
            return bound
        return ceil(bound / self.grain) * self.grain

    def to_units(self, lower_bound: Fraction, slots_per_gpu: int) -> int:
        """A lower bound of the layer as one of the model.

        Rounding takes less than a unit from each replica, so a GPU's load in the model is
        above `value` times its true one minus slots_per_gpu, and the model's is an integer.
        """
        if self.is_exact:
            return ceil(lower_bound * self.value)
        return max(floor(lower_bound * self.value) - slots_per_gpu + 1, 0)


def choose_scale(sizes: list[Fraction], upper: Fraction, limits: ScaleLimits) -> Scale:
    """The exact scale where the limits allow, else the largest that they allow.

    Parameters
    ----------
    sizes
        All replica sizes.
    upper
        The largest GPU load of a plan no worse than the start, positive.
    limits
        The limits of the backend's arithmetic.
    """
    positive = [size for size in sizes if size]
    if not positive:
        return Scale(Fraction(1), Fraction(1))
    grain = Fraction(gcd(*(s.numerator for s in positive)), lcm(*(s.denominator for s in positive)))
    largest = limits.largest_scale(upper, positive)
    if 1 / grain <= largest:
        return Scale(1 / grain, grain)
    rounded = Fraction(floor(largest)) if largest >= 1 else Fraction(1, ceil(1 / largest))
    return Scale(rounded, grain)
