"""Tables on a terminal that is too narrow for them: tighter, then with fewer columns.

Left to itself, rich cuts numbers off, and a cut number is worse than none.
"""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

#: Columns to go without first, least missed first.
DROPPABLE = (
    "bound by",
    "time",
    "median",
    "nearest copy",
    "rank modulo",
    "a GPU holds",
    "best known",
    "on slots",
    "worst step",
    "a plan takes",
    "slots x GPUs",
    "a GPU",
    "redundant",
    "largest GPU load",
    "largest load / mean",
    "proven bound",
    "best possible",
    "planned-for",
    "even",
    "at least",
)
#: Characters between two columns of a tightened table.
GAP = 2
#: Cells of up to this number of characters stay on one line.
SHORT = 24
#: More than any table has.
MOST_WIDTH = 1000
LEFT_OUT = "No room for: {}. Widen the terminal, or take --json."


class Screen(Console):
    """A console that fits tables to its width, with an empty line between them."""

    has_table = False

    def print(self, *objects: Any, **keywords: Any) -> None:
        """As of rich."""
        for each in objects:
            if isinstance(each, Table):
                if self.has_table:
                    super().print()
                self.has_table = True
        super().print(*(fitted(each, self) for each in objects), **keywords)


def fitted(each: Any, console: Console) -> Any:
    """A table that fits a console, made anew where the given one does not; else what was given."""
    wide = console.options.update(max_width=MOST_WIDTH)
    if not isinstance(each, Table) or console.measure(each, options=wide).maximum <= console.width:
        return each
    kept, dropped = list(each.columns), []
    for heading in DROPPABLE:
        if _least(kept) <= console.width:
            break
        dropped += [heading] * any(column.header == heading for column in kept)
        kept = [column for column in kept if column.header != heading]
    made = _tight(each, kept, console.width)
    if dropped:
        caption = f"{each.caption}\n" if each.caption else ""
        made.caption = caption + LEFT_OUT.format(", ".join(dropped))
    return made


def _tight(table: Table, kept: list[Column], width: int) -> Table:
    """A table of some of the columns, with as little between them as can be."""
    made = Table(
        title=table.title,
        caption=table.caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, GAP - 1, 0, 0),
    )
    spare = max(width - _least(kept), 0)
    for column in kept:
        least, wanted = _unbroken(column), max(map(_length, _cells(column)))
        more = min(spare, wanted - least)
        spare -= more
        made.add_column(column.header, justify=column.justify, width=least + more)
    for row, cells in zip(
        table.rows, zip(*(each.cells for each in kept), strict=True), strict=True
    ):
        made.add_row(*cells, style=row.style, end_section=row.end_section)
    return made


def _least(columns: list[Column]) -> int:
    return sum(_unbroken(column) + GAP for column in columns) - GAP


def _unbroken(column: Column) -> int:
    """The longest part of a column that is not to be broken: a word, or a short cell."""
    heading, *cells = _cells(column)
    parts = [*heading.split(), *(cell for cell in cells if len(cell) <= SHORT), ""]
    parts += [word for cell in cells if len(cell) > SHORT for word in cell.split()]
    return max(map(_length, parts))


def _length(text: str) -> int:
    return max(map(len, text.split("\n")))


def _cells(column: Column) -> list[str]:
    """The texts of a column without their markup."""
    return [Text.from_markup(str(cell)).plain for cell in (column.header, *column.cells)]
