"""The headers of tables of loads: which column is what, or why there is no telling."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.long_table import COUNT_COLUMNS, EXPERT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

LAYER_COLUMNS = ("layer", "layer_id", "layer_idx")
SNAPSHOT_COLUMNS = ("snapshot", "step", "iteration", "forward_pass_id")
#: Added up in a long table; a wide one has no place for it.
RANK_COLUMNS = ("rank", "rank_id", "ep_rank")
#: What data frames put before their own columns: the number of the row.
ROW_COLUMNS = ("", "index", "unnamed: 0", "row")
#: The column of an expert or a slot: some name, and its number.
NUMBERED = re.compile(r"[a-z_ .\-\[(]*(\d{1,7})[\])]?", re.ASCII)
DUE = (
    "A table has a row for every layer, with a column for every expert (expert0, expert1, ...) and "
    "perhaps columns layer and step; or a row for every expert that was hit, with the columns "
    "layer_id, expert_id, count, and perhaps step and rank."
)


@dataclass(frozen=True)
class Header:
    """Places of the columns; None where there is no such column.

    Parameters
    ----------
    layer, snapshot, expert, count, rank, row
        The columns that are known by their names.
    values
        Columns with a load each, in the order of the experts.
    """

    layer: int | None
    snapshot: int | None
    expert: int | None
    count: int | None
    rank: int | None
    row: int | None
    values: tuple[int, ...]

    @property
    def is_long(self) -> bool:
        """Whether every row has one load."""
        return self.expert is not None

    @property
    def named(self) -> set[int]:
        """Columns that hold no loads of a wide table."""
        known = (self.layer, self.snapshot, self.expert, self.count, self.rank, self.row)
        return {at for at in known if at is not None}


def without_header(num_columns: int) -> Header:
    """Of a table whose columns have no names: all of them are experts."""
    return Header(None, None, None, None, None, None, tuple(range(num_columns)))


def read_header(names: Sequence[str]) -> Header:
    """Of a table's first row.

    Raises
    ------
    FormatError
        Where a column is none of a table of loads, or one that it needs is missing.
    """
    lower = [name.lower() for name in names]
    header = Header(
        _column(lower, LAYER_COLUMNS),
        _column(lower, SNAPSHOT_COLUMNS),
        _column(lower, EXPERT_COLUMNS),
        _column(lower, COUNT_COLUMNS),
        _column(lower, RANK_COLUMNS),
        _column(lower, ROW_COLUMNS),
        (),
    )
    others = [at for at in range(len(names)) if at not in header.named]
    if header.is_long:
        return _long(header, names, others)
    if header.rank is not None or header.count is not None:
        at = header.rank if header.rank is not None else header.count
        raise FormatError(
            f"the column {names[at or 0]!r} holds no loads of an expert, and there is no column "
            f"expert_id. {DUE}"
        )
    return _wide(header, names, others)


def _long(header: Header, names: Sequence[str], others: list[int]) -> Header:
    if others:
        raise FormatError(f"the column {names[others[0]]!r} is none that is known; drop it. {DUE}")
    missing = [
        text for text, at in (("layer_id", header.layer), ("count", header.count)) if at is None
    ]
    if missing:
        raise FormatError(f"there is a column for the expert, but none called {missing[0]}. {DUE}")
    return header


def _wide(header: Header, names: Sequence[str], others: list[int]) -> Header:
    """Experts in the order of their numbers, which may start at 0 or 1."""
    numbers = {}
    for at in others:
        found = NUMBERED.fullmatch(names[at].lower())
        if found is None:
            raise FormatError(
                f"the column {names[at][:40]!r} is none of an expert, whose names end in a number; "
                f"drop it or name it. {DUE}"
            )
        numbers[at] = int(found[1])
    if not numbers:
        raise FormatError(f"there is no column with loads. {DUE}")
    ordered = sorted(others, key=lambda at: numbers[at])
    first = numbers[ordered[0]]
    for due, at in enumerate(ordered, start=min(first, 1)):
        if numbers[at] != due:
            state = "is there twice" if numbers[at] < due else f"is missing before {names[at]!r}"
            raise FormatError(
                f"of the experts' columns number {min(due, numbers[at])} {state}; every layer has "
                "all experts, those without load too."
            )
    return Header(header.layer, header.snapshot, None, None, None, header.row, tuple(ordered))


def _column(header: list[str], names: tuple[str, ...]) -> int | None:
    found = [at for at, name in enumerate(header) if name in names]
    if len(found) > 1:
        raise FormatError(
            f"several columns are called {' or '.join(filter(None, names))}; keep one."
        )
    return found[0] if found else None
