"""Tables as text: a row a layer, a column an expert; or long ones, a row an expert that was hit."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.csv_header import (
    LAYER_COLUMNS,
    Header,
    read_header,
    without_header,
)
from eplb_opt.io.containers.long_table import loads_of_rows
from eplb_opt.io.files import naming, read_text
from eplb_opt.io.loads import Loads
from eplb_opt.io.origin import Origin
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.recordings.rank_files import added_ranks, rank_files
from eplb_opt.io.shapes import id_array

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eplb_opt.io.containers.folder import Folder
    from eplb_opt.io.placement import Placement
    from eplb_opt.io.recordings.trace import Trace

Rows = list[list[str]]

DELIMITERS = (",", ";", "\t")
#: A first row that counts its columns 0, 1, 2, ... is their names, once there are so many.
COUNTED_COLUMNS = 4
EXTENSIONS = (".csv", ".tsv")


def read_csv(path: Path) -> Rows:
    """The cells of a table, without blank lines and comments.

    Raises
    ------
    FormatError
        When it is no text, holds no rows, or the rows differ in length.
    """
    lines = [line for line in read_text(path).splitlines() if line.strip() and line[:1] != "#"]
    if not lines:
        raise FormatError("there are no rows; one for each layer is due.")
    delimiter = max(DELIMITERS, key=lines[0].count)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    except csv.Error as error:
        raise FormatError(f"this is no table of comma-separated values: {error}.") from error
    for row_idx, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise FormatError(
                f"row {row_idx} has {len(row)} cells, row 0 has {len(rows[0])}; "
                "every layer has all experts."
            )
    return rows


def loads_from_csv(rows: Rows) -> Loads:
    """Loads of a table; rows of a snapshot stand in any order if a column names the layers.

    Raises
    ------
    FormatError
        Where a column is something else than loads, or the rows do not make whole snapshots.
    """
    if has_plan(rows):
        raise FormatError(
            "the columns are called slots, so this is a placement; give it as the plan. Loads of "
            "physical slots are read as [layers, slots] from columns without names, and folded by "
            "--map."
        )
    return _loads(rows)


def is_rank_folder(folder: Folder) -> bool:
    """Whether a folder holds tables of ranks, such as rank0.csv."""
    return bool(rank_files(_tables(folder)))


def loads_from_rank_folder(folder: Folder) -> Loads:
    """The tables of all ranks, added up.

    Raises
    ------
    FormatError
        When a rank is missing, tables of other names lie beside them, or they do not fit.
    """
    files = rank_files(_tables(folder))
    others = sorted(set(_tables(folder)) - {file.name for file in files})
    if others:
        raise FormatError(
            f"beside the files of {len(files)} ranks lies {others[0]}: a total would count twice. "
            "Keep the files of the ranks in a folder of their own, or name one file."
        )
    parts = []
    for file in files:
        with naming(file.name):
            parts.append(loads_from_csv(read_csv(folder.path / file.name)))
    return added_ranks(files, parts)


def _tables(folder: Folder) -> list[str]:
    return [name for extension in EXTENSIONS for name in folder.named(extension)]


def _loads(rows: Rows) -> Loads:
    header, body, notes = _parted(rows)
    if not body:
        raise FormatError("there is a header and nothing below it.")
    first_row = len(rows) - len(body)
    snapshot = None if header.snapshot is None else [row[header.snapshot] for row in body]
    if header.is_long:
        names = (header.layer, header.expert)
        layer, expert = (_ids([row[at or 0] for row in body], rows[0][at or 0]) for at in names)
        count = _numbers([[row[header.count or 0]] for row in body], first_row)[:, 0]
        return loads_of_rows(snapshot, layer, expert, count)
    if header.row is not None:
        _check_row_numbers([row[header.row] for row in body], rows[0][header.row])
    values = _numbers([[row[at] for at in header.values] for row in body], first_row)
    labels = [""] * len(body) if snapshot is None else snapshot
    if header.layer is None:
        loads = Loads(_equal_parts(values, labels))
    else:
        layer_ids = _ids([row[header.layer] for row in body], rows[0][header.layer])
        loads = _by_layer(values, labels, layer_ids.tolist())
    return replace(loads, origin=Origin(notes=notes))


def _parted(rows: Rows) -> tuple[Header, Rows, tuple[str, ...]]:
    """The header, the rows below it, and a note where it was taken for one."""
    width = len(rows[0])
    if not all(_is_number(cell) for cell in rows[0]):
        return read_header(rows[0]), rows[1:], ()
    if width >= COUNTED_COLUMNS and rows[0] == [str(at) for at in range(width)] and len(rows) > 1:
        note = f"the first row counts 0, 1, ... {width - 1}: it is read as names, not as loads."
        return without_header(width), rows[1:], (note,)
    return without_header(width), rows, ()


def _check_row_numbers(cells: list[str], name: str) -> None:
    """Refuse a first column that does not count the rows: it may be anything."""
    if cells != [str(at) for at in range(len(cells))]:
        raise FormatError(
            f"the column {name!r} holds {cells[0][:40]}, ..., {cells[-1][:40]} and does not count "
            "the rows from 0; call it layer if it names the layers, else drop it."
        )


def has_plan(rows: Rows) -> bool:
    """Whether a header calls its columns slots."""
    return rows[0][-1].lower().startswith("slot")


def has_loads(rows: Rows) -> bool:
    """Whether a header names the columns, and not slots."""
    return not has_plan(rows) and not all(_is_number(cell) for cell in rows[0])


def plan_from_csv(rows: Rows) -> StoredPlan:
    """Expert ids of a table: a row a layer, a column a slot; a column may name the layers."""
    loads = _loads(rows)
    if loads.num_snapshots != 1:
        raise FormatError(f"there are {loads.num_snapshots} snapshots; a placement has one.")
    is_named = rows[0][0].lower() in LAYER_COLUMNS
    return StoredPlan(id_array(loads.load[0], "the table"), loads.layer_ids if is_named else None)


def placement_to_csv(placement: Placement) -> bytes:
    """A table with a column layer and one for each slot."""
    placed = placement.plan.physical_to_logical
    lines = [",".join(["layer", *(f"slot{slot}" for slot in range(placed.shape[1]))])]
    for layer_id, row in zip(placement.layer_ids, placed.tolist(), strict=True):
        lines.append(",".join(map(str, [layer_id, *row])))
    return ("\n".join(lines) + "\n").encode()


def csv_chunks(trace: Trace) -> Iterator[bytes]:
    """A table with the columns snapshot, layer and one for each expert."""
    names = (f"expert{expert}" for expert in range(trace.shape[2]))
    yield (",".join(["snapshot", "layer", *names]) + "\n").encode()
    step = 0
    for chunk in trace.chunks():
        for load in chunk.tolist():
            rows = zip(trace.layer_ids, load, strict=True)
            lines = [",".join(map(str, [step, layer_id, *row])) for layer_id, row in rows]
            yield ("\n".join(lines) + "\n").encode()
            step += 1


def _by_layer(values: np.ndarray, snapshot: list[str], layer: list[int]) -> Loads:
    layer_ids = sorted(set(layer))
    seen = list(dict.fromkeys(snapshot))
    place = {pair: row_idx for row_idx, pair in enumerate(zip(snapshot, layer, strict=True))}
    wanted = [(label, layer_id) for label in seen for layer_id in layer_ids]
    if len(place) != len(layer):
        twice = next(
            pair for i, pair in enumerate(zip(snapshot, layer, strict=True)) if place[pair] != i
        )
        raise FormatError(
            f"layer {twice[1]} has several rows in a snapshot. If each is a snapshot, number them "
            "in a column step; if each is one expert, call the columns layer_id, expert_id, count."
        )
    missing = [pair for pair in wanted if pair not in place]
    if missing:
        raise FormatError(f"snapshot {missing[0][0]!r} has no row for layer {missing[0][1]}.")
    ordered = values[[place[pair] for pair in wanted]]
    return Loads(ordered.reshape(len(seen), len(layer_ids), -1), layer_ids=tuple(layer_ids))


def _equal_parts(values: np.ndarray, snapshot: list[str]) -> np.ndarray:
    seen = list(dict.fromkeys(snapshot))
    parts = [[i for i, label in enumerate(snapshot) if label == wanted] for wanted in seen]
    if len({len(part) for part in parts}) != 1:
        raise FormatError("the snapshots have different numbers of rows; each holds every layer.")
    return values[parts]


def _ids(cells: list[str], name: str) -> np.ndarray:
    if not all(cell.isascii() and cell.isdigit() and len(cell) < 10 for cell in cells):
        raise FormatError(f"the column {name} must hold integers from 0 up.")
    return np.array([int(cell) for cell in cells], dtype=np.int64)


def _numbers(cells: Rows, first_row: int) -> np.ndarray:
    for kind in (int, float):
        try:
            return np.array([[kind(_plain(cell)) for cell in row] for row in cells])
        except (ValueError, OverflowError):
            continue
    bad = ((i, cell) for i, row in enumerate(cells) for cell in row if not _is_number(cell))
    row_idx, cell = next(bad, (0, "a number beyond 64 bits"))
    raise FormatError(f"row {row_idx + first_row} holds {cell[:40]!r}, which is no number.")


def _plain(cell: str) -> str:
    """Only what spreadsheets write: Python would take 1_000 and other scripts' digits as well."""
    if "_" in cell or not cell.isascii():
        raise ValueError(cell)
    return cell


def _is_number(cell: str) -> bool:
    try:
        float(_plain(cell))
    except ValueError:
        return False
    return True
