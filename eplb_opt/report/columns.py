"""Columns of a table: one list for a terminal, an HTML page and a CSV file.

On a terminal the least important columns go where there is no room.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

TERMINAL, PAGE = "terminal", "page"
#: A column's own edge and the space on both sides of its text.
AROUND = 3


@dataclass(frozen=True)
class Column:
    """One column of a table, wherever the table stands: terminal, HTML page or CSV.

    Parameters
    ----------
    heading
        May be broken between words; "" where the column is in a CSV file alone.
    cells
        Text, one a row, never broken.
    rank
        Columns of the highest rank go first where there is no room; those of rank 0 stay.
    is_text
        Whether it is read from the left.
    short
        The heading on a terminal, where room is scarce; by default the same.
    name, values
        Heading and cells in a CSV file; by default the column is in none.
    places
        Where else the column stands: `TERMINAL`, `PAGE`, both or neither.
    """

    heading: str = ""
    cells: list[str] = field(default_factory=list)
    rank: int = 0
    is_text: bool = False
    short: str = ""
    name: str = ""
    values: Sequence[Any] = ()
    places: frozenset[str] = frozenset({TERMINAL, PAGE})

    @property
    def least_width(self) -> int:
        """Characters of its longest cell, or of the longest word of its heading."""
        return max(map(len, [*self.cells, *self.on_terminal.split()]))

    @property
    def on_terminal(self) -> str:
        """The heading on a terminal."""
        return self.short or self.heading


def fitted(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that have room in `width` characters, in their order."""
    kept = list(columns)
    while needed([column.least_width for column in kept]) > width:
        last = max(kept, key=lambda column: column.rank)
        if not last.rank:
            break
        kept.remove(last)
    return kept


def needed(widths: Sequence[int]) -> int:
    """The width in characters of a line whose columns hold texts of these widths."""
    return sum(widths) + AROUND * len(widths) + 1


def fill(table: Table, columns: Sequence[Column], width: int, styles: Sequence[str]) -> None:
    """Put those columns into an empty table that have room, each row in its style.

    A line is drawn above a last row in bold.
    """
    from rich.markup import escape

    columns = fitted([column for column in columns if TERMINAL in column.places], width)
    spare = max(width - needed([column.least_width for column in columns]), 0)
    for column in columns:
        # Rich would take from the widest column, and break names.
        more = min(max(len(column.on_terminal) - column.least_width, 0), spare)
        spare -= more
        table.add_column(
            escape(column.on_terminal),
            justify="left" if column.is_text else "right",
            width=column.least_width + more,
        )
    rows = zip(*(column.cells for column in columns), strict=True)
    for i, (row, style) in enumerate(zip(rows, styles, strict=True)):
        if style == "bold" and i == len(styles) - 1:
            table.add_section()
        table.add_row(*map(escape, row), style=style)


def csv_text(columns: Sequence[Column]) -> str:
    """The columns that have a name, as CSV; what is no number is empty."""
    named = [column for column in columns if column.name]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in named])
    for row in zip(*(column.values for column in named), strict=True):
        writer.writerow(map(_csv_cell, row))
    return text.getvalue()


def _csv_cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else repr(float(value))
    return str(value)
