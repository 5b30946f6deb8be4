"""numpy's .npz: our own placements, traces, and whatever else holds one array of loads."""

from __future__ import annotations

import struct
import zipfile
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.files import MAX_UNPACKED_BYTES, naming
from eplb_opt.io.loads import Loads, checked_layer_ids
from eplb_opt.io.npy import MAX_HEADER_BYTES, npy_bytes, outline, parse_npy
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array, keys_found

if TYPE_CHECKING:
    from pathlib import Path

    from eplb_opt.io.placement import Placement

Arrays = dict[str, np.ndarray]

#: Tried in this order, before the only array of two or three dimensions.
LOAD_KEYS = ("load", "logical_count", "weight")
PLAN_KEY = "physical_to_logical"
ZIP_MAGIC = b"PK\x03\x04"
MAX_MEMBERS = 10_000
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

#: zlib's and the zip reader's own complaints about damaged bytes.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    LookupError,
    struct.error,
)


def read_npz(path: Path) -> Arrays:
    """All arrays of an archive by name.

    Raises
    ------
    FormatError
        When it is damaged, holds pickles, or claims to unpack to too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(archive)
            return {name.removesuffix(".npy"): _member(archive, name) for name in _names(archive)}
    except FormatError:
        raise
    except ZIP_ERRORS as error:
        raise FormatError(
            f"the archive is truncated or damaged ({error}); copy or save it again."
        ) from error


def read_outlines(path: Path) -> Arrays:
    """Arrays of the right shapes and no memory, to choose among.

    Raises
    ------
    FormatError
        When the archive is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive_outlines(archive)
    except FormatError:
        raise
    except ZIP_ERRORS as error:
        raise FormatError(f"the archive is damaged ({error}); copy or save it again.") from error


def archive_outlines(archive: zipfile.ZipFile) -> Arrays:
    """As `read_outlines`, of an archive that is open."""
    return {
        member.filename.removesuffix(".npy"): _outline(archive, member)
        for member in archive.infolist()
        if member.filename.endswith(".npy")
    }


def _outline(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with naming(member.filename), archive.open(member) as stream:
        return outline(stream.read(MAX_HEADER_BYTES))


def check_members(archive: zipfile.ZipFile) -> None:
    """Refuse an archive whose members claim more than fits; nothing is unpacked yet.

    Raises
    ------
    FormatError
        When there are too many or too large ones, or packed in ways that numpy never uses.
    """
    members = archive.infolist()
    if any(member.compress_type not in PACKINGS for member in members):
        raise FormatError("the archive is packed in another way than deflate; save it with numpy.")
    size = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or size > MAX_UNPACKED_BYTES:
        raise FormatError(
            f"{len(members)} members claim {size} bytes; at most {MAX_MEMBERS} and "
            f"{MAX_UNPACKED_BYTES} bytes are unpacked. Split the recording or sum its snapshots."
        )


def npz_bytes(arrays: Arrays, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of the arrays; stored ones are the same bytes on every machine.

    Parameters
    ----------
    arrays
        By name; no objects.
    compression
        ``zipfile.ZIP_DEFLATED`` or ``zipfile.ZIP_STORED``.
    """
    content = BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # its date is 1980: no clock in the bytes
            member.create_system, member.compress_type = 3, compression
            archive.writestr(member, npy_bytes(array))
    return content.getvalue()


def loads_from_npz(arrays: Arrays) -> Loads:
    """Loads under one of `LOAD_KEYS`, or the only array that can be loads."""
    if "load" not in arrays and PLAN_KEY in arrays:
        raise FormatError("this is a placement, not a recording of loads; give it as the plan.")
    key = load_key(arrays)
    return Loads(
        arrays[key],
        layer_ids=arrays.get("layer_ids", ()),  # type: ignore[arg-type]  # checked by Loads
        num_hidden_layers=_scalar(arrays, "num_hidden_layers"),
        source=_text(arrays, "model"),
    )


def has_loads(arrays: Arrays) -> bool:
    """Whether an archive names its loads."""
    return PLAN_KEY not in arrays and any(key in arrays for key in LOAD_KEYS)


def has_plan(arrays: Arrays) -> bool:
    """Whether an archive names its placement."""
    return PLAN_KEY in arrays


def plan_from_npz(arrays: Arrays) -> StoredPlan:
    """The placement of our own archive, or the only two-dimensional array."""
    if PLAN_KEY in arrays:
        placed = id_array(arrays[PLAN_KEY], PLAN_KEY)
        ids = arrays.get("layer_ids")
        return StoredPlan(
            placed,
            None if ids is None else checked_layer_ids(ids, len(placed)),
            _scalar(arrays, "num_gpus") or None,
            _scalar(arrays, "num_experts") or None,
            _scalar(arrays, "num_hidden_layers") or None,
        )
    if "load" in arrays:
        raise FormatError("this is a recording of loads, not a placement; give it as the loads.")
    key = _only(arrays, (2,), f"a key {PLAN_KEY} or phy2log")
    return StoredPlan(id_array(arrays[key], "the array"))


def placement_to_npz(placement: Placement) -> bytes:
    """Our own archive: the placement, what follows from it, and what is proven about it."""
    plan = placement.plan
    arrays: dict[str, Any] = {
        PLAN_KEY: plan.physical_to_logical,
        "logical_count": plan.logical_count,
        "logical_to_physical": plan.logical_to_physical,
        "num_gpus": np.int64(plan.num_gpus),
        "num_experts": np.int64(plan.num_experts),
        "layer_ids": np.array(placement.layer_ids, dtype=np.int64),
        "num_hidden_layers": np.int64(placement.num_hidden_layers),
        "objective": placement.objective,
        "lower_bound": placement.lower_bound,
        "status": placement.status,
    }
    return npz_bytes({key: value for key, value in arrays.items() if value is not None})


def _names(archive: zipfile.ZipFile) -> list[str]:
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    if not names:
        raise FormatError("the archive holds no .npy arrays; save it with numpy.savez.")
    return names


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with naming(name):
        return parse_npy(archive.read(name))


def load_key(arrays: Arrays) -> str:
    """Which of the arrays are the loads, by name or by being the only one that can be.

    Raises
    ------
    FormatError
        When none or several can be.
    """
    known = [key for key in LOAD_KEYS if key in arrays]
    return known[0] if known else _only(arrays, (2, 3), f"a key {', '.join(LOAD_KEYS)}")


def _only(arrays: Arrays, dimensions: tuple[int, ...], wanted: str) -> str:
    candidates = [key for key, array in arrays.items() if array.ndim in dimensions]
    if len(candidates) != 1:
        raise FormatError(
            f"{keys_found(arrays)}: {len(candidates)} arrays of "
            f"{' or '.join(map(str, dimensions))} dimensions. Give the right one {wanted}."
        )
    return candidates[0]


def _scalar(arrays: Arrays, key: str) -> int:
    value = arrays.get(key, np.int64(0))
    if value.ndim or value.dtype.kind not in "iu":
        raise FormatError(
            f"{key} has type {value.dtype}, shape {list(value.shape)}; an integer is due."
        )
    return int(value)


def _text(arrays: Arrays, key: str) -> str:
    value = arrays.get(key)
    return str(value) if value is not None and value.dtype.kind == "U" and not value.ndim else ""
