"""Tables as text: a row a layer, a column an expert; a header may name layers and snapshots."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.files import read_text
from eplb_opt.io.loads import Loads
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eplb_opt.io.placement import Placement
    from eplb_opt.io.recordings.trace import Trace

Rows = list[list[str]]

DELIMITERS = (",", ";", "\t")
LAYER_COLUMNS = ("layer", "layer_id", "layer_idx")
SNAPSHOT_COLUMNS = ("snapshot", "step", "iteration")


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
    """Loads of a table; rows of a snapshot stand in any order if a column names the layers."""
    header = [] if all(_is_number(cell) for cell in rows[0]) else [c.lower() for c in rows[0]]
    body = rows[1:] if header else rows
    if not body:
        raise FormatError("there is a header and nothing below it.")
    layer_at, snapshot_at = _column(header, LAYER_COLUMNS), _column(header, SNAPSHOT_COLUMNS)
    experts = [i for i in range(len(rows[0])) if i not in (layer_at, snapshot_at)]
    values = _numbers([[row[i] for i in experts] for row in body], first_row=bool(header))
    snapshot = [row[snapshot_at] for row in body] if snapshot_at is not None else [""] * len(body)
    if layer_at is None:
        return Loads(_equal_parts(values, snapshot))
    return _by_layer(values, snapshot, _layer_ids([row[layer_at] for row in body]))


def has_plan(rows: Rows) -> bool:
    """Whether a header calls its columns slots."""
    return rows[0][-1].lower().startswith("slot")


def has_loads(rows: Rows) -> bool:
    """Whether a header names the columns, and not slots."""
    return not has_plan(rows) and not all(_is_number(cell) for cell in rows[0])


def plan_from_csv(rows: Rows) -> StoredPlan:
    """Expert ids of a table: a row a layer, a column a slot; a column may name the layers."""
    loads = loads_from_csv(rows)
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
        raise FormatError("a layer has several rows in a snapshot; add a column step.")
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


def _column(header: list[str], names: tuple[str, ...]) -> int | None:
    found = [i for i, name in enumerate(header) if name in names]
    if len(found) > 1:
        raise FormatError(f"several columns are called {' or '.join(names)}; keep one.")
    return found[0] if found else None


def _layer_ids(cells: list[str]) -> list[int]:
    if not all(cell.isascii() and cell.isdigit() and len(cell) < 10 for cell in cells):
        raise FormatError("the column layer must hold integers from 0 up.")
    return [int(cell) for cell in cells]


def _numbers(cells: Rows, first_row: bool) -> np.ndarray:
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
