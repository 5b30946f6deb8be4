"""Linear constraints as arrays, so that a rule is written once for every backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: No limit on this side; far above any sum of the models, which stay below 2**53.
UNLIMITED = 2**60

#: (row, column, coefficient): integers or integer arrays that broadcast to one shape.
Term = tuple[Any, Any, Any]


@dataclass(frozen=True, eq=False)
class LinearConstraints:
    """Constraints lower <= sum coefficient * column <= upper, as a sparse matrix by rows.

    Parameters
    ----------
    first
        int64 [num_rows + 1]; constraint i has the entries from first[i] to first[i + 1].
    column, coefficient
        int64 [num_entries], the column's number and its coefficient.
    lower, upper
        int64 [num_rows], the limits; -UNLIMITED or UNLIMITED for none.
    """

    first: np.ndarray
    column: np.ndarray
    coefficient: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @property
    def num_rows(self) -> int:
        """The number of constraints."""
        return len(self.lower)

    def each(self) -> Iterator[tuple[list[int], list[int], int, int]]:
        """(columns, coefficients, lower, upper) of every row, as lists."""
        columns, coefficients = self.column.tolist(), self.coefficient.tolist()
        first = self.first.tolist()
        lower, upper = self.lower.tolist(), self.upper.tolist()
        for i in range(self.num_rows):
            at = slice(first[i], first[i + 1])
            yield columns[at], coefficients[at], lower[i], upper[i]

    def hold(self, values: np.ndarray) -> bool:
        """Whether the columns' values, int64 [num_columns], obey every row."""
        if not self.num_rows:
            return True
        row = np.repeat(np.arange(self.num_rows), np.diff(self.first))
        sums = np.zeros(self.num_rows, dtype=np.int64)
        np.add.at(sums, row, self.coefficient * values[self.column])
        return bool(((sums >= self.lower) & (sums <= self.upper)).all())


def constraints_of(
    terms: Iterable[Term], lower: np.ndarray, upper: np.ndarray
) -> LinearConstraints:
    """Constraints from terms in any order.

    Parameters
    ----------
    terms
        Triples of arrays, each as `Term`.
    lower, upper
        int64 [num_rows], the limits of every constraint.
    """
    parts = [[part.ravel() for part in np.broadcast_arrays(*term)] for term in terms]
    row, column, coefficient = (np.concatenate(kind) for kind in zip(*parts, strict=True))
    order = np.argsort(row, kind="stable")
    first = np.zeros(len(lower) + 1, dtype=np.int64)
    np.cumsum(np.bincount(row, minlength=len(lower)), out=first[1:])
    return LinearConstraints(first, column[order], coefficient[order], lower, upper)


def no_constraints() -> LinearConstraints:
    """The constraints of a rule that does not apply: none."""
    none = np.zeros(0, dtype=np.int64)
    return LinearConstraints(np.zeros(1, dtype=np.int64), none, none, none, none)
