"""Tables that fit a terminal: where there is no room the least important columns go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

#: A column's own edge and the space on both sides of its text.
AROUND = 3


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    heading
        May be broken between words.
    cells
        One a row, never broken.
    rank
        Columns of the highest rank go first where there is no room; those of rank 0 stay.
    is_text
        Whether it is read from the left.
    """

    heading: str
    cells: list[str]
    rank: int = 0
    is_text: bool = False

    @property
    def least_width(self) -> int:
        """Characters of its longest cell, or of the longest word of its heading."""
        return max(map(len, [*self.cells, *self.heading.split()]))


def fitted(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that have room in so many characters, in their order."""
    kept = list(columns)
    while needed([column.least_width for column in kept]) > width:
        last = max(kept, key=lambda column: column.rank)
        if not last.rank:
            break
        kept.remove(last)
    return kept


def needed(widths: Sequence[int]) -> int:
    """Characters of a line of columns with so many characters of text."""
    return sum(widths) + AROUND * len(widths) + 1


def fill(table: Table, columns: Sequence[Column], width: int, styles: Sequence[str]) -> None:
    """Put those columns into an empty table that have room, each row in its style.

    A last row in bold is set apart.
    """
    columns = fitted(columns, width)
    spare = max(width - needed([column.least_width for column in columns]), 0)
    for column in columns:
        # Rich would take from the widest column, and break names.
        more = min(max(len(column.heading) - column.least_width, 0), spare)
        spare -= more
        table.add_column(
            escape(column.heading),
            justify="left" if column.is_text else "right",
            width=column.least_width + more,
        )
    rows = zip(*(column.cells for column in columns), strict=True)
    for i, (row, style) in enumerate(zip(rows, styles, strict=True)):
        if style == "bold" and i == len(styles) - 1:
            table.add_section()
        table.add_row(*map(escape, row), style=style)
