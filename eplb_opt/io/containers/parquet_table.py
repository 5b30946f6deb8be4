"""Parquet: a row a load (snapshot, layer, expert, load) or a row a slot (layer, slot, expert)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError, import_optional
from eplb_opt.io.containers.chunks import Drain
from eplb_opt.io.files import MAX_UNPACKED_BYTES
from eplb_opt.io.loads import Loads
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array, keys_found

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eplb_opt.io.placement import Placement
    from eplb_opt.io.recordings.trace import Trace

Columns = dict[str, np.ndarray]

MAGIC = b"PAR1"
LOAD_COLUMNS = ("layer", "expert", "load")
PLAN_COLUMNS = ("layer", "slot", "expert")
SNAPSHOT = "snapshot"
#: What a row of loads takes while it is put into place.
ROW_BYTES = 64


def import_parquet() -> tuple[Any, Any]:
    """Pyarrow and its parquet module, or which extra brings them.

    Raises
    ------
    MissingDependency
        When it is not installed.
    """
    parquet = import_optional("pyarrow.parquet", "formats")
    return import_optional("pyarrow", "formats"), parquet


def read_parquet(path: Path) -> Columns:
    """The columns that loads and placements have; others are left on the disk.

    Raises
    ------
    FormatError
        When the file is damaged or too large, or a cell is empty.
    """
    _, parquet = import_parquet()
    try:
        with parquet.ParquetFile(path) as file:
            num_rows, known = file.metadata.num_rows, {*LOAD_COLUMNS, *PLAN_COLUMNS, SNAPSHOT}
            wanted = [name for name in file.schema_arrow.names if name in known]
            if num_rows * ROW_BYTES > MAX_UNPACKED_BYTES or len(wanted) != len(set(wanted)):
                raise FormatError(
                    f"{num_rows} rows of {', '.join(wanted)}; at most "
                    f"{MAX_UNPACKED_BYTES // ROW_BYTES} rows are read, each column once."
                )
            table = file.read(columns=wanted, use_threads=False)
            return {name: _column(table, name) for name in wanted}
    except FormatError:
        raise
    except Exception as error:  # pyarrow raises several kinds on damaged files
        reason = " ".join(str(error).split())[:160]
        raise FormatError(f"pyarrow cannot read it ({reason}); is it cut off?") from error


def has_loads(columns: Columns) -> bool:
    """Whether the columns are those of loads."""
    return set(LOAD_COLUMNS) <= set(columns)


def has_plan(columns: Columns) -> bool:
    """Whether the columns are those of a placement."""
    return set(PLAN_COLUMNS) <= set(columns)


def loads_from_parquet(columns: Columns) -> Loads:
    """Loads of a table that has every expert of every layer in every snapshot, in any order."""
    if not has_loads(columns):
        raise FormatError(f"{keys_found(columns)}; the columns {', '.join(LOAD_COLUMNS)} are due.")
    rows = len(columns["load"])
    snapshots, at = np.unique(columns.get(SNAPSHOT, np.zeros(rows, int)), return_inverse=True)
    layer_ids, layer_at = np.unique(_whole(columns, "layer"), return_inverse=True)
    load = _placed(columns["load"], (at, layer_at, _whole(columns, "expert")), len(snapshots))
    return Loads(load.reshape(len(snapshots), len(layer_ids), -1), tuple(layer_ids.tolist()))


def plan_from_parquet(columns: Columns) -> StoredPlan:
    """The placement of a table that has every slot of every layer, in any order."""
    if not has_plan(columns):
        raise FormatError(f"{keys_found(columns)}; the columns {', '.join(PLAN_COLUMNS)} are due.")
    layer_ids, at = np.unique(_whole(columns, "layer"), return_inverse=True)
    slots = _placed(columns["expert"], (np.zeros_like(at), at, _whole(columns, "slot")), 1)
    placed = id_array(slots.reshape(len(layer_ids), -1), "expert")
    return StoredPlan(placed, tuple(layer_ids.tolist()))


def placement_to_parquet(placement: Placement) -> bytes:
    """The columns layer, slot, gpu and expert."""
    arrow, parquet = import_parquet()
    placed = placement.plan.physical_to_logical
    layer, slot = np.indices(placed.shape)
    columns = {
        "layer": np.array(placement.layer_ids)[layer].ravel(),
        "slot": slot.ravel(),
        "gpu": (slot // (placed.shape[1] // placement.plan.num_gpus)).ravel(),
        "expert": placed.ravel(),
    }
    sink = Drain()
    parquet.write_table(arrow.table(columns), arrow.PythonFile(sink, mode="w"))
    return sink.take()


def parquet_chunks(trace: Trace) -> Iterator[bytes]:
    """The columns snapshot, layer, expert and load, some snapshots a row group."""
    arrow, parquet = import_parquet()
    sink, writer, first = Drain(), None, 0
    for chunk in trace.chunks():
        snapshot, layer, expert = np.indices(chunk.shape, dtype=np.int32)
        columns = {
            SNAPSHOT: (first + snapshot).ravel(),
            "layer": np.array(trace.layer_ids)[layer].ravel(),
            "expert": expert.ravel(),
            "load": chunk.ravel(),
        }
        table = arrow.table(columns)
        writer = writer or parquet.ParquetWriter(arrow.PythonFile(sink, mode="w"), table.schema)
        writer.write_table(table)
        first += len(chunk)
        yield sink.take()
    if writer is not None:
        writer.close()
    yield sink.take()


def _column(table: Any, name: str) -> np.ndarray:
    column = table.column(name)
    if column.null_count:
        raise FormatError(f"the column {name} has {column.null_count} empty cells; fill them.")
    return np.asarray(column.to_numpy())


def _whole(columns: Columns, name: str) -> np.ndarray:
    values = columns[name]
    if values.dtype.kind not in "iu" or not len(values) or values.min() < 0:
        raise FormatError(
            f"the column {name} must hold integers from 0 up, of type {values.dtype}."
        )
    if values.max() >= len(values) and name != "layer":
        raise FormatError(f"the column {name} holds {values.max()} in {len(values)} rows.")
    return values.astype(np.int64)


def _placed(
    values: np.ndarray, at: tuple[np.ndarray, np.ndarray, np.ndarray], num_snapshots: int
) -> np.ndarray:
    """The values in the order of their three indices; every place is there once."""
    snapshot, layer, last = at
    num_layers, num_last = int(layer.max()) + 1, int(last.max()) + 1
    due = num_snapshots * num_layers * num_last
    place = (snapshot * num_layers + layer) * num_last + last
    if due != len(values) or len(np.unique(place)) != due:
        raise FormatError(
            f"there are {len(values)} rows, {len(np.unique(place))} of them different; "
            f"{num_snapshots} x {num_layers} x {num_last} = {due} are due, zeros too."
        )
    ordered = np.empty_like(values)
    ordered[place] = values
    return ordered
