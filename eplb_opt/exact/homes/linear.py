"""A linear program that is written with the calls of CP-SAT, so that a rule serves both backends.

`HomeModel` takes this module in the place of `ortools.sat.python.cp_model`: its rules make
variables, add them up and compare sums, and here these calls make rows of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: A row: columns, coefficients, and its limits; None for no limit on that side.
Row = tuple[list[int], list[int], int | None, int | None]


@dataclass(eq=False)
class Sum:
    """A sum of integer multiples of columns, and a constant.

    Parameters
    ----------
    terms
        The coefficient of each column.
    constant
        What is added to them.
    """

    terms: dict[int, int] = field(default_factory=dict)
    constant: int = 0

    def __add__(self, other: Sum | int) -> Sum:
        """The sum of both."""
        if not isinstance(other, Sum):
            return Sum(self.terms, self.constant + other)
        terms = dict(self.terms)
        for column, coefficient in other.terms.items():
            terms[column] = terms.get(column, 0) + coefficient
        return Sum(terms, self.constant + other.constant)

    __radd__ = __add__

    def __mul__(self, factor: int) -> Sum:
        """A multiple."""
        terms = {column: coefficient * factor for column, coefficient in self.terms.items()}
        return Sum(terms, self.constant * factor)

    __rmul__ = __mul__

    def __neg__(self) -> Sum:
        """The opposite."""
        return self * -1

    def __sub__(self, other: Sum | int) -> Sum:
        """The difference."""
        return self + (-other)

    def __rsub__(self, other: int) -> Sum:
        """What is missing to a number."""
        return -self + other

    def __le__(self, other: Sum | int) -> Comparison:
        """At most as much as the other."""
        return Comparison(self - other, None, 0)

    def __ge__(self, other: Sum | int) -> Comparison:
        """At least as much as the other."""
        return Comparison(self - other, 0, None)

    def __eq__(self, other: object) -> Comparison:  # type: ignore[override]
        """As much as the other."""
        if not isinstance(other, Sum | int):
            return NotImplemented
        return Comparison(self - other, 0, 0)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A sum with its limits; None for no limit on that side."""

    left: Sum
    lower: int | None
    upper: int | None


class CpModel:
    """The program: limits of the columns, rows, the sum that is minimised, and a start.

    Attributes
    ----------
    lower, upper
        [num_columns], the limits of each column.
    rows
        The constraints.
    minimised
        What is minimised.
    start
        Values of columns to begin with.
    """

    def __init__(self) -> None:
        self.lower: list[int] = []
        self.upper: list[int] = []
        self.rows: list[Row] = []
        self.minimised = Sum()
        self.start: dict[int, int] = {}

    def new_int_var(self, lower: Any, upper: Any, name: str) -> Sum:
        """A column between two limits; the name is not kept."""
        self.lower.append(floor(lower))
        self.upper.append(ceil(upper))
        return Sum({len(self.lower) - 1: 1})

    def new_bool_var(self, name: str) -> Sum:
        """A column that is 0 or 1."""
        return self.new_int_var(0, 1, name)

    def add(self, comparison: Comparison | bool) -> None:
        """Add a row; what has no columns is true or false."""
        if isinstance(comparison, Comparison):
            self.add_linear_constraint(comparison.left, comparison.lower, comparison.upper)
        elif not comparison:
            self.rows.append(([], [], 1, 1))

    def add_linear_constraint(self, left: Sum, lower: int | None, upper: int | None) -> None:
        """Add a row with limits on both sides."""
        limits = [None if one is None else int(one) - left.constant for one in (lower, upper)]
        self.rows.append((list(left.terms), list(left.terms.values()), limits[0], limits[1]))

    def add_exactly_one(self, columns: Iterable[Sum]) -> None:
        """One of these columns is 1, the others are 0."""
        self.add(sum(columns, Sum()) == 1)

    def minimize(self, total: Sum) -> None:
        """What is to be small."""
        self.minimised = total

    def add_hint(self, column: Sum, value: int) -> None:
        """A value to begin with."""
        self.start[next(iter(column.terms))] = value

    def holds(self, values: dict[int, int]) -> bool:
        """Whether values of the columns are within all limits; a column without one is 0."""
        within = (
            low <= values.get(i, 0) <= high
            for i, (low, high) in enumerate(zip(self.lower, self.upper, strict=True))
        )
        return all(within) and all(_row_holds(row, values) for row in self.rows)


def _row_holds(row: Row, values: dict[int, int]) -> bool:
    columns, coefficients, lower, upper = row
    total = sum(c * values.get(i, 0) for i, c in zip(columns, coefficients, strict=True))
    return (lower is None or lower <= total) and (upper is None or total <= upper)
